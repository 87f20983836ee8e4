"""The operators' section of the profile's page: torch.profiler's tables, and how to open its trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from health.page import drawings
from health.page.markup import Html, escaped, fill, joined, share, span, table
from health.page.parts import card

TABLES = {
    "device_kernels": ("On the GPU", "s2"),
    "cpu": ("On the CPU", "s0"),
    "cpu_by_shape": ("On the CPU, by shapes of the inputs", "s0"),
}
SHOWN = 15


def section(operators: Mapping[str, Any] | None) -> Html:
    if operators is None:
        said = "torch.profiler did not run: it was not asked for, or the job ended before its first step to watch."
        return card("Operators", fill("<p>{}</p>", said))
    steps = operators["steps"]
    lead = fill(
        "<p>torch.profiler watched steps {} to {} on {} with torch {}; starting, stopping and writing took {} more. "
        "The trace, <code>trace.json.gz</code>, opens at <code>ui.perfetto.dev</code> (Open trace file) as it is.</p>",
        *(steps[0], steps[-1], operators["device"], operators["torch"], span(operators["cost_seconds"])),
    )
    drawn = [_table(name, operators[name]) for name in TABLES if operators[name]["rows"]]
    source = Html(
        '<p class="source">Source: operators.json; self time is without the operators called from within.</p>'
    )
    return fill("<section><h2>Operators</h2>{}{}{}</section>", lead, joined(drawn), source)


def _table(name: str, body: Mapping[str, Any]) -> Html:
    title, colour = TABLES[name]
    rows: list[tuple[object, ...]] = [
        (
            fill("<code>{}</code>{}", row["name"], _shapes(row["shapes"])),
            drawings.bar(row["share"], colour),
            span(row["self_us"] / 1e6),
            share(row["share"]),
            f"{row['calls']:,}",
        )
        for row in body["rows"][:SHOWN]
    ]
    left = body["self_us"] - sum(row["self_us"] for row in body["rows"][:SHOWN])
    count = len(body["rows"][SHOWN:]) + body["rest"]["operators"]
    if count:
        rows.append((f"{count} others", drawings.bar(left / body["self_us"], "o"), span(left / 1e6), "", ""))
    heads = ("*operator", "bar", ">self time", ">share", ">calls")
    return fill("<h3>{}</h3>{}", title, table(heads, rows, "stacked operators"))


def _shapes(shapes: list[Any]) -> Html:
    """A list of tensors has a list of shapes."""
    text = ", ".join("×".join(map(str, shape)) for shape in shapes)
    return fill(' <span class="soft">{}</span>', text) if text else escaped("")
