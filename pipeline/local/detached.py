"""Processes that go on when whoever started them has ended; each is found by its lock (endpoint_files.py)."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.local.endpoint_files import Files


def launch(files: Files, module: str, *words: str) -> None:
    """Runs `python -m pipeline.local.<module> WORDS`, which forks once it has its lock: it has it when this returns."""
    import subprocess

    for folder in (files.folder, os.path.dirname(files.log)):
        os.makedirs(folder, exist_ok=True)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    argv = [sys.executable, "-m", f"pipeline.local.{module}", *words]
    env = {**os.environ, "PYTHONPATH": root}
    with open(files.log, "ab") as log:
        subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=False
        )
