"""The one way from a picture's bytes to pixels, in preparation and behind the endpoint alike."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import colour
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
SQUARES = ("crop", "pad")
MAX_PIXELS = 64_000_000  # checked before a pixel is decoded; 64 million RGB pixels are 192 MB
QUALITY = 92  # of stored JPEGs
# Up to this side Pillow alone decodes and resizes: as fast there (8 to 64 px: 20 µs against 16 µs, 2 cores of an EPYC
# machine, n = 200), to the same pixels, and without the 2.7 s that importing torch and torchvision take.
SMALL = 96
PILLOW = r"PIL\."
EXIF_ORIENTATION = 0x0112
UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels[::-1].transpose(1, 0, 2),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: pixels[:, ::-1].transpose(1, 0, 2),
}
LYING = (5, 6, 7, 8)  # orientations that swap width and height
# What Pillow's readers raise on damaged or hostile files; UnidentifiedImageError is an OSError.
DAMAGED: tuple[type[Exception], ...] = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error),
    *(ZeroDivisionError, NotImplementedError, AttributeError, RuntimeError, AssertionError, zlib.error),
)


class Unreadable(ValueError):
    """These bytes are no picture that we take; the message is one sentence without the file's name."""


class Picture(NamedTuple):
    """The square, (size, size, 3) in sRGB, and the sides of the upright original."""

    pixels: NDArray[np.uint8]
    width: int
    height: int


def read(content: bytes, size: int, square: str = "crop") -> NDArray[np.uint8]:
    """Any picture as (size, size, 3): upright, in sRGB, transparency on white, see `squared` for the rest.

    Raises Unreadable, as all do here that take a file's content.
    """
    return picture(content, size, square).pixels


def picture(content: bytes, size: int, square: str = "crop") -> Picture:
    """As `read`, with the original's sides."""
    opened = _opened(content)
    width, height = opened.size
    try:
        pixels = _decoded(content, opened, _least(width, height, size, square))
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {MAX_PIXELS:,} pixels") from None
    except Unreadable:  # says more than "damaged"
        raise
    except DAMAGED as error:
        raise Unreadable(f"damaged or cut short ({' '.join(str(error).split()) or type(error).__name__})") from None
    pixels = squared(pixels, size, square)
    if opened.mode not in ("L", "CMYK"):  # those were converted before; here are fewer pixels
        pixels = colour.managed_pixels(pixels, opened.info.get("icc_profile"))
    turn = _turn(opened)
    if turn in UPRIGHT:
        pixels = UPRIGHT[turn](pixels)
    return Picture(np.ascontiguousarray(pixels), *((height, width) if turn in LYING else (width, height)))


def model_input(
    source: bytes | NDArray[np.uint8], image_size: int, stored_size: int, square: str = "crop"
) -> NDArray[np.uint8]:
    """A picture's bytes or (H, W, 3) pixels as evaluation sees them: squared to the stored size, then its centre."""
    pixels = read(source, stored_size, square) if isinstance(source, bytes) else squared(source, stored_size, square)
    return centre(pixels, image_size)


def dimensions(content: bytes) -> tuple[int, int]:
    """Width and height by the header alone, before any turning upright."""
    return _opened(content).size


