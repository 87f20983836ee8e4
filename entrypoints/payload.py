"""What a request may hold: a picture file or arrays become a batch of equal squares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import images
import numpy as np
from numpy.typing import NDArray
from serving import arrays
from serving.arrays import MAX_PICTURES
from serving.bad_request import BadRequest

__all__ = ["MAX_BODY", "MAX_PICTURES", "BadRequest", "Body", "Frame", "decode", "kind"]

# The bytes of a request, or what a model server before us has made of them.
Body = bytes | NDArray[Any] | list[Any] | dict[str, Any]
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
    b"PK\x03\x04": "npz",
    b"PK\x05\x06": "npz",  # without an entry
}
KINDS = "a JPEG, PNG, WebP, BMP, GIF or TIFF picture, an .npy array, an .npz archive of them, or JSON (Lines) arrays"


class Frame(NamedTuple):
    """How pictures become what the model sees: squared to `stored_size`, then the centre of `image_size`."""

    image_size: int
    stored_size: int
    square: str  # crop | pad


def decode(body: Body, frame: Frame, most: int = MAX_BODY) -> NDArray[np.uint8]:
    """(n, image_size, image_size, 3). What the body is, is read off its first bytes: content types are often wrong."""
    if not isinstance(body, bytes):
        return _squares([body if isinstance(body, np.ndarray) else arrays.parsed(body)], frame)
    if not body:
        raise BadRequest(f"the body is empty: send {KINDS}")
    if len(body) > most:
        raise too_large(most, f"the body has {len(body):,} bytes")
    match kind(body):
        case "image":
            try:
                return images.model_input(body, *frame)[None]
            except images.Unreadable as reason:
                raise BadRequest(f"the picture cannot be read: {reason}") from None
        case "npy":
            return _squares([arrays.npy(body)], frame)
        case "npz":
            return _squares(arrays.npz(body), frame)
        case "json":
            return _squares(arrays.json_arrays(body), frame)
        case _:
            raise BadRequest(f"the body is not {KINDS}", 415)


def too_large(most: int, what: str = "the body is too large") -> BadRequest:
    return BadRequest(f"{what}; this endpoint takes {most:,}: send a smaller picture, or fewer", 413)


def kind(body: bytes) -> str | None:
    """image, npy, npz or json, by the first bytes."""
    for magic, name in MAGIC.items():
        if body.startswith(magic):
            return name
    return "json" if body.lstrip()[:1] in (b"[", b"{") else None


def _squares(found: Iterable[NDArray[Any]], frame: Frame) -> NDArray[np.uint8]:
    """One at a time, since each may be larger than the square that is left of it."""
    parts: list[NDArray[np.uint8]] = []
    for array in found:
        pixels = _pictures(array, MAX_PICTURES - sum(map(len, parts)))
        parts.append(np.stack([images.model_input(each, *frame) for each in pixels]))
    if not parts:
        raise BadRequest("there is no picture in the body")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _pictures(array: NDArray[Any], most: int) -> NDArray[np.uint8]:
    """(n, H, W, 3), at most so many."""
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or 0 in array.shape:
        raise BadRequest(f"an array of shape {array.shape}: send (3, H, W), (H, W, 3), or several of one size")
    if len(array) > most:
        raise BadRequest(f"more than {MAX_PICTURES} pictures in one request: send at most {MAX_PICTURES}", 413)
    if array.shape[3] != 3:
        if array.shape[1] != 3:
            raise BadRequest(f"an array of shape {array.shape}: neither its second nor its last side is 3 (RGB)")
        array = array.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(_bytes(array))


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Integers are 0…255. Floats that all lie in 0…1 are taken as such a share of 255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "uif":
        raise BadRequest(f"the array holds {array.dtype}: send uint8, another integer type or floats")
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):  # NaN compares False
        raise BadRequest("pixel values have to lie in 0 to 255, or, as floats, in 0 to 1")
    if array.dtype.kind == "f" and high <= 1:
        array = array.astype(np.float64) * 255
    pixels: NDArray[np.uint8] = np.rint(array).astype(np.uint8)
    return pixels
