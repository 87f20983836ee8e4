"""Numpy's columns and lists as Arrow's and back, buffer by buffer: pyarrow's own ways import pandas, 0.4 s of a job."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NUMBERS = {pa.int64(): np.int64, pa.int32(): np.int32, pa.float64(): np.float64, pa.float32(): np.float32}


def lacking(kind: pa.DataType) -> Any:
    """What stands where nothing was given."""
    if pa.types.is_floating(kind):
        return math.nan
    return "" if kind == pa.string() else () if pa.types.is_list(kind) else 0


def arrow(values: Sequence[Any] | NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Without nulls."""
    count = len(values)
    if kind == pa.string():
        texts = [value.encode() for value in values]
        buffers = [None, pa.py_buffer(_offsets(texts)), pa.py_buffer(b"".join(texts))]
        return pa.Array.from_buffers(kind, count, buffers)
    if pa.types.is_list(kind):
        content = np.fromiter((number for value in values for number in value), np.float32)
        return pa.ListArray.from_arrays(arrow(_offsets(values), pa.int32()), arrow(content, pa.float32()))
    if pa.types.is_boolean(kind):
        bits = np.packbits(np.asarray(values, dtype=bool), bitorder="little")
        return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(bits)])
    return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(np.ascontiguousarray(values, NUMBERS[kind]))])


def joined(parts: Sequence[Sequence[Any] | NDArray[Any]]) -> list[Any] | NDArray[Any]:
    """One column of several."""
    if isinstance(parts[0], np.ndarray):
        return np.asarray(np.concatenate(parts))
    return [value for part in parts for value in part]


def plain(column: pa.Array) -> NDArray[Any]:
    """As `arrow` was given them: a copy, which may be changed."""
    kind, count, start = column.type, len(column), column.offset
    if kind == pa.string():  # each text once: names come again in every record
        encoded = column.dictionary_encode()
        texts = np.array([*encoded.dictionary.to_pylist(), ""], dtype=object)
        return np.asarray(texts[plain(encoded.indices)])
    if pa.types.is_list(kind):
        lists = np.empty(count, dtype=object)
        for row, value in enumerate(column):
            lists[row] = np.array(value.as_py() or (), dtype=np.float32)
        return lists
    content = column.buffers()[1]
    if pa.types.is_boolean(kind):
        bits = np.unpackbits(np.frombuffer(content or b"", np.uint8), bitorder="little")
        return bits[start : start + count].astype(bool)
    dtype = np.dtype(NUMBERS[kind])
    if not count:
        return np.zeros(0, dtype)
    return np.frombuffer(content, dtype, count, start * dtype.itemsize).copy()


def _offsets(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum([len(value) for value in values])]).astype(np.int32)
