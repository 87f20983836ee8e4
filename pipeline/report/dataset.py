"""What the page says of the data: where it came from, what the doctor found, how many pictures, and the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from pipeline.report.collect import Run

SPLITS = ("train", "validation", "test")
OPEN_FILES = 5  # a longer list of files is folded
MOST_FILES = 1000  # of one finding
OPEN_CLASSES = 20
# Findings by entrypoints/preparation/doctor.py; one of another name is shown by its name.
MEANINGS = {
    "unreadable": "damaged or cut short, or more pixels than are read",
    "not_pictures": "files that are no pictures",
    "ignored_files": "files that are no pictures",
    "duplicates": "the same picture again in one split",
    "leaks": "the same picture in two splits",
    "conflicting_labels": "the same picture under two labels",
    "small_classes": "classes with too few pictures to train on",
    "classes_without_pictures": "classes without a picture",
    "imbalance": "the largest class is many times the smallest",
    "odd_sizes": "very small, or very long and narrow",
}
NOTES = {"moved": "{:,} moved", "dropped": "{:,} dropped", "copies": "copies: {:,}", "ratio": "{:g} times"}
STATES = {"warn": "stopped", "fail": "bad"}  # an action that left the pictures as they were stands out


def view(run: Run) -> dict[str, Any]:
    """Empty where no job left a dataset.json. Every part is missing where an older one does not have it."""
    dataset = run.sections.get("dataset", {})
    parts = {
        "facts": _facts(dataset),
        "counts": _counts(dataset, _weights(run)),
        "findings": None if "findings" not in dataset else [_finding(row) for row in dataset["findings"]],
        "pictures": _pictures(run, dataset),
    }
    return parts if "findings" in dataset or any(parts.values()) else {}


def _facts(dataset: dict[str, Any]) -> list[tuple[str, str]]:
    source = dataset.get("source", {})
    facts = [("source", source.get("kind", dataset.get("kind", ""))), ("digest", source.get("digest", ""))]
    if "image_size" in dataset:
        facts.append(("prepared as", _prepared(dataset)))
    if "size" in dataset.get("pictures", {}):
        facts.append(("originals", "all of {} × {} pixels".format(*dataset["pictures"]["size"])))
    return [(name, value) for name, value in facts if value]


def _prepared(dataset: dict[str, Any]) -> str:
    size = dataset["image_size"]
    stored = dataset.get("stored_size", size)
    words = [f"squares of {size} × {size}"]
    if stored != size:
        words.append(f"cut out of {stored} × {stored}")
    words += [f"{name}: {dataset[name]}" for name in ("square", "encoding") if name in dataset]
    return ", ".join(words)


def _weights(run: Run) -> list[float]:
    """Only where training used them."""
    used = run.sections.get("training", {}).get("hyperparameters", {}).get("class_weights")
    weights = run.sections.get("dataset", {}).get("class_weights", [])
    return list(weights) if str(used).strip('"') == "balanced" else []


def _counts(dataset: dict[str, Any], weights: list[float]) -> dict[str, Any]:
    """Pictures of each class in each split, as shares of the largest class."""
    counts = dataset.get("counts") or {}
    names = dataset.get("classes") or ()
    splits = [split for split in SPLITS if split in counts]
    rows = [(name, [counts[split].get(name, 0) for split in splits]) for name in names]
    most = max((sum(row) for _, row in rows), default=0)
    if not most:
        return {}
    return {
        "splits": splits,
        "rows": rows,
        "most": most,
        "totals": [sum(row[order] for _, row in rows) for order in range(len(splits))],
        "weights": weights if len(weights) == len(names) else [],
        "folded": len(names) > OPEN_CLASSES,
    }


def _finding(row: dict[str, Any]) -> dict[str, Any]:
    lines = [*_class_lines(row), *_file_lines(row), *_group_lines(row)]
    name, action = row["finding"], row.get("action", "")
    meaning = MEANINGS.get(name, "")
    return {
        "name": name.replace("_", " "),
        "meaning": f"{meaning}: {row['split']}" if meaning and "split" in row else meaning,
        "action": action,
        "state": STATES.get(action, ""),
        "notes": [words.format(row[key]) for key, words in NOTES.items() if key in row],
        "count": row.get("count", len(lines)),
        "lines": lines[:MOST_FILES],
        "listed": f"{len(lines):,} {'groups' if 'groups' in row else 'listed'}",
        "more": row.get("left_out", 0) + max(len(lines) - MOST_FILES, 0),
        "folded": len(lines) > OPEN_FILES,
    }


def _class_lines(row: dict[str, Any]) -> list[str]:
    """Names of classes, with their counts where the finding tells them; those of `groups` stand with their files."""
    classes = row.get("classes", [])
    if isinstance(classes, dict):
        return [f"{name}: {count:,}" for name, count in classes.items()]
    return [name for name in classes if isinstance(name, str)]


def _file_lines(row: dict[str, Any]) -> list[str]:
    remarks = row.get("reasons") or row.get("sizes") or ()
    pairs = zip_longest(row.get("files", ()), remarks[: len(row.get("files", ()))])
    return [f"{name}: {remark}" if remark else name for name, remark in pairs]


def _group_lines(row: dict[str, Any]) -> list[str]:
    """A line for each group of files that show the same, with what they differ in."""
    groups, classes = row.get("groups", []), row.get("classes", [])
    beside = row.get("splits") or ([each for each in classes if isinstance(each, list)])
    return [_group(names, differ or ()) for names, differ in zip_longest(groups, beside[: len(groups)])]


def _group(names: list[str], differ: Sequence[str]) -> str:
    pairs = zip_longest(names, differ[: len(names)])
    return " = ".join(f"{name} ({word})" if word else name for name, word in pairs)


def _pictures(run: Run, dataset: dict[str, Any]) -> dict[str, Any]:
    named, shown = dataset.get("pictures", {}), run.pictures.shown
    classes = dataset.get("classes", [])
    sheets = [(_class(name, classes), shown[name]) for name in named.get("contact", ()) if name in shown]
    found = {
        "charts": [shown[name] for name in named.get("classes", ()) if name in shown],
        "sizes": shown.get(named.get("sizes", ""), ""),
        "sheets": sheets,
        "pairs": [(shown[pair["file"]], _pair(pair)) for pair in named.get("duplicates", ()) if pair["file"] in shown],
        "left_out": len(run.pictures.left_out),
        "folder": run.pictures.folder,
    }
    return found if shown or run.pictures.left_out else {}


def _class(name: str, classes: list[str]) -> str:
    """contact/007-Boxer.jpg shows the class of that number."""
    number = name.removeprefix("contact/")[:3]
    return classes[int(number)] if number.isdecimal() and int(number) < len(classes) else name


def _pair(pair: dict[str, Any]) -> dict[str, Any]:
    """(name, where it went) of the two, and their classes where they differ."""
    differ = pair["classes"][0] != pair["classes"][1]
    return {"rows": list(zip(pair["names"], pair["places"], strict=True)), "classes": pair["classes"] if differ else []}
