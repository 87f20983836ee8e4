"""`darkroom`, and `python -m pipeline`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 an expected failure, 2 usage, 130 stopped by Ctrl-C."""
    from pipeline.cli import execute

    return execute(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
