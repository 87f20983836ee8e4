"""Takes pictures of a report for the README: docs/images/report.png and report-dark.png. Needs Chromium."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DARK = "--blink-settings=preferredColorScheme=0"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("report", type=Path, help="a report.html")
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--size", default="1240x1500", help="width x height in pixels")
    parser.add_argument("--chromium", default="chromium")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    for name, more in (("report.png", ()), ("report-dark.png", (DARK,))):
        take(args.chromium, args.report, args.output / name, args.size, more)
    return 0


def take(chromium: str, page: Path, picture: Path, size: str, more: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as profile:
        options = (f"--user-data-dir={profile}", f"--window-size={size.replace('x', ',')}", f"--screenshot={picture}")
        subprocess.run([chromium, *FLAGS, *more, *options, page.resolve().as_uri()], check=True, capture_output=True)
    print(picture)


if __name__ == "__main__":
    sys.exit(main())
