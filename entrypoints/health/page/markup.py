"""HTML from templates that escape every value: what a page is made of, without a library that an image may lack."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from refusal import harmless


class Html(str):
    """Text that is HTML already."""


def fill(template: str, *values: object) -> Html:
    """Each {} gets the next value, escaped unless it is Html."""
    return Html(template.format(*(value if isinstance(value, Html) else escaped(value) for value in values)))


def escaped(value: object) -> Html:
    return Html(html.escape(harmless(str(value))))


def joined(parts: Iterable[Html]) -> Html:
    return Html("".join(parts))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "") -> Html:
    """Heads that begin with ">" stand to the right, with their columns; those of "*" wrap; "bar" needs none."""
    classes = [{">": "right", "*": "wrap"}.get(head[:1], "") for head in heads]
    names = [head.lstrip(">*") for head in heads]
    head = joined(
        fill('<th class="{}">{}</th>', one, "" if name == "bar" else name)
        for one, name in zip(classes, names, strict=True)
    )
    cell = '<td class="{}" data-head="{}">{}</td>'
    body = joined(
        fill("<tr>{}</tr>", joined(fill(cell, *three) for three in zip(classes, names, row, strict=True)))
        for row in rows
    )
    return fill('<div class="scroll" tabindex="0"><table class="{}"><tr>{}</tr>{}</table></div>', kind, head, body)


def span(seconds: float | None) -> str:
    """A length of time as people say it."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min")):
        if seconds < limit:
            return f"{short(seconds * factor)} {unit}"
    return f"{short(seconds / 3600)} h"


def share(value: float) -> str:
    if 0 < value < 0.0005:
        return "< 0.1 %"
    return f"{100 * value:.1f} %" if value < 0.0995 else f"{100 * value:.0f} %"


def short(value: float) -> str:
    """Three digits, without an exponent where there is a choice."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"
