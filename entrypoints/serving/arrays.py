"""Arrays out of a request's body: .npy, .npz, JSON, JSON Lines; nothing is allocated that the body only promises."""

from __future__ import annotations

import io
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.bad_request import BadRequest

MAX_PICTURES = 256  # a request; at 224 px they are 150 MB as float32
MAX_UNPACKED = 64 * 2**20  # bytes of all arrays in one .npz: ten times what a body may have
HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# LZMA's decoder takes as much memory as the archive asks for.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DAMAGED: tuple[type[Exception], ...] = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError)
DAMAGED += (ValueError, LookupError, RuntimeError, OverflowError)  # of forged directories


def npy(body: bytes) -> NDArray[Any]:
    """The header is read before anything is allocated: it may promise more than the body holds. Never a pickle."""
    file = io.BytesIO(body)
    try:
        shape, fortran, dtype = HEADER[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, EOFError, SyntaxError, TypeError, tokenize.TokenError, RecursionError, MemoryError):
        raise BadRequest("the .npy header is damaged or of an unknown version: write it with numpy.save") from None
    if dtype.hasobject or dtype.kind not in "uif":
        raise BadRequest(f"the .npy array holds {str(dtype)[:100]}: send uint8, another integer type or floats")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(body) - file.tell():
        raise BadRequest(
            f"the .npy array of shape {str(shape)[:100]} does not fit the body's length: it was cut short or extended"
        )
    flat = np.frombuffer(body, dtype=dtype, offset=file.tell())
    try:
        return flat.reshape(shape, order="F" if fortran else "C")
    except ValueError:  # more sides than numpy knows
        raise BadRequest(f"the .npy array has {len(shape)} sides: send (3, H, W), (H, W, 3), or several") from None


def npz(body: bytes) -> Iterator[NDArray[Any]]:
    """Each array, as they lie in the file. All sizes are known before the first of them is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            entries = packed.infolist()
            _check(entries)
            for entry in entries:
                with packed.open(entry) as file:
                    content = file.read(entry.file_size)
                yield npy(content)
    except BadRequest:
        raise
    except DAMAGED:
        raise BadRequest("the .npz archive is damaged or cut short: write it with numpy.savez") from None


def _check(entries: list[zipfile.ZipInfo]) -> None:
    if not entries:
        raise BadRequest("the .npz archive is empty: send at least one array")
    if len(entries) > MAX_PICTURES:
        raise BadRequest(f"{len(entries)} arrays in one .npz: send at most {MAX_PICTURES}", 413)
    for entry in entries:
        if not entry.filename.endswith(".npy"):
            raise BadRequest("the zip archive holds something else than .npy arrays: write it with numpy.savez", 415)
        if entry.compress_type not in METHODS or entry.flag_bits & 1:
            raise BadRequest("the .npz archive is encrypted or packed in an unusual way: write it with numpy.savez")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_UNPACKED:
        raise BadRequest(f"the .npz archive unpacks to {total:,} bytes: send at most {MAX_UNPACKED:,}", 413)


def json_arrays(body: bytes) -> Iterator[NDArray[Any]]:
    """One array of a JSON document, or of JSON Lines one array for each line."""
    try:
        yield parsed(_loads(body))
        return
    except ValueError as error:
        if isinstance(error, BadRequest):
            raise
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > MAX_PICTURES:
        raise BadRequest(f"{len(lines):,} lines in one request: send at most {MAX_PICTURES}", 413)
    for number, line in enumerate(lines, 1):
        try:
            value = _loads(line)
        except ValueError as error:
            if isinstance(error, BadRequest):
                raise
            where = f", nor is its line {number} as JSON Lines" if len(lines) > 1 else ""
            raise BadRequest(f"the body looks like JSON and is not valid JSON{where}") from None
        yield parsed(value)


def _loads(text: bytes) -> Any:
    """Raises ValueError for what is no JSON."""
    try:
        return json.loads(text)
    except RecursionError:
        raise BadRequest("the JSON is nested too deeply for an array of pixels") from None


def parsed(value: Any) -> NDArray[Any]:
    """A JSON value that somebody else may have parsed, as model servers do before they call a handler."""
    if isinstance(value, dict):
        if value.keys() != {"instances"}:
            raise BadRequest('a JSON object has to hold exactly "instances": an array of pictures')
        value = value["instances"]
    try:
        array = np.array(value)
    except (ValueError, RecursionError, OverflowError):
        raise BadRequest("the JSON array is ragged: each picture needs rows of equal length") from None
    if array.dtype.kind not in "uif":
        raise BadRequest("the JSON array holds something other than numbers")
    return array
