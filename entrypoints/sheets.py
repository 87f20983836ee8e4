"""Pictures side by side in one JPEG: a sheet of a class, and the pairs that show the same."""

from __future__ import annotations

import io
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from plots import printable, shortened

COLUMNS = 8
PAIR_COLUMNS = 2
GAP = 3
PAIR_TILE = 144
TEXT, LINE = 13, 18  # size and height of a line in pixels
LETTERS = 42  # of that size, that fit below a pair
# Between light and dark: a JPEG cannot follow the page's mode.
PAPER, INK, WARNING = (52, 49, 59), (240, 238, 244), (255, 180, 120)
QUALITY = 80

Pixels = NDArray[np.uint8]


class Pair(NamedTuple):
    """Two squares, a line about each, and a line in warning colour where there is something wrong with them."""

    left: Pixels
    right: Pixels
    lines: tuple[str, str]
    warning: str = ""


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


def pairs(found: list[Pair]) -> bytes:
    """In a layout so narrow that a telephone shows the words at a readable size."""
    columns = min(PAIR_COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    wide, high = 2 * PAIR_TILE + 8 * GAP, PAIR_TILE + 3 * LINE + 8 * GAP
    sheet = Image.new("RGB", (columns * wide, rows * high), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for number, pair in enumerate(found):
        row, column = divmod(number, columns)
        x, y = column * wide + 4 * GAP, row * high + 4 * GAP
        for offset, square in ((0, pair.left), (PAIR_TILE + GAP, pair.right)):
            one = fitted(square, PAIR_TILE)
            sheet.paste(one, (x + offset, y + PAIR_TILE - one.height))
        y += PAIR_TILE + GAP
        for line, colour in ((pair.lines[0], INK), (pair.lines[1], INK), (pair.warning, WARNING)):
            draw.text((x, y), shortened(printable(line), LETTERS), colour, font)
            y += LINE
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
