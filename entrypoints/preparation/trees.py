"""A tree of files by name: a folder, or an archive read in place; hidden files and macOS's own are left out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from images import Unreadable
from refusal import Refusal

from preparation import packed, tars, zips

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
OTHER_ARCHIVES = (".7z", ".rar", ".gz", ".bz2", ".xz", ".zst", ".lz4", ".z")
LIMITS = packed.Limits()
CHUNK = 2**20


class Tree(NamedTuple):
    """`files` and `folders` are named below the root, with "/" between parts; `where` names the root in messages."""

    where: str
    files: dict[str, str]  # name → what `fetch` takes
    folders: frozenset[str]
    fetch: Callable[[str], bytes]
    digest: str  # of the archive; "" for a folder

    def read(self, name: str) -> bytes:
        """Of a file that the data set cannot do without; pictures are read by Reader, and may be Unreadable."""
        try:
            return self.fetch(self.files[name])
        except Unreadable as reason:
            raise Refusal(f"{self.where}/{name}: {reason}: copy the data set again") from None


@dataclass(frozen=True)
class Reader:
    """Source.read over a tree: plain data, so that it can go to a forked or spawned process."""

    fetch: Callable[[str], bytes]
    keys: tuple[str, ...]

    def __call__(self, index: int) -> bytes:
        return self.fetch(self.keys[index])


@dataclass(frozen=True)
class Folder:
    root: Path

    def __call__(self, key: str) -> bytes:
        with (self.root / key).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LIMITS.file:
                raise Unreadable(f"{size:,} bytes, more than {LIMITS.file:,}")
            return file.read()


def open_tree(folder: Path, scratch: Path, limits: packed.Limits = LIMITS) -> Tree:
    """The folder itself, or the one archive in it when no folder lies beside it."""
    if not folder.is_dir():
        raise Refusal(f"{folder}: no such folder: check dataset.source in pipeline.yaml")
    shown = [folder / name for name in os.listdir(folder) if not _skipped(name)]
    alone = not any(path.is_dir() for path in shown)
    archives = sorted(path for path in shown if path.name.lower().endswith(ARCHIVES) and path.is_file())
    if alone and len(archives) > 1:
        raise Refusal(f"{folder}: holds {len(archives)} archives, such as {archives[1].name!r}: leave one, or unpack")
    if alone and archives:
        return _archive(archives[0], scratch, limits)
    if alone and len(shown) == 1 and shown[0].name.lower().endswith(OTHER_ARCHIVES):
        raise Refusal(f"{shown[0]}: not a kind of archive that is read here: pack the data set as .zip or .tar.gz")
    return _folder(folder)


def inside(tree: Tree, prefix: str = "") -> list[str]:
    """The folders directly under `prefix`, which is "" or ends in "/", in order of name."""
    found = (name[len(prefix) :] for name in tree.folders if name.startswith(prefix))
    return sorted(name for name in found if "/" not in name)


def outer(tree: Tree) -> list[str]:
    """The root's prefix and those of folders alone where they lie: an archive or S3 prefix often brings one along."""
    prefixes = [""]
    while len(only := inside(tree, prefixes[-1])) == 1:
        prefixes.append(f"{prefixes[-1]}{only[0]}/")
    return prefixes


def descend(tree: Tree) -> Tree:
    """The first folder that holds several folders, or the tree as it is when none does."""
    innermost = outer(tree)[-1]
    return below(tree, innermost) if inside(tree, innermost) else tree


def below(tree: Tree, prefix: str) -> Tree:
    """The part of a tree under `prefix`, which is "" or ends in "/"."""
    if not prefix:
        return tree
    files = {name[len(prefix) :]: key for name, key in tree.files.items() if name.startswith(prefix)}
    folders = frozenset(name[len(prefix) :] for name in tree.folders if name.startswith(prefix))
    return tree._replace(where=f"{tree.where}/{prefix.rstrip('/')}", files=files, folders=folders)


def digest(tree: Tree, names: Iterable[str]) -> str:
    """SHA-256 over names and contents, or over names and the archive that they lie in."""
    total = hashlib.sha256(tree.digest.encode())
    for name in names:
        content = "" if tree.digest else _sha256(Path(tree.where) / name)
        total.update(f"{name}\0{content}\n".encode())
    return total.hexdigest()


def _folder(root: Path) -> Tree:
    files: dict[str, str] = {}
    folders: set[str] = set()
    waiting = [("", frozenset({os.path.realpath(root)}))]
    while waiting:
        prefix, above = waiting.pop()
        with os.scandir(root / prefix) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if _skipped(entry.name):
                continue
            _encodable(str(root), name)
            leads = not entry.is_symlink() or os.path.exists(entry.path)  # is_file() would raise for a link to itself
            if leads and entry.is_file():
                files[name] = name
            elif leads and entry.is_dir():
                real = os.path.realpath(entry.path)
                if real in above:
                    raise Refusal(f"{entry.path}: a link to a folder above it: remove it")
                folders.add(name)
                waiting.append((f"{name}/", above | {real}))
            else:
                raise Refusal(f"{entry.path}: a broken link, a pipe or a device: remove it")
    return Tree(str(root), dict(sorted(files.items())), frozenset(folders), Folder(root), "")


def _archive(path: Path, scratch: Path, limits: packed.Limits) -> Tree:
    if path.name.lower().endswith(".zip"):
        listing = zips.open_zip(path, limits)
    else:
        listing = tars.open_tar(path, scratch, limits)
    files: dict[str, str] = {}
    folders = {name for name in listing.folders if name and not any(map(_skipped, name.split("/")))}
    for name, key in sorted(listing.files.items()):
        if not any(map(_skipped, name.split("/"))):
            files[name] = key
    for name in [*files, *folders]:
        _encodable(str(path), name)
        folders.update(map(str, list(PurePosixPath(name).parents)[:-1]))
    if not files:
        raise Refusal(f"{path}: no file in it: pack the data set again")
    return Tree(str(path), files, frozenset(folders), listing.packed, _sha256(path))


def _skipped(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _encodable(where: str, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Refusal(f"{where}: the name {ascii(name)} is not UTF-8: rename the file") from None


def _sha256(path: Path) -> str:
    """Not hashlib.file_digest, which clears 256 KB before each file: half the time of small ones."""
    total = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while content := file.read(CHUNK):
            total.update(content)
    return total.hexdigest()
