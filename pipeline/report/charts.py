"""Small charts as inline SVG; colours come from the page's style, so they follow its light and dark mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 14, 34
TICKS = 5
COLOURS = 6  # classes s0 … s5 in style.css

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """`style`: "line" joins the points, "dots" shows them alone, "steps" holds each value until the next."""

    name: str
    points: Sequence[Point]
    style: str = "line"


@dataclass(frozen=True)
class Axis:
    label: str
    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        return self.shares((value,))[0]

    def shares(self, values: Sequence[float]) -> list[float]:
        """0 at the low end, 1 at the high end."""
        scaled = math.log10 if self.log else float
        low, high = scaled(self.low), scaled(self.high)
        return [(scaled(value) - low) / (high - low) for value in values] if high > low else [0.5] * len(values)

    def ticks(self) -> list[float]:
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = max(1, math.ceil((last - first + 1) / (2 * TICKS)))
            decades = [10.0**power for power in range(first, last + 1, every)]
            return decades if len(decades) > 1 else [self.low, math.sqrt(self.low) * math.sqrt(self.high), self.high]
        step = _nice((self.high - self.low) / TICKS)
        first_tick = math.ceil(self.low / step - 1e-9) * step
        count = int((self.high - first_tick) / step + 1e-9)
        return [first_tick + index * step for index in range(count + 1)]


def chart(series: Sequence[Series], x: str, y: str, *, log_x: bool = False, log_y: bool = False) -> Markup:
    """Empty if there is no finite point. An axis is logarithmic only if all its values are positive."""
    kept = [Series(one.name, _finite(one.points), one.style) for one in series]
    points = [point for one in kept for point in one.points]
    if not points:
        return Markup("")
    across = axis(x, [value for value, _ in points], log_x)
    up = axis(y, [value for _, value in points], log_y, pad=0.06)
    parts = [_grid(across, up), *(_series(number, one, across, up) for number, one in enumerate(kept))]
    head = '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
    opening = Markup(head).format(w=WIDTH, h=HEIGHT, label=f"{y} by {x}")
    return opening + Markup("").join(parts) + Markup("</svg>")


def _finite(points: Sequence[Point]) -> list[Point]:
    return [(px, py) for px, py in points if math.isfinite(px) and math.isfinite(py)]


def axis(label: str, values: Sequence[float], log: bool, pad: float = 0.0) -> Axis:
    low, high = min(values), max(values)
    log = log and low > 0
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        reach = abs(low) * 0.1 or 1.0
        return Axis(label, low * 0.9, high * 1.1, True) if log else Axis(label, low - reach, high + reach)
    if log:
        reach = (math.log10(high) - math.log10(low)) * pad
        return Axis(label, max(low / 10**reach, 5e-324), high * 10**reach, True)
    margin = (high - low) * pad
    return Axis(label, low - margin, high + margin)


def _nice(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def _xs(axis: Axis, values: Sequence[float]) -> list[float]:
    return [round(LEFT + share * (WIDTH - LEFT - RIGHT), 1) for share in axis.shares(values)]


def _ys(axis: Axis, values: Sequence[float]) -> list[float]:
    return [round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1) for share in axis.shares(values)]


def _grid(across: Axis, up: Axis) -> Markup:
    parts = []
    ticks = up.ticks()
    for value, y in zip(ticks, _ys(up, ticks), strict=True):
        line = '<path class="grid" d="M{} {}H{}"/><text class="tick" x="{}" y="{}" text-anchor="end">{}</text>'
        parts.append(Markup(line).format(LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, number(value)))
    ticks = across.ticks()
    for value, x in zip(ticks, _xs(across, ticks), strict=True):
        text = '<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>'
        parts.append(Markup(text).format(x, HEIGHT - BOTTOM + 15, number(value)))
    label = '<text class="label" x="{}" y="{}" text-anchor="end">{}</text>'
    parts.append(Markup(label).format(WIDTH - RIGHT, HEIGHT - 3, across.label))
    return Markup("").join(parts)


def _series(order: int, one: Series, across: Axis, up: Axis) -> Markup:
    xs, ys = _xs(across, [x for x, _ in one.points]), _ys(up, [y for _, y in one.points])
    places = list(zip(xs, ys, strict=True))
    colour = f"s{order % COLOURS}"
    if one.style == "dots":
        return _dots(colour, one, places)
    if one.style == "steps":
        path = "".join(f"H{x}V{y}" for x, y in places[1:])
    else:
        path = "".join(f"L{x} {y}" for x, y in places[1:])
    first = f"M{places[0][0]} {places[0][1]}" if places else ""
    line = Markup('<path class="line {}" d="{}"/>').format(colour, first + path)
    ends = Markup('<circle class="dot {}" cx="{}" cy="{}" r="3"/>')
    return line + (Markup("").join(ends.format(colour, x, y) for x, y in places) if len(places) <= 30 else Markup(""))


def _dots(colour: str, one: Series, places: list[Point]) -> Markup:
    """By hand: Markup's own format() takes 60 µs a dot in place of 3, and a tuning of 500 trials has thousands."""
    name, dots = escape(one.name), zip(places, one.points, strict=True)
    circles = [
        f'<circle cx="{x}" cy="{y}" r="4"><title>{name}: {number(px)}, {number(py)}</title></circle>'
        for (x, y), (px, py) in dots
    ]
    return Markup(f'<g class="dot {colour}">{"".join(circles)}</g>')


def is_wide(points: Sequence[Point]) -> bool:
    """Whether the places across read better on a logarithmic axis."""
    return is_wide_range([across for across, _ in points])


def is_wide_range(values: Sequence[float]) -> bool:
    """More than a factor of eight between positive values."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > 8


@lru_cache(8192)  # a trial's values stand in several charts and in the title of its line
def number(value: float) -> str:
    """As short as it can be told apart: 0.97, 1e-05, 12."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3 or abs(value) >= 1e6:
        return f"{value:.3g}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:.0f}"
