"""Small SVG drawings inside a page, in the colours of its style, which follow light and dark mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from health.page.markup import Html, fill, joined, share, short, span

WIDTH, HEIGHT = 420, 190
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 12, 34
TICKS = 4
WIDE = 8  # from this ratio on an axis is logarithmic
SHADES = {  # classes of the style: shades of one colour belong together
    "s0": ("forward",),
    "s0 b": ("backward",),
    "s0 c": ("optimizer",),
    "s1": ("data_wait",),
    "s2": ("evaluation",),
    "s3": ("checkpoint",),
    "s4": ("logging", "profiling"),
    "s5": ("transfer",),
    "s5 b": ("collector",),
    "g": ("start_up",),
    "g b": ("download",),
    "g c": ("export",),
    "o": ("other",),
}
COLOURS = {part: shade for shade, parts in SHADES.items() for part in parts}
CAUSES = {  # of outliers
    "data": "s1",
    "checkpoint": "s3",
    "evaluation": "s2",
    "logging": "s4",
    "recording": "s4 b",
    "garbage collector": "s5",
    "CPU": "s0",
}


class Axis(NamedTuple):
    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        low, high, here = (math.log10(max(v, 1e-12)) if self.log else v for v in (self.low, self.high, value))
        return min(max((here - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def ticks(self) -> list[float]:
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
            inside = [value for value in every if self.low <= value <= self.high]
            tens = [value for value in inside if round(math.log10(value), 6).is_integer()]
            return inside if len(inside) <= TICKS + 1 else tens if len(tens) > 1 else inside[:: len(inside) // TICKS]
        step = _nice((self.high - self.low) / TICKS)
        return [step * number for number in range(math.ceil(self.low / step), int(self.high / step + 1e-9) + 1)]


def axis(values: Sequence[float], whole: float | None = None) -> Axis:
    """From 0, up to `whole` where that is given; logarithmic where the values are of several magnitudes."""
    high = max(values, default=1.0) or 1.0
    least = min((value for value in values if value > 0), default=high)
    if whole is None and high > WIDE * least:
        return Axis(least / 1.1, high * 1.1, True)
    return Axis(0.0, whole if whole is not None else high * 1.05)


def strip(parts: Sequence[tuple[str, float]], label: str) -> Html:
    """Shares of one whole side by side."""
    whole = sum(value for _, value in parts) or 1.0
    drawn, x = [], 0.0
    for name, value in parts:
        wide = 1000 * value / whole
        rect = '<rect class="{}" x="{:.2f}" y="0" width="{:.2f}" height="40"><title>{}</title></rect>'
        if wide > 0:
            text = f"{name.replace('_', ' ')}: {span(value)}, {share(value / whole)}"
            drawn.append(Html(rect.format(COLOURS.get(name, "o"), x, max(wide - 1.5, 0.5), fill("{}", text))))
        x += wide
    opening = '<svg class="strip" viewBox="0 0 1000 40" preserveAspectRatio="none" role="img" aria-label="{}">'
    return fill(opening + "{}</svg>", label, joined(drawn))


def bar(part: float, colour: str) -> Html:
    """One share, beside its number in a table."""
    drawing = '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
    rect = '<rect class="track" width="100" height="10"/><rect class="{}" width="{}" height="10"/></svg>'
    return fill(drawing + rect, colour, f"{max(0.0, min(100.0, 100 * part)):.2f}")


def key(name: str) -> Html:
    """Of a part, or of what outliers are of."""
    drawing = '<svg class="key" viewBox="0 0 10 10" aria-hidden="true"><rect class="{}" width="10" height="10"/></svg>'
    return fill(drawing, COLOURS.get(name) or CAUSES.get(name, "o"))


def band(points: Sequence[Sequence[float]], label: str, whole: float | None = None) -> Html:
    """(x, highest, lowest): what passed between the two is filled. x are seconds of the job."""
    up = Axis(0.0, whole) if whole else Axis(0.0, max([point[1] for point in points] + [0.1]) * 1.05)
    return _chart(points, (Axis(points[0][0], points[-1][0]), up), label, (short, short), "seconds of the job")


def durations(
    points: Sequence[Sequence[float]], outliers: Sequence[tuple[int, float, str]], limit: float | None
) -> Html:
    """Seconds of each step, with the outliers as dots in the colour of their cause."""
    across, up = Axis(points[0][0], points[-1][0]), axis([value for point in points for value in point[1:]])
    dots = []
    for step, seconds, cause in outliers:
        text = f"step {step}: {span(seconds)}, {cause}"
        dot = '<circle class="{}" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>'
        dots.append(fill(dot, CAUSES.get(cause, "o"), _x(across, step), _y(up, seconds), text))
    if limit and up.low < limit < up.high:
        y = _y(up, limit)
        dots.insert(0, fill('<path class="limit" d="M{} {}H{}"/>', LEFT, y, WIDTH - RIGHT))
    return _chart(points, (across, up), "seconds of each step", (_count, span), "step", joined(dots))


def histogram(edges: Sequence[float], counts: Sequence[int]) -> Html:
    across = Axis(edges[0], edges[-1], edges[0] > 0 and edges[-1] > WIDE * edges[0])
    up = Axis(0.0, max([*counts, 1]) * 1.05)
    floor, bars = HEIGHT - BOTTOM, []
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count:
            left, right, top = _x(across, low), _x(across, high), min(_y(up, count), floor - 2)
            rect = '<rect class="s0" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
            text = f"{count} steps of {span(low)} to {span(high)}"
            bars.append(fill(rect, left, top, f"{max(right - left - 0.7, 0.8):.1f}", f"{floor - top:.1f}", text))
    grid = _grid(across, up, (span, _count), "duration of a step")
    return _svg("how many steps took how long", joined([grid, *bars]))


def reliability(points: Sequence[tuple[float, float]]) -> Html:
    """(confidence, accuracy) of each bin; a model that is as right as it is sure lies on the dashed line."""
    least = min([value for point in points for value in point], default=0.0)
    ends = Axis(max(0.0, least - 0.05), 1.0)
    middle = f"M{_x(ends, ends.low)} {_y(ends, ends.low)}L{_x(ends, 1.0)} {_y(ends, 1.0)}"
    parts = [_grid(ends, ends, (short, short), "confidence"), fill('<path class="limit" d="{}"/>', middle)]
    if points:
        way = "L".join(f"{_x(ends, across)} {_y(ends, up)}" for across, up in points)
        parts.append(fill('<path class="line" d="M{}"/>', way))
    dot = '<circle class="s0" cx="{}" cy="{}" r="3"><title>{}</title></circle>'
    for across, up in points:
        text = f"confidence {share(across)}, accuracy {share(up)}"
        parts.append(fill(dot, _x(ends, across), _y(ends, up), text))
    return _svg("accuracy by confidence", joined(parts))


def cores(shares: Sequence[float]) -> Html:
    """The mean use of each core, in %."""
    wide = (WIDTH - LEFT - RIGHT) / max(len(shares), 1)
    up, floor = Axis(0.0, 100.0), HEIGHT - BOTTOM
    rect = '<rect class="s0" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
    bars = []
    for number, value in enumerate(shares):
        x, y, text = LEFT + number * wide, _y(up, value), f"core {number}: {value:.0f} %"
        bars.append(fill(rect, f"{x + 1:.1f}", y, f"{max(min(wide - 2, 60), 1):.1f}", f"{floor - y:.1f}", text))
    lines = _lines(up, lambda value: f"{value:.0f} %")
    label = fill('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>', WIDTH - RIGHT, HEIGHT - 6, "cores")
    return _svg("mean use of each core", joined([lines, *bars, label]))


def _chart(
    points: Sequence[Sequence[float]],
    axes: tuple[Axis, Axis],
    label: str,
    words: tuple[Callable[[float], str], Callable[[float], str]],
    unit: str,
    more: Html = Html(""),  # noqa: B008  # a str
) -> Html:
    across, up = axes
    tops = [f"{_x(across, point[0])} {_y(up, point[1])}" for point in points]
    bottoms = [f"{_x(across, point[0])} {_y(up, point[2])}" for point in reversed(points)]
    drawn = [_grid(across, up, words, unit), fill('<path class="area" d="M{}Z"/>', "L".join(tops + bottoms))]
    drawn.append(fill('<path class="line" d="M{}"/>', "L".join(tops)))
    if len(points) == 1:
        drawn.append(fill('<circle class="s0" cx="{}" cy="{}" r="3"/>', *tops[0].split()))
    return _svg(label, joined([*drawn, more]))


def _grid(across: Axis, up: Axis, words: tuple[Callable[[float], str], Callable[[float], str]], label: str) -> Html:
    text = '<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>'
    parts = [_lines(up, words[1])]
    for value in across.ticks():
        x = _x(across, value)
        anchor = "end" if x > WIDTH - RIGHT - 16 else "middle"
        parts.append(fill(text, x, HEIGHT - BOTTOM + 14, anchor, words[0](value)))
    parts.append(fill(text, WIDTH - RIGHT, HEIGHT - 5, "end", label))
    return joined(parts)


def _lines(up: Axis, word: Callable[[float], str]) -> Html:
    line = '<path class="grid" d="M{} {}H{}"/><text class="tick" x="{}" y="{}" text-anchor="end">{}</text>'
    heights = [(value, _y(up, value)) for value in up.ticks()]
    return joined(fill(line, LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, word(value)) for value, y in heights)


def _svg(label: str, inner: Html) -> Html:
    opening = '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">'
    return fill(opening + "{}</svg>", WIDTH, HEIGHT, label, inner)


def _x(across: Axis, value: float) -> float:
    return round(LEFT + across.at(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(up: Axis, value: float) -> float:
    return round(HEIGHT - BOTTOM - up.at(value) * (HEIGHT - TOP - BOTTOM), 1)


def _nice(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(max(step, 1e-9)))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def _count(value: float) -> str:
    return f"{value:,.0f}"
