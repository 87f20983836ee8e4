"""Lines over a few rows of a terminal, as dots of braille or, where those cannot be printed, as characters."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Iterator, Sequence

from pipeline.cli.text import Span
from pipeline.report.charts import Axis, Point, Series, axis, is_wide_range, number

# `dots` of a cell, across and down; `every`: of how many dots of the n-th line one is drawn, so that lines can be told
# apart without colours; `marks`: what they are in the legend, and without braille in the plot, too
Pen = namedtuple("Pen", "dots rows every marks bar")
BRAILLE = Pen((2, 4), 5, (1, 2), "━┅", "┤│")
PLAIN = Pen((1, 1), 8, (1, 1), "*.", "||")
LOOKS = ("good", "soft")  # of the first line and the second
BLANK = 0x2800  # the braille pattern without dots; each dot is a bit (https://www.unicode.org/charts/PDF/U2800.pdf)
BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column, from the top

_Dots = dict[tuple[int, int], int]  # (x, y) from the top left → which line


def plot(title: str, lines: Sequence[Series], width: int, pen: Pen) -> list[list[Span]]:
    """Rows of at most `width` characters: title with legend, the plot, the ends of the axis across.

    At the left the highest and the lowest value; at the right where each line ends. A line's first points go before
    those of later ones. Empty where no point is finite. Values are on a logarithmic axis where they differ much.
    """
    kept = [[(x, y) for x, y in one.points if math.isfinite(x) and math.isfinite(y)] for one in lines]
    points = [point for some in kept for point in some]
    if not points:
        return []
    values = [y for _, y in points]
    across = axis("", [x for x, _ in points], False)
    up = axis("", values, is_wide_range(values))
    scale, ends = _scale(min(values), max(values), pen.rows), _ends(lines, kept, up, pen)
    size = max(map(len, scale)), max(len(text) for text, _ in ends.values())
    cells = max(8, width - sum(size) - 3)
    dots = _dots(kept, across, up, (cells * pen.dots[0], pen.rows * pen.dots[1]), pen)
    rows: list[list[Span]] = [_legend(title, lines, pen)]
    for row in range(pen.rows):
        left = (f"{scale[row]:>{size[0]}} {pen.bar[not scale[row]]}", "soft")
        rows.append([left, *_row(dots, row, cells, pen), (" ", ""), ends.get(row, ("", ""))])
    first, last = number(min(x for x, _ in points)), number(max(x for x, _ in points))
    return [*rows, [(" " * (size[0] + 2) + first + last.rjust(max(0, cells - len(first))), "soft")]]


def _legend(title: str, lines: Sequence[Series], pen: Pen) -> list[Span]:
    named = zip(pen.marks, lines, LOOKS, strict=False)
    return [(title, "strong"), *((f"  {mark} {one.name}", look) for mark, one, look in named if one.points)]


def _scale(low: float, high: float, rows: int) -> list[str]:
    return [number(high), *[""] * (rows - 2), number(low)]


def _ends(lines: Sequence[Series], kept: Sequence[Sequence[Point]], up: Axis, pen: Pen) -> dict[int, Span]:
    """Row → last value of a line, be it nan; those of two that end alike stand above each other."""
    last = sorted((some[-1][1], order) for order, some in enumerate(kept) if some)
    found: dict[int, Span] = {}
    for index, (value, order) in enumerate(reversed(last)):
        at = _place(1 - up.share(value), pen.rows * pen.dots[1]) // pen.dots[1]
        row = min(at, pen.rows - len(last) + index)
        found[row if row not in found else row + 1] = (number(lines[order].points[-1][1]), LOOKS[order])
    return found


def _place(share: float, many: int) -> int:
    """0 to `many` - 1; 0 for a share that is none, as of values whose difference no float holds."""
    return round(min(1.0, max(0.0, share)) * (many - 1))


def _dots(kept: Sequence[Sequence[Point]], across: Axis, up: Axis, size: tuple[int, int], pen: Pen) -> _Dots:
    """Earlier lines lie on later ones."""
    dots: _Dots = {}
    for order, some in enumerate(kept):
        places = [(_place(across.share(x), size[0]), _place(1 - up.share(y), size[1])) for x, y in some]
        for step, dot in enumerate(_joined(places)):
            if step % pen.every[order] == 0:
                dots.setdefault(dot, order)
    return dots


def _joined(places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """All dots on the way from each to the next."""
    yield from places[:1]
    for (x1, y1), (x2, y2) in zip(places, places[1:], strict=False):
        steps = max(abs(x2 - x1), abs(y2 - y1))
        for step in range(1, steps + 1):
            yield x1 + round((x2 - x1) * step / steps), y1 + round((y2 - y1) * step / steps)


def _row(dots: _Dots, row: int, cells: int, pen: Pen) -> Iterator[Span]:
    for cell in range(cells):
        inside = {
            (x, y): dots[dot]
            for x in range(pen.dots[0])
            for y in range(pen.dots[1])
            if (dot := (cell * pen.dots[0] + x, row * pen.dots[1] + y)) in dots
        }
        if not inside:
            yield " ", ""
        elif pen.dots == (1, 1):
            yield pen.marks[inside[0, 0]], LOOKS[inside[0, 0]]
        else:
            yield chr(BLANK + sum(BITS[x][y] for x, y in inside)), LOOKS[min(inside.values())]
