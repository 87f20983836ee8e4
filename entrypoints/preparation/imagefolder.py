"""Class folders, or train / valid (val, validation) / test with class folders: the folders' names are the labels."""

from __future__ import annotations

import re
import unicodedata

import images
from refusal import Refusal

from preparation import trees
from preparation.items import SPLITS, Item, Source
from preparation.trees import Tree

FOLDER_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
NUMBERED = re.compile(r"^\d+\.(?=.)")  # 001.Affenpinscher → Affenpinscher
MEND = "put the pictures of each class into a folder named after it"


def open_folders(tree: Tree) -> Source:
    """Classes in order of folder name; those of train are the classes of all splits."""
    tree = trees.descend(tree)
    tops = trees.inside(tree)
    if not tops:
        raise Refusal(f"{tree.where}: no class folders in it{_packed_again(tree)}: {MEND}")
    splits = {FOLDER_NAMES[top.lower()]: top for top in tops if top.lower() in FOLDER_NAMES}
    splits = {split: splits[split] for split in SPLITS if split in splits}
    if splits:
        _check(tree.where, tops, splits)
    else:
        splits = {"": ""}
    folders = {split: f"{top}/" if top else "" for split, top in splits.items()}
    own = {split: _classes(tree, folder) for split, folder in folders.items()}
    classes = _agreed(tree.where, splits, own)
    return _source(tree, folders, own, classes)


def _source(tree: Tree, folders: dict[str, str], own: dict[str, dict[str, str]], classes: tuple[str, ...]) -> Source:
    """`own` names the class of each class folder, per split."""
    number = {name: label for label, name in enumerate(classes)}
    known = {
        f"{folders[split]}{folder}": (number[name], split)
        for split, each in own.items()
        for folder, name in each.items()
    }
    deep = 2 if "" not in folders else 1
    items: list[Item] = []
    ignored: list[str] = []
    for name in tree.files:
        found = known.get("/".join(name.split("/")[:deep]))
        if found is None or name.count("/") < deep:
            continue
        if _suffix(name) in images.SUFFIXES:
            items.append(Item(name, *found))
        else:
            ignored.append(name)
    items.sort()
    keys = tuple(tree.files[item.name] for item in items)
    digest = trees.digest(tree, (item.name for item in items))
    return Source("imagefolder", classes, items, trees.Reader(tree.fetch, keys), None, tuple(ignored), digest)


def _classes(tree: Tree, folder: str) -> dict[str, str]:
    """Class folder → class, in order of folder name."""
    # macOS writes an umlaut as two characters, others as one: both stand for one class
    found = {top: unicodedata.normalize("NFC", NUMBERED.sub("", top)) for top in trees.inside(tree, folder)}
    where = f"{tree.where}/{folder}".rstrip("/")
    if not found:
        raise Refusal(f"{where}: no class folders in it: {MEND}")
    names = list(found.values())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Refusal(f"{where}: two folders stand for class {twice[0]!r}: merge or rename one")
    return found


def _check(where: str, tops: list[str], splits: dict[str, str]) -> None:
    known = ", ".join(map(repr, splits.values()))
    strangers = [top for top in tops if top not in splits.values()]
    if strangers:
        raise Refusal(f"{where}: {strangers[0]!r} stands beside {known}: keep one folder each of train, valid, test")
    if "train" not in splits:
        raise Refusal(f"{where}: holds {known} but no 'train': add it, or leave only class folders")


def _agreed(where: str, splits: dict[str, str], own: dict[str, dict[str, str]]) -> tuple[str, ...]:
    first = "train" if "train" in own else ""
    classes = tuple(own[first].values())
    for split, each in own.items():
        unknown = sorted(set(each.values()) - set(classes))
        if unknown:
            raise Refusal(
                f"{where}/{splits[split]}: class {unknown[0]!r} is not in {where}/{splits[first]}: "
                "add it there or remove it"
            )
    return classes


def _packed_again(tree: Tree) -> str:
    inner = next((name for name in tree.files if name.lower().endswith(trees.ARCHIVES)), "")
    return f", and the archive {inner!r} in it is not opened" if inner else ""


def _suffix(name: str) -> str:
    base = name.rsplit("/", 1)[-1]
    return base[base.rfind(".") :].lower() if "." in base else ""
