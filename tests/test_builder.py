"""The builder: golden definitions, byte stability, and what a change of code changes.

    PYTHONPATH=. .venv/bin/python tests/test_builder.py     writes tests/data/golden/*.json anew
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.builder import Compiled, build
from pipeline.config import load_config
from pipeline.errors import ConfigError

REPOSITORY = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "data" / "golden"
CONFIGS = {"shipped": REPOSITORY / "pipeline.yaml", **{path.stem: path for path in sorted(GOLDEN.glob("*.yaml"))}}
# Goldens show what the builder makes of a configuration: their programs stay the same when entrypoints/ changes.
PROGRAMS = {
    "prepare.py": "import data\n",
    "train.py": 'import data, model\nSHIPS = ("inference.py",)\n',
    "evaluate.py": "import data, model\n",
    "lambda_deploy.py": "def handler(event, context): ...\n",
    "data.py": "",
    "model.py": "",
    "inference.py": "import model\n",
}


def write_programs(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in PROGRAMS.items():
        (root / name).write_text(text, encoding="utf-8")
    return root


def compiled(name: str, root: Path) -> Compiled:
    return build(load_config(CONFIGS[name]), write_programs(root))


def refresh() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name in CONFIGS:
            (GOLDEN / f"{name}.json").write_text(compiled(name, Path(folder)).definition_json, encoding="utf-8")


if __name__ == "__main__":
    refresh()
