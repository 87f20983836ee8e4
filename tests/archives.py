"""Small data sets in the formats that people have: CIFAR's pickles as Python 2 wrote them, zip and tar archives."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Protocol 2 with byte strings as BINSTRING, which is what the published files hold."""

    dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes(self, value: bytes) -> None:
        short = len(value) < 256
        self.write((b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def python2(value: object) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, 2).dump(value)
    return buffer.getvalue()


def rows(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def cifar10(per_batch: int = 20, classes: int = 10) -> dict[str, bytes]:
    """File name → content of cifar-10-batches-py, smaller."""
    files = {}
    for seed, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
        labels = [row % classes for row in range(per_batch)]
        names = [b"%s_s_%06d.png" % (name.encode(), row) for row in range(per_batch)]
        held = {b"batch_label": name.encode(), b"labels": labels, b"data": rows(per_batch, seed), b"filenames": names}
        files[name] = python2(held)
    label_names = [b"class%d" % number for number in range(classes)]
    meta = {b"num_cases_per_batch": per_batch, b"label_names": label_names, b"num_vis": 3072}
    files["batches.meta"] = python2(meta)
    return files


def cifar100(count: int = 40, classes: int = 20) -> dict[str, bytes]:
    files = {}
    for seed, name in enumerate(("train", "test")):
        fine = [row % classes for row in range(count)]
        held = {
            b"filenames": [b"%d.png" % row for row in range(count)],
            b"batch_label": b"training batch 1 of 1",
            b"fine_labels": fine,
            b"coarse_labels": [label // 5 for label in fine],
            b"data": rows(count, seed),
        }
        files[name] = python2(held)
    fine_names = [b"fine%02d" % number for number in range(classes)]
    files["meta"] = python2({b"fine_label_names": fine_names, b"coarse_label_names": [b"a", b"b", b"c", b"d"]})
    return files


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
