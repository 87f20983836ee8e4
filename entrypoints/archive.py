"""The model archive: weights, card and serving code on one side, safe unpacking of somebody's archive on the other."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any

from refusal import Refusal

CARD = "model.json"
WEIGHTS = "model.pt"
CODE = "code"
OWN = "own"  # below the code, here and in train.py's archive: somebody's own network, out of the way of our modules
FORMAT = 2  # 1: before pictures were stored larger than the model sees them
MAX_MEMBERS = 10_000
# Weights shrink by a tenth, code to a quarter: an archive that grows 20-fold is no model.
MAX_RATIO = 20
SLACK = 64 * 2**20


def read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal(f"{path}: missing, so this is no model archive of TrainModel: check its address") from None
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): train again") from None
    needed = {"format", "architecture", "classes", "preprocessing", "weights"}
    missing = sorted(needed - card.keys()) if isinstance(card, dict) else sorted(needed)
    if missing:
        raise Refusal(f"{path}: {missing[0]!r} is missing: train again")
    if card["format"] != FORMAT:
        raise Refusal(f"{path}: format {card['format']!r}, and this code reads {FORMAT}: train again with this code")
    return card


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Takes plain files and folders below `folder` only; links, devices, `..`, absolute names and bombs are refused."""
    if not archive.is_file():
        raise Refusal(f"{archive}: no such file: EvaluateModel's input 'model' has to hold TrainModel's model.tar.gz")
    limit = archive.stat().st_size * MAX_RATIO + SLACK
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with gzip.open(archive) as plain, tarfile.open(fileobj=_Bounded(plain, limit, archive), mode="r|") as entries:
            for number, entry in enumerate(entries):
                _check(entry, number, archive)
                entries.extract(entry, folder, filter="data")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise Refusal(f"{archive}: damaged, or no gzipped tar archive ({error}): train again") from None


def _check(entry: tarfile.TarInfo, number: int, archive: Path) -> None:
    if not (entry.isreg() or entry.isdir()):
        raise Refusal(
            f"{archive}: {entry.name!r} is a link or a device, and SageMaker allows neither in a model archive"
        )
    if entry.name.startswith("/") or ".." in Path(entry.name).parts:
        raise Refusal(f"{archive}: {entry.name!r} would be written outside the folder: do not use this archive")
    if number >= MAX_MEMBERS:
        raise Refusal(f"{archive}: more than {MAX_MEMBERS:,} files: no model archive of TrainModel")


class _Bounded:
    """Counts what comes out of the decompressor, headers and padding included, before anything holds it."""

    def __init__(self, plain: IO[bytes], limit: int, archive: Path) -> None:
        self.plain = plain
        self.left = limit
        self.archive = archive

    def read(self, size: int) -> bytes:
        content = self.plain.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise Refusal(f"{self.archive}: unpacks to more than {MAX_RATIO} times its size: refused as a bomb")
        return content
