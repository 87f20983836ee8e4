"""What a request may hold: a picture file, an .npy array or a JSON array becomes a batch of equal squares."""

from __future__ import annotations

import io
import json
import math
import tokenize
from typing import Any, NamedTuple

import images
import numpy as np
from numpy.typing import NDArray

MAX_PICTURES = 256  # a request; at 224 px they are 150 MB as float32
MAX_BODY = 6_291_456  # bytes: InvokeEndpoint's limit
MAGIC = {
    b"\xff\xd8\xff": "image",
    b"\x89PNG\r\n\x1a\n": "image",
    b"GIF8": "image",
    b"BM": "image",
    b"RIFF": "image",
    b"II*\0": "image",
    b"MM\0*": "image",
    b"II+\0": "image",  # BigTIFF
    b"MM\0+": "image",
    b"\x93NUMPY": "npy",
}
KINDS = "a JPEG, PNG, WebP, BMP, GIF or TIFF picture, an .npy array or a JSON array"


class Frame(NamedTuple):
    """How pictures become what the model sees: squared to `stored_size`, then the centre of `image_size`."""

    image_size: int
    stored_size: int
    square: str  # crop | pad


class BadRequest(ValueError):
    """One sentence for the caller, and the 4xx status that goes with it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def decode(body: bytes, frame: Frame) -> NDArray[np.uint8]:
    """(n, image_size, image_size, 3). What the body is, is read off its first bytes: content types are often wrong."""
    if not body:
        raise BadRequest(f"the body is empty: send {KINDS}")
    if len(body) > MAX_BODY:
        raise BadRequest(f"the body has {len(body):,} bytes; SageMaker takes {MAX_BODY:,}: send a smaller picture", 413)
    match _kind(body):
        case "image":
            try:
                return images.model_input(body, *frame)[None]
            except images.Unreadable as reason:
                raise BadRequest(f"the picture cannot be read: {reason}") from None
        case "npy":
            return _squares(_npy(body), frame)
        case "json":
            return _squares(_json(body), frame)
        case _:
            raise BadRequest(f"the body is not {KINDS}", 415)


def _kind(body: bytes) -> str | None:
    for magic, kind in MAGIC.items():
        if body.startswith(magic):
            return kind
    return "json" if body.lstrip()[:1] in (b"[", b"{") else None


def _npy(body: bytes) -> NDArray[Any]:
    """The header is read before anything is allocated: it may promise more than the body holds."""
    file = io.BytesIO(body)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, fortran, dtype = readers[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, EOFError, SyntaxError, TypeError, tokenize.TokenError):
        raise BadRequest("the .npy header is damaged or of an unknown version: write it with numpy.save") from None
    if dtype.hasobject or dtype.kind not in "uif":
        raise BadRequest(f"the .npy array holds {dtype}: send uint8, another integer type or floats")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(body) - file.tell():
        raise BadRequest(
            f"the .npy array of shape {shape} does not fit the body's length: it was cut short or extended"
        )
    flat = np.frombuffer(body, dtype=dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _json(body: bytes) -> NDArray[Any]:
    try:
        value = json.loads(body)
    except RecursionError:
        raise BadRequest("the JSON is nested too deeply for an array of pixels") from None
    except ValueError:
        raise BadRequest("the body looks like JSON and is not valid JSON") from None
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


def _squares(array: NDArray[Any], frame: Frame) -> NDArray[np.uint8]:
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or 0 in array.shape:
        raise BadRequest(f"an array of shape {array.shape}: send (3, H, W), (H, W, 3), or several of one size")
    if len(array) > MAX_PICTURES:
        raise BadRequest(f"{len(array)} pictures in one request: send at most {MAX_PICTURES}", 413)
    if array.shape[3] != 3:
        if array.shape[1] != 3:
            raise BadRequest(f"an array of shape {array.shape}: neither its second nor its last side is 3 (RGB)")
        array = array.transpose(0, 2, 3, 1)
    pixels = np.ascontiguousarray(_bytes(array))
    return np.stack([images.model_input(each, *frame) for each in pixels])


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Integers are 0…255. Floats that all lie in 0…1 are taken as such a share of 255."""
    if array.dtype == np.uint8:
        return array
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):  # NaN compares False
        raise BadRequest("pixel values have to lie in 0 to 255, or, as floats, in 0 to 1")
    if array.dtype.kind == "f" and high <= 1:
        array = array.astype(np.float64) * 255
    pixels: NDArray[np.uint8] = np.rint(array).astype(np.uint8)
    return pixels
