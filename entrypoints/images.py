"""The one way from a picture's bytes to pixels, in preparation and behind the endpoint alike."""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
MAX_PIXELS = 64_000_000  # checked before a pixel is decoded; 64 million RGB pixels are 192 MB
EXIF_ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's readers raise on damaged or hostile files; UnidentifiedImageError is an OSError.
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error)
DAMAGED = (*DAMAGED, ZeroDivisionError, NotImplementedError, AttributeError, RuntimeError)


class Unreadable(ValueError):
    """These bytes are no picture that we take; the message is one sentence without the file's name."""


def read(content: bytes, size: int) -> NDArray[np.uint8]:
    """Any picture as (size, size, 3) RGB: upright, transparency on white, short side to `size`, centre cut out."""
    return square(decode(content, size), size)


def decode(content: bytes, size: int) -> Image.Image:
    """RGB and upright. JPEGs are decoded at reduced scale, with both sides still at least twice `size`."""
    if not content:
        raise Unreadable("the file is empty")
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(f"more than {MAX_PIXELS:,} pixels") from None
    except DAMAGED:
        raise Unreadable("not a JPEG, PNG, WebP, BMP, GIF or TIFF picture, or damaged") from None
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise Unreadable(f"{width} x {height} pixels are more than {MAX_PIXELS:,}")
    try:
        picture.draft(None, (2 * size, 2 * size))
        picture.load()
        turn = UPRIGHT.get(picture.getexif().get(EXIF_ORIENTATION, 1))
        picture = _rgb(picture)
    except DAMAGED as error:
        raise Unreadable(f"damaged or cut short ({' '.join(str(error).split()) or type(error).__name__})") from None
    return picture.transpose(turn) if turn is not None else picture


def square(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    """Centre square of an RGB picture at `size` pixels; a picture of that size comes back pixel for pixel."""
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    if (width, height) != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(picture, dtype=np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) as a PNG file; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits a pixel: Pillow's own conversion would clip at 255
        values = np.asarray(picture).astype(np.int64)
        return Image.fromarray((np.clip(values, 0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; save the picture with 8 or 16 bits")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        paper = Image.new("RGBA", clear.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, clear).convert("RGB")
    return picture.convert("RGB")
