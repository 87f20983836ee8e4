"""Prints requirements.lock: what is installed in this environment, as names and versions that install anywhere."""

from __future__ import annotations

import re
from importlib.metadata import distributions

HEADER = """\
# Every package of the tested set. Written by `make lock` from an environment in which `make test` passed; do not edit.
# Installs on Python 3.11 and 3.12, on Linux and macOS. No addresses: pip takes them from wherever it is told to."""
# torch's CUDA libraries exist for Linux alone
LINUX_ONLY = re.compile(r"(nvidia|cuda)-|triton$")
# pip is what installs; darkroom is what is being locked for
LEFT_OUT = {"pip", "wheel", "darkroom"}


def line(name: str, version: str) -> str:
    marker = ' ; platform_system == "Linux"' if LINUX_ONLY.match(name) else ""
    # a local label (+cpu) names somebody's own build
    return f"{name}=={version.partition('+')[0]}{marker}"


def main() -> None:
    installed = {re.sub(r"[-_.]+", "-", d.name).lower(): d.version for d in distributions()}
    print(HEADER)
    for name in sorted(installed.keys() - LEFT_OUT):
        print(line(name, installed[name]))


if __name__ == "__main__":
    main()