def squared(pixels: NDArray[np.uint8], size: int, square: str = "crop") -> NDArray[np.uint8]:
    """(H, W, 3) → (size, size, 3): the centre cut out (crop), or all of it between black bars (pad)."""
    height, width = pixels.shape[:2]
    if square == "crop":
        side = min(width, height)
        top, left = (height - side) // 2, (width - side) // 2
        return _resized(pixels[top : top + side, left : left + side], size, size)
    if square != "pad":
        raise ValueError(f"square {square!r}: take one of {', '.join(SQUARES)}")
    inner = _resized(pixels, *_least(width, height, size, square))
    top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
    whole = np.zeros((size, size, 3), dtype=np.uint8)
    whole[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return whole


def centre(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(…, H, W, 3) → (…, size, size, 3), a view."""
    top, left = (pixels.shape[-3] - size) // 2, (pixels.shape[-2] - size) // 2
    return pixels[..., top : top + size, left : left + size, :]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) as a PNG file; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


def jpeg(pixels: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """(H, W, 3) as a JPEG file; the same pixels give the same bytes."""
    from torchvision.io import encode_jpeg

    encoded: bytes = encode_jpeg(_tensor(pixels)[0], quality).numpy().tobytes()
    return encoded


def _opened(content: bytes) -> Image.Image:
    """The header is read and judged; no pixel is decoded."""
    if not content:
        raise Unreadable("the file is empty")
    _hush()
    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {MAX_PIXELS:,} pixels") from None
    except DAMAGED:
        raise Unreadable("not a JPEG, PNG, WebP, BMP, GIF or TIFF picture, or damaged") from None
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise Unreadable(f"{width} x {height} pixels are more than {MAX_PIXELS:,}")
    if width < 1 or height < 1:
        raise Unreadable(f"{width} x {height} pixels: there is nothing in it")
    return opened


def _hush() -> None:
    """Pillow warns about odd metadata; a picture is either readable or not. catch_warnings would race in a server."""
    if not any(getattr(entry[3], "pattern", None) == PILLOW for entry in warnings.filters):
        warnings.filterwarnings("ignore", module=PILLOW)


def _turn(opened: Image.Image) -> object:
    """EXIF's orientation, after decoding, since Pillow turns TIFFs by itself. Damaged metadata spoils no pixels."""
    try:
        return opened.getexif().get(EXIF_ORIENTATION)
    except DAMAGED:
        return None


def _decoded(content: bytes, opened: Image.Image, least: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3), still lying and in its own RGB; JPEGs at 1/2, 1/4 or 1/8 where both sides stay at least `least`."""
    width, height = opened.size
    profile = opened.info.get("icc_profile")
    plain = opened.mode == "RGB" or (opened.mode == "L" and not profile)
    reducible = min(width // least[0], height // least[1]) >= 2
    if opened.format in ("JPEG", "MPO") and plain and not reducible and max(width, height) > SMALL:
        try:
            return _decoded_jpeg(content)
        except RuntimeError:  # torchvision's words are for its own developers: Pillow judges the file, and says why
            pass
    opened.draft(None, least)  # only JPEGs can; libjpeg scales in the frequencies, which costs less than decoding
    opened.load()
    flat = _flat(opened)
    return np.asarray(flat if flat.mode == "RGB" else colour.managed(flat, profile))


def _decoded_jpeg(content: bytes) -> NDArray[np.uint8]:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    # a copy, since torch warns about memory that may not be written
    decoded = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)
    pixels: NDArray[np.uint8] = decoded.permute(1, 2, 0).numpy()
    return pixels


def _flat(picture: Image.Image) -> Image.Image:
    """RGB, L or CMYK with 8 bits a channel, transparency on white."""
    if picture.mode.startswith("I"):
        return _from_16_bits(picture)
    if picture.mode == "F":
        raise Unreadable("floating-point pixels have no fixed range; save the picture with 8 or 16 bits")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        paper = Image.new("RGBA", clear.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, clear).convert("RGB")
    if picture.mode == "1":
        return picture.convert("L")
    return picture if picture.mode in ("RGB", "L", "CMYK") else picture.convert("RGB")


def _from_16_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits a pixel, which Pillow's own conversion would clip at 255."""
    values = np.asarray(picture)  # not as 64 bits: 512 MB for the largest, and as much again for each step
    if values.min() < 0 or values.max() > 65535:
        raise Unreadable("32-bit pixels have no fixed range; save the picture with 8 or 16 bits")
    grey = (values >> 8).astype(np.uint8)
    grey[values == picture.info.get("transparency", -1)] = 255
    return Image.fromarray(grey)


def _least(width: int, height: int, size: int, how: str) -> tuple[int, int]:
    """Width and height that the whole picture (pad) or at least its centre square (crop) needs to be left with."""
    if how == "crop":
        return size, size
    longest = max(width, height)
    return max(1, round(width * size / longest)), max(1, round(height * size / longest))


def _resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Bilinear over the area that each new pixel covers (antialiased), in torch and in Pillow alike."""
    if pixels.shape[:2] == (height, width):
        return pixels
    if max(*pixels.shape[:2], width, height) <= SMALL:
        small = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))
    from torch.nn.functional import interpolate

    resized = interpolate(_tensor(pixels), size=(height, width), mode="bilinear", antialias=True)
    found: NDArray[np.uint8] = resized[0].permute(1, 2, 0).numpy()
    return found


def _tensor(pixels: NDArray[np.uint8]) -> Any:
    """(H, W, 3) → (1, 3, H, W) over the same memory, channels last: torch has its fastest kernels for that."""
    import torch

    return torch.from_numpy(np.require(pixels, requirements=["C", "W"]))[None].permute(0, 3, 1, 2)
