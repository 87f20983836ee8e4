"""The rows of docs/unproven.md, by the name of the command that closes each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

DOCUMENT = Path(__file__).parents[3] / "docs/unproven.md"
_CELL = re.compile(r"(?<!\\)\|")


class Row(NamedTuple):
    """As the table has them; `name` is empty where the row has no command."""

    assumption: str
    matters: str
    proof: str
    otherwise: str
    name: str


def rows(text: str) -> list[Row]:
    found = []
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith(("| assumption ", "|---")):
            cells = [cell.strip() for cell in _CELL.split(line.strip().strip("|"))]
            assumption, matters, proof, otherwise, *name = cells
            found.append(Row(assumption, matters, proof, otherwise, "".join(name).strip("`")))
    return found


def by_name() -> dict[str, Row]:
    return {row.name: row for row in rows(DOCUMENT.read_text(encoding="utf-8"))}
