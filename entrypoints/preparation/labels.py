"""A list of pictures with their labels, as CSV or JSON Lines: path, label, and if wanted split and group."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

from refusal import Refusal

from preparation import trees
from preparation.items import SPLITS, Item, Source
from preparation.trees import Tree

COLUMNS = ("path", "label", "split", "group")
NEEDED = COLUMNS[:2]
SPLIT_NAMES = {"": "", **{split: split for split in SPLITS}, "val": "validation", "valid": "validation"}
ENDINGS = (".csv", ".jsonl", ".ndjson")
LONGEST = 4096  # characters of a value; a path of Linux has no more


class Row(NamedTuple):
    path: str
    label: str
    split: str
    group: str


class Place(NamedTuple):
    """A line of the list, for messages."""

    where: str
    line: int

    def refuse(self, reason: str) -> Refusal:
        return Refusal(f"{self.where}: line {self.line}: {reason}")


def open_labels(tree: Tree, manifest: str) -> Source:
    """Paths are relative to the list's own folder. Classes in order of name; pictures without a line are left out."""
    name = _list_name(tree, manifest)
    where = f"{tree.where}/{name}"
    content = tree.read(name)
    tree = trees.below(tree, name[: name.rfind("/") + 1])
    rows = _unique(tree, _rows(where, _text(where, content), name))
    if not rows:
        raise Refusal(f"{where}: no line with a picture in it: add lines of path and label")
    classes = tuple(sorted({row.label for row in rows.values()}))
    number = {label: place for place, label in enumerate(classes)}
    items = [Item(row.path, number[row.label], row.split, row.group) for _, row in sorted(rows.items())]
    keys = tuple(tree.files[item.name] for item in items)
    digest = trees.digest(tree, [name.rpartition("/")[2], *(item.name for item in items)])
    return Source("manifest", classes, items, trees.Reader(tree.fetch, keys), None, (), digest)


def _list_name(tree: Tree, manifest: str) -> str:
    """As named, at the top or in the one outer folder; without a name the only list there."""
    for prefix in trees.outer(tree):
        top = trees.below(tree, prefix)
        lists = [name for name in top.files if "/" not in name and name.lower().endswith(ENDINGS)]
        found = [manifest] * (manifest in top.files) if manifest else lists
        if len(found) > 1:
            raise Refusal(f"{top.where}: holds {found[0]!r} and {found[1]!r}: name one as dataset.manifest")
        if found:
            return f"{prefix}{found[0]}"
    if manifest:
        raise Refusal(f"{tree.where}: no {manifest!r} in it: correct dataset.manifest in pipeline.yaml")
    raise Refusal(f"{tree.where}: no .csv or .jsonl file in it: add the list, or name it as dataset.manifest")


def _text(where: str, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Place(where, 1).refuse("the file is UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")  # Excel's mark at the beginning is taken off
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Place(where, line).refuse(f"byte 0x{content[error.start]:02x} is not UTF-8: save it as UTF-8") from None


def _rows(where: str, text: str, name: str) -> Iterator[tuple[Place, Row]]:
    lines = _json_lines(where, text) if name.lower().endswith((".jsonl", ".ndjson", ".json")) else _csv(where, text)
    for place, values in lines:
        missing = [column for column in NEEDED if not values.get(column)]
        if missing:
            raise place.refuse(f"no {missing[0]!r}: give each line a path and a label")
        row = Row(*(values.get(column, "") for column in COLUMNS))._replace(label=_composed(values["label"]))
        if row.split.lower() not in SPLIT_NAMES:
            raise place.refuse(f"split {row.split!r}: take train, validation or test, or leave it empty")
        yield place, row._replace(path=_path(place, row.path), split=SPLIT_NAMES[row.split.lower()])


def _csv(where: str, text: str) -> Iterator[tuple[Place, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            place = Place(where, reader.line_num)
            if not any(map(str.strip, cells)):
                continue
            if not header:
                header = _header(place, cells)
            elif len(cells) != len(header):
                raise place.refuse(f"{len(cells)} values for {len(header)} columns: quote values that hold a comma")
            else:
                yield place, {column: _word(place, cell) for column, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        raise Place(where, max(1, reader.line_num)).refuse(f"no CSV ({error}): save the list again") from None
    if not header:
        raise Place(where, 1).refuse("no header in it: begin with path,label")


def _header(place: Place, cells: list[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    missing = [column for column in NEEDED if column not in header]
    if missing:
        shown = ",".join(cells)[:80]
        raise place.refuse(f"no column {missing[0]!r} in {shown!r}: begin with path,label, separated by commas")
    twice = [column for column in COLUMNS if header.count(column) > 1]
    if twice:
        raise place.refuse(f"two columns are called {twice[0]!r}: rename one")
    return header


def _json_lines(where: str, text: str) -> Iterator[tuple[Place, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = Place(where, number)
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            raise place.refuse('no JSON object: write one a line, such as {"path": "a.jpg", "label": "cat"}') from None
        if not isinstance(values, dict):
            raise place.refuse('no JSON object: write one a line, such as {"path": "a.jpg", "label": "cat"}')
        yield place, {column: _word(place, values.get(column)) for column in COLUMNS}


def _word(place: Place, value: Any) -> str:
    if value is None:
        return ""
    if type(value) not in (str, int):
        raise place.refuse(f"{str(value)[:80]!r} is neither a word nor a whole number")
    word = str(value).strip()
    if len(word) > LONGEST:
        raise place.refuse(f"a value of {len(word):,} characters: a quote that is not closed?")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise place.refuse(f"{ascii(word)[:80]} is not UTF-8: write it anew") from None
    return word


def _path(place: Place, path: str) -> str:
    parts = path.split("/")
    if path.startswith(("/", "\\")) or ".." in parts or "://" in path:
        raise place.refuse(f"path {path!r} lies outside the data set: give paths relative to the list")
    if "\\" in path and "/" not in path:
        raise place.refuse(f"path {path!r}: write / between folders")
    return "/".join(part for part in parts if part not in ("", "."))


def _composed(word: str) -> str:
    """macOS writes an umlaut in a file's name as two characters, and editors write it in the list as one."""
    return unicodedata.normalize("NFC", word)


def _unique(tree: Tree, rows: Iterator[tuple[Place, Row]]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    groups: dict[str, str] = {}
    composed = {_composed(name): name for name in tree.files if not name.isascii()}
    for place, row in rows:
        if row.path not in tree.files and _composed(row.path) in composed:
            row = row._replace(path=composed[_composed(row.path)])
        if row.path not in tree.files:
            raise place.refuse(f"{row.path!r} is not in the data set: correct the path, or take the line out")
        before = found.setdefault(row.path, row)
        for column in COLUMNS[1:]:
            mine, first = getattr(row, column), getattr(before, column)
            if mine != first:
                raise place.refuse(f"{row.path!r} has {column} {mine!r} here and {first!r} above: take one line out")
        if row.group and row.split and groups.setdefault(row.group, row.split) != row.split:
            raise place.refuse(
                f"group {row.group!r} is in {row.split} here and in {groups[row.group]} above: "
                "pictures of one group belong into one split"
            )
    return found
