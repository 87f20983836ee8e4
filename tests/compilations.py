"""What darkroom compiles in a child process, compiled in this one, where the SDK is imported once for all tests."""

from __future__ import annotations

import gc
from pathlib import Path

from pipeline.compile import compile_digest, entrypoints_root, main


def remembered(config: Path, home: Path) -> None:
    """As if somebody had compiled it below `home` before: the next command that needs it finds it there."""
    root = entrypoints_root(str(config))
    folder = home / "compiled" / compile_digest(str(config), root)
    folder.mkdir(parents=True)
    try:
        assert main([str(config), root, str(folder)]) == 0
    finally:
        gc.enable()  # which a process that compiles and ends does without
