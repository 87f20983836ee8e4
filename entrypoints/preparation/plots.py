"""Charts of a data set as SVG text: as readable alone as in a page, in light mode as in dark mode.

A picture in a page does not see the page's style: each chart brings its own colours, those of the report's style.css.
They stay apart for people who confuse red with green (Machado et al. 2009: CIELAB distances of 30 and more).
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preparation.items import SPLITS

WIDTH = 360  # three charts stand side by side on the report's page, one on a telephone
LABELS = 148  # pixels for the names of classes
LETTERS = 19  # of them, that fit there in a wide font
NUMBERS = 46  # pixels right of the bars
CHART_ROWS = 45  # classes in one chart; more are spread over several of equal length
MOST_CLASSES = 200  # above, the largest and the smallest half of this number are drawn
MANY_SIZES, MOST_SIZES = 800, 5000
HEIGHT = 350
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 46, 40
TICKS = 6

STYLE = """
:root{--card:#fff;--ink:#1d1b20;--soft:#6c6673;--line:#e4e0e6;--s0:#2563c9;--s1:#c8501e;--s2:#26a072}
@media (prefers-color-scheme:dark){
:root{--card:#1c1a20;--ink:#ece9f0;--soft:#a09aab;--line:#35313c;--s0:#6ea8fe;--s1:#f2825a;--s2:#8fe3b8}}
.card{fill:var(--card)}.s0{fill:var(--s0)}.s1{fill:var(--s1)}.s2{fill:var(--s2)}.dot{fill-opacity:.5}.many{fill-opacity:.25}
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:var(--ink)}
.soft{fill:var(--soft)}.end{text-anchor:end}.middle{text-anchor:middle}.number{font-variant-numeric:tabular-nums}
.grid{stroke:var(--line);fill:none}.guide{stroke:var(--soft);fill:none;stroke-dasharray:4 4}
"""
# What XML 1.0 cannot hold, not even escaped.
UNPRINTABLE = re.compile("[^\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u007f-\u009f]")


class _Axis(NamedTuple):
    low: float
    high: float
    log: bool

    def share(self, value: float) -> float:
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return (at - low) / (high - low)

    def ticks(self) -> list[int]:
        if not self.log:
            step = _nice((self.high - self.low) / TICKS)
            return list(range(math.ceil(self.low / step) * step, int(self.high) + 1, step))
        powers = range(int(math.log10(self.high)) + 1)
        every = [digit * 10**power for power in powers for digit in (1, 2, 5)]
        shown = [value for value in every if self.low <= value <= self.high]
        return shown if len(shown) <= TICKS + 2 else [value for value in shown if str(value)[0] == "1"]


def printable(text: str) -> str:
    """Without characters that no picture can show: line ends, control characters, halves of a pair."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def shortened(text: str, letters: int) -> str:
    """Without its middle: names of classes and files differ at both ends. A wide letter (Japanese) counts twice."""
    widths = [2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text]
    if sum(widths) <= letters:
        return text
    end = _fitting(widths[::-1], letters // 2)
    start = _fitting(widths, letters - 1 - letters // 2)
    return f"{text[:start]}…{text[len(text) - end :]}"


def class_charts(classes: tuple[str, ...], counts: NDArray[np.int64]) -> list[str]:
    """Bars, a row a class; `counts` is (3, classes), by split. All charts have one scale."""
    total = counts.sum(axis=0)
    most = max(int(total.max(initial=0)), 1)
    if len(classes) <= MOST_CLASSES:
        parts = _parts("", np.arange(len(classes)))
    else:
        order = np.argsort(-total, kind="stable")
        half = MOST_CLASSES // 2
        parts = _parts(f"the {half} largest of {len(classes):,} classes", order[:half])
        parts += _parts(f"the {half} smallest of {len(classes):,} classes", order[-half:])
    return [_bars(title, [(classes[i], counts[:, i].tolist()) for i in rows], most) for title, rows in parts]


def size_chart(width: NDArray[np.int32], height: NDArray[np.int32], image_size: int) -> str:
    """A dot for each size that there is; the dashed corner is the size that the pictures are trained at."""
    sizes, counts = np.unique(np.stack([width, height], axis=1), axis=0, return_counts=True)
    title = f"{len(sizes):,} sizes of {int(counts.sum()):,} pictures"
    if len(sizes) > MOST_SIZES:
        picked = np.linspace(0, len(sizes) - 1, MOST_SIZES).round().astype(np.int64)
        title = f"{MOST_SIZES:,} of {title}"
        sizes, counts = sizes[picked], counts[picked]
    axis = _axis(int(sizes.min()), int(sizes.max()))
    parts = [f'<text class="soft" x="8" y="16">{title}</text>', *_grid(axis), *_guides(axis, image_size)]
    kind = "s0 dot" if len(sizes) <= MANY_SIZES else "s0 many"
    for (across, up), count in zip(sizes.tolist(), counts.tolist(), strict=True):
        radius = min(2.2 * count**0.25, 9)
        parts.append(f'<circle class="{kind}" cx="{_x(axis, across)}" cy="{_y(axis, up)}" r="{radius:.1f}"/>')
    return _svg(HEIGHT, "width and height of the originals", parts)


def _parts(title: str, rows: NDArray[np.int64]) -> list[tuple[str, NDArray[np.int64]]]:
    number = max(1, math.ceil(len(rows) / CHART_ROWS))
    per = math.ceil(len(rows) / number)
    return [(title, rows[start : start + per]) for start in range(0, len(rows), max(per, 1))]


def _bars(title: str, rows: list[tuple[str, list[int]]], most: int) -> str:
    step = 24 if len(rows) <= 12 else 17
    top = 56 if title else 34
    parts = [f'<text class="soft" x="10" y="42">{title}</text>'] if title else []
    x = LABELS + 8
    for order, split in enumerate(SPLITS):
        parts.append(f'<rect class="s{order}" x="{x}" y="10" width="10" height="10" rx="2"/>')
        parts.append(f'<text class="soft" x="{x + 15}" y="19">{split}</text>')
        x += 34 + 6 * len(split)
    for number, (name, counts) in enumerate(rows):
        parts += _row(printable(name), counts, (WIDTH - LABELS - 8 - NUMBERS) / most, top + number * step, step)
    return _svg(top + len(rows) * step + 10, "pictures of each class and split", parts)


def _row(name: str, counts: list[int], scale: float, y: int, step: int) -> list[str]:
    middle = y + step / 2 + 4
    label = shortened(name, LETTERS)
    title = f"<title>{html.escape(name)}</title>" if label != name else ""
    parts = [f'<text class="end" x="{LABELS}" y="{middle:g}">{title}{html.escape(label)}</text>']
    x = float(LABELS + 8)
    for order, count in enumerate(counts):
        if count:
            wide = max(count * scale - 1, 0.8)  # a pixel of card between two bars
            parts.append(
                f'<rect class="s{order}" x="{x:.1f}" y="{y + 3}" width="{wide:.1f}" height="{step - 6}" rx="1.5"/>'
            )
            x += wide + 1
    parts.append(f'<text class="soft number" x="{x + 5:.1f}" y="{middle:g}">{sum(counts):,}</text>')
    return parts


def _axis(low: int, high: int) -> _Axis:
    """One for width and height, so that a square picture lies on the diagonal; logarithmic from a factor of 8 on."""
    if high / low > 8:
        return _Axis(low / 1.15, high * 1.15, True)
    margin = max((high - low) * 0.06, 1)
    return _Axis(low - margin, high + margin, False)


def _grid(axis: _Axis) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for value in axis.ticks():
        x, y = _x(axis, value), _y(axis, value)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{right}M{x} {TOP}V{bottom}"/>')
        parts.append(f'<text class="soft end" x="{LEFT - 6}" y="{y + 4:g}">{value:,}</text>')
        parts.append(f'<text class="soft middle" x="{x}" y="{bottom + 16}">{value:,}</text>')
    parts.append(f'<text class="soft end" x="{right}" y="{HEIGHT - 6}">width in pixels</text>')
    parts.append(f'<text class="soft" x="8" y="{TOP - 10}">height in pixels</text>')
    parts.append(f'<text class="soft end" x="{right}" y="{TOP - 10}">larger dots: more pictures</text>')
    return parts


def _guides(axis: _Axis, image_size: int) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [f'<path class="guide" d="M{LEFT} {bottom}L{right} {TOP}"/>']
    if axis.low < image_size < axis.high:
        x, y = _x(axis, image_size), _y(axis, image_size)
        parts.append(f'<path class="guide" d="M{x} {TOP}V{y}H{right}"/>')
        parts.append(f'<text class="soft end" x="{right - 4}" y="{y - 5:g}">image_size {image_size}</text>')
    return parts


def _x(axis: _Axis, value: float) -> float:
    return round(LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(axis: _Axis, value: float) -> float:
    return round(HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM), 1)


def _svg(height: int, label: str, parts: list[str]) -> str:
    """The card behind it all: where only one of picture and page knows of dark mode, the text stays readable."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    card = f'<rect class="card" width="{WIDTH}" height="{height}"/>'
    body = "\n".join([f'{head} role="img" aria-label="{label}">', f"<style>{STYLE}</style>", card, *parts])
    return f"{body}\n</svg>\n"


def _nice(step: float) -> int:
    """The next of 1, 2, 5 times a power of ten."""
    power = int(10 ** max(0, math.floor(math.log10(max(step, 1)))))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step)


def _fitting(widths: list[int], letters: int) -> int:
    return int(np.searchsorted(np.cumsum(widths), letters, side="right"))
