"""Where pictures come from: a folder of class folders, or scikit-learn's digits made into one."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

import images
import numpy as np
from PIL import Image
from refusal import Refusal

SPLITS = ("train", "validation", "test")
FOLDER_NAMES = {
    "train": "train",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}
NUMBERED = re.compile(r"^\d+\.(?=.)")  # 001.Affenpinscher → Affenpinscher


class Item(NamedTuple):
    """One picture: its path, its name below the data set's root, and its class."""

    path: Path
    name: str
    label: int


class Source(NamedTuple):
    """`splits` holds what the folder itself separates; a source without such folders has everything under `train`."""

    classes: tuple[str, ...]
    splits: dict[str, list[Item]]
    ignored: tuple[str, ...]


def write_digits(folder: Path) -> None:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 in 17 greys, as PNG files in class folders."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label in digits.target_names:
        (folder / str(label)).mkdir(parents=True)
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        grey = np.round(pixels * (255 / 16)).astype(np.uint8)
        Image.fromarray(grey).save(folder / str(label) / f"{number:04d}.png")


def open_folder(root: Path) -> Source:
    """Class folders, or train / valid (val, validation) / test with class folders. Classes in order of folder name."""
    root = _descend(root)
    folders = _folders(root)
    if not folders:
        raise Refusal(f"{root}: no class folders in it: put the pictures of each class into a folder named after it")
    separated = {FOLDER_NAMES[folder.name.lower()]: folder for folder in folders if folder.name.lower() in FOLDER_NAMES}
    if not separated:
        classes, items, ignored = _class_folders(root, root)
        return Source(classes, {"train": items}, ignored)
    strangers = [folder.name for folder in folders if folder not in separated.values()]
    if strangers:
        raise Refusal(
            f"{root}: {strangers[0]!r} stands beside {_names(separated)}: keep one folder each of train, valid, test"
        )
    if "train" not in separated:
        raise Refusal(f"{root}: holds {_names(separated)} but no 'train': add it, or leave only class folders")
    return _separated(root, separated)


def digest(items: list[Item]) -> str:
    """SHA-256 over names and contents, in order of name."""
    total = hashlib.sha256()
    for item in sorted(items, key=lambda item: item.name):
        with item.path.open("rb") as file:
            total.update(f"{item.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _separated(root: Path, folders: dict[str, Path]) -> Source:
    classes, train, ignored = _class_folders(root, folders["train"])
    splits = {"train": train}
    for split in SPLITS[1:]:
        if split not in folders:
            continue
        own, items, more = _class_folders(root, folders[split])
        unknown = sorted(set(own) - set(classes))
        if unknown:
            raise Refusal(
                f"{folders[split]}: class {unknown[0]!r} is not in {folders['train']}: add it there or remove it"
            )
        splits[split] = [item._replace(label=classes.index(own[item.label])) for item in items]
        ignored += more
    return Source(classes, splits, ignored)


def _class_folders(root: Path, folder: Path) -> tuple[tuple[str, ...], list[Item], tuple[str, ...]]:
    folders = _folders(folder)
    classes = tuple(NUMBERED.sub("", each.name) for each in folders)
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise Refusal(f"{folder}: two folders stand for class {twice[0]!r}: merge or rename one")
    if not classes:
        raise Refusal(f"{folder}: no class folders in it: put the pictures of each class into a folder named after it")
    items: list[Item] = []
    ignored: list[str] = []
    for label, each in enumerate(folders):
        for path in _files(each):
            name = path.relative_to(root).as_posix()
            if path.suffix.lower() in images.SUFFIXES:
                items.append(Item(path, name, label))
            else:
                ignored.append(name)
    return classes, items, tuple(ignored)


def _descend(root: Path) -> Path:
    """An archive or S3 prefix often brings one outer folder with it."""
    if not root.is_dir():
        raise Refusal(f"{root}: no such folder: check dataset.source in pipeline.yaml")
    folders = _folders(root)
    while len(folders) == 1 and len(_folders(folders[0])) > 1:
        root, folders = folders[0], _folders(folders[0])
    return root


def _folders(folder: Path) -> list[Path]:
    found = (Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    return sorted(path for path in found if path.name != "__MACOSX")


def _files(folder: Path) -> list[Path]:
    found = (Path(base, name) for base, _, names in os.walk(folder) for name in names if not name.startswith("."))
    return sorted(found)


def _names(folders: dict[str, Path]) -> str:
    return ", ".join(repr(folder.name) for folder in folders.values())
