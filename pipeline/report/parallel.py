"""Parallel coordinates: an upright axis for each hyperparameter, a line through all of them for each trial."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.report.charts import Axis, axis, cut, is_wide_range, number

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
    lines = [_line(kept, marks, across, trial) for trial in range(len(kept[0].values))]
    axes = [_axis(scale, ticks, x) for scale, (_, ticks), x in zip(kept, marks, across, strict=True)]
    head = '<svg class="chart parallel" viewBox="0 0 {} {}" role="img" aria-label="{}">'
    label = f"{len(lines)} trials by {', '.join(scale.name for scale in kept)}"
    return Markup(head).format(WIDTH, HEIGHT, label) + Markup("").join([*lines, *axes]) + Markup("</svg>")


_Ticks = list[tuple[float, str]]


def _marked(scale: Scale) -> tuple[list[float | None], _Ticks]:
    """(share of the height or None of each trial, ticks): numbers by size, words in the order of the alphabet."""
    numbers = [number_of(value) for value in scale.values]
    finite = [value for value in numbers if value is not None]
    words = sorted({value for value in scale.values if value})
    if finite and len(finite) == len([value for value in scale.values if value]):
        found = axis(scale.name, finite, is_wide_range(finite))
        return [None if value is None else found.share(value) for value in numbers], _number_ticks(found)
    places = {word: (index + 0.5) / len(words) for index, word in enumerate(words)}
    ticks = [(places[word], cut(word, LONGEST)) for word in words] if len(words) <= MOST_WORDS else []
    return [places.get(value) for value in scale.values], ticks


def _number_ticks(found: Axis) -> _Ticks:
    return [(found.share(value), number(value)) for value in found.ticks()]


def _line(kept: list[Scale], marks: list[tuple[list[float | None], _Ticks]], across: list[float], trial: int) -> Markup:
    """A value that is not there leaves a gap."""
    way, pen = "", "M"
    for x, (shares, _) in zip(across, marks, strict=True):
        share = shares[trial]
        if share is None:
            pen = "M"
            continue
        way += f"{pen}{x} {_y(share)}"
        pen = "L"
    title = ", ".join(f"{scale.name} {_trimmed(scale.values[trial])}" for scale in kept)
    strong = 0.12 + 0.88 * ((trial + 1) / len(kept[0].values)) ** 3
    path = '<path class="trial{}" stroke-opacity="{:.2f}" d="{}"><title>{}</title></path>'
    best = " best" if trial == len(kept[0].values) - 1 else ""
    return Markup(path).format(best, strong, way, title)


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


def _trimmed(text: str) -> str:
    value = number_of(text)
    return text if value is None else number(value)


def number_of(text: str) -> float | None:
    """None for a word, and for what no axis can hold."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
