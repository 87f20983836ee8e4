"""Parallel coordinates: an upright axis for each hyperparameter, a line through all of them for each trial."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup, escape

from pipeline.report.charts import Axis, axis, is_wide_range, number
from pipeline.wording import cut

WIDTH, HEIGHT = 900, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 70, 34, 14
MOST_AXES = 10  # beyond, names run into each other
MOST_WORDS = 12  # different words of one axis
LONGEST = 14  # characters of a name or a word


@dataclass(frozen=True)
class Scale:
    """Values of one hyperparameter, trial by trial; all scales have the same trials in the same order."""

    name: str
    values: list[str]

    @cached_property
    def numbers(self) -> list[float | None]:
        """None for what is no number."""
        return [number_of(value) for value in self.values]


def parallel(scales: list[Scale]) -> Markup:
    """Trials that come later are drawn over earlier ones, and stronger. The last scale is what they are judged by.

    Empty for fewer than two scales.
    """
    kept = [*scales[: MOST_AXES - 1], *scales[-1:]] if len(scales) > MOST_AXES else scales
    if len(kept) < 2:
        return Markup("")
    marks = [_marked(scale) for scale in kept]
    step = (WIDTH - LEFT - RIGHT) / (len(kept) - 1)
    across = [round(LEFT + step * index, 1) for index in range(len(kept))]
    lines = _lines(kept, [shares for shares, _ in marks], across)
    axes = [_axis(scale, ticks, x) for scale, (_, ticks), x in zip(kept, marks, across, strict=True)]
    head = '<svg class="chart parallel" viewBox="0 0 {} {}" role="img" aria-label="{}">'
    label = f"{len(lines)} trials by {', '.join(scale.name for scale in kept)}"
    return Markup(head).format(WIDTH, HEIGHT, label) + Markup("").join([*lines, *axes]) + Markup("</svg>")


_Ticks = list[tuple[float, str]]
_Shares = list[float | None]


def _marked(scale: Scale) -> tuple[_Shares, _Ticks]:
    """(share of the height or None of each trial, ticks): numbers by size, words in the order of the alphabet."""
    finite = [value for value in scale.numbers if value is not None]
    if finite and len(finite) == len([value for value in scale.values if value]):
        found = axis(scale.name, finite, is_wide_range(finite))
        shares = iter(found.shares(finite))
        return [None if value is None else next(shares) for value in scale.numbers], _number_ticks(found)
    words = sorted({value for value in scale.values if value})
    places = {word: (index + 0.5) / len(words) for index, word in enumerate(words)}
    ticks = [(places[word], cut(word, LONGEST)) for word in words] if len(words) <= MOST_WORDS else []
    return [places.get(value) for value in scale.values], ticks


def _number_ticks(found: Axis) -> _Ticks:
    ticks = found.ticks()
    return list(zip(found.shares(ticks), map(number, ticks), strict=True))


def _lines(kept: list[Scale], marks: list[_Shares], across: list[float]) -> list[Markup]:
    """By hand, scale by scale: Markup's own format() takes 80 µs a line, and a tuning of 500 trials has as many."""
    titles = [_titles(scale) for scale in kept]
    points = [
        [None if share is None else f"{x} {_y(share)}" for share in shares]
        for x, shares in zip(across, marks, strict=True)
    ]
    count = len(kept[0].values)
    rows = enumerate(zip(zip(*points, strict=True), zip(*titles, strict=True), strict=True), start=1)
    return [_line(number / count, way, title) for number, (way, title) in rows]


def _line(rank: float, points: tuple[str | None, ...], titles: tuple[str, ...]) -> Markup:
    """`rank`: from the worst trial to 1, the best. A value that is not there leaves a gap."""
    way, pen = "", "M"
    for point in points:
        way += f"{pen}{point}" if point else ""
        pen = "L" if point else "M"
    best = " best" if rank == 1 else ""
    strong = f"{0.12 + 0.88 * rank**3:.2f}"
    return Markup(
        f'<path class="trial{best}" stroke-opacity="{strong}" d="{way}"><title>{", ".join(titles)}</title></path>'
    )


def _axis(scale: Scale, ticks: _Ticks, x: float) -> Markup:
    parts = [Markup('<path class="rule" d="M{} {}V{}"/>').format(x, TOP, HEIGHT - BOTTOM)]
    for share, text in ticks:
        mark = '<text class="tick halo" x="{}" y="{}">{}</text>'
        parts.append(Markup(mark).format(x + 5, _y(share) + 4, text))
    name = '<text class="label" x="{}" y="{}" text-anchor="middle">{}</text>'
    parts.append(Markup(name).format(x, TOP - 16, cut(scale.name, LONGEST)))
    return Markup("").join(parts)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _titles(scale: Scale) -> list[str]:
    """Its name and the value of each trial, escaped; numbers as short as they can be."""
    name, pairs = escape(scale.name), zip(scale.values, scale.numbers, strict=True)
    return [f"{name} {escape(value) if found is None else number(found)}" for value, found in pairs]


def number_of(text: str) -> float | None:
    """None for a word, and for what no axis can hold."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
