"""Pictures side by side in one JPEG: a sheet of a class, or two that show the same. Names are the page's affair."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLUMNS = 8
GAP = 3
PAIR_TILE = 144
# Between light and dark: a JPEG cannot follow the page's mode.
PAPER = (110, 107, 117)
QUALITY = 75

Pixels = NDArray[np.uint8]


def contact(squares: Pixels, tile: int) -> bytes:
    """(n, S, S, 3) in rows of equal length; squares are made about `tile` pixels large."""
    rows = math.ceil(len(squares) / COLUMNS)
    columns = math.ceil(len(squares) / rows)
    tiles = [fitted(square, tile) for square in squares]
    side = tiles[0].width
    sheet = Image.new("RGB", (_length(columns, side), _length(rows, side)), PAPER)
    for number, one in enumerate(tiles):
        row, column = divmod(number, columns)
        sheet.paste(one, (GAP + column * (side + GAP), GAP + row * (side + GAP)))
    return _jpeg(sheet)


def pair(left: Pixels, right: Pixels) -> bytes:
    """Two squares side by side."""
    tiles = [fitted(square, PAIR_TILE) for square in (left, right)]
    side = tiles[0].width
    sheet = Image.new("RGB", (_length(2, side), _length(1, side)), PAPER)
    for number, one in enumerate(tiles):
        sheet.paste(one, (GAP + number * (side + GAP), GAP))
    return _jpeg(sheet)


def fitted(square: Pixels, tile: int) -> Image.Image:
    """A large square is reduced to `tile`; a small one is enlarged by a whole number: its pixels stay squares."""
    picture = Image.fromarray(square)
    side = picture.width
    if side > tile:
        return picture.resize((tile, tile), Image.Resampling.LANCZOS, reducing_gap=2.0)
    side *= tile // side
    return picture.resize((side, side), Image.Resampling.NEAREST)


def _length(number: int, side: int) -> int:
    return number * (side + GAP) + GAP


def _jpeg(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getvalue()
