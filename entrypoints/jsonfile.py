"""Writes JSON files that are whole or absent, and equal for equal content."""

from __future__ import annotations

import json
import os
from pathlib import Path


def write(path: Path, body: object) -> None:
    """Written aside and renamed. NaN raises ValueError: most readers of JSON do not take it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
