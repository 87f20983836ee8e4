"""The section of the profile's page about steps: how long they took, which were outliers, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from health.page import drawings
from health.page.markup import Html, fill, joined, span, table
from health.page.parts import called, card, charts, said_by, sourced

Figures = Mapping[str, Any]


def section(figures: Figures, said: Mapping[str, Mapping[str, Any]]) -> Html:
    steps, found = figures["durations"], figures["outliers"]
    if not steps["steps"]:
        return card("Step durations", fill("<p>No step was left after the warm-up.</p>"))
    warm = steps["warm_up"]
    lead = (
        f"{steps['steps']:,} steps: median {span(steps['median'])}, mean {span(steps['mean'])}, 95th percentile "
        f"{span(steps['p95'])}, longest {span(steps['max'])}. The warm-up stands apart: {warm['steps']} "
        f"step{'s' * (warm['steps'] != 1)} of {span(warm['seconds'])} together"
    )
    if steps["profiled"]:
        lead += f"; so do the {len(steps['profiled'])} steps that torch.profiler slowed down"
    dots = [(one["step"], one["seconds"], one["cause"]) for one in found["largest"]]
    drawn = charts(
        ("how many steps took how long", drawings.histogram(**steps["histogram"])),
        (
            "each step; dots above the dashed line are outliers, by cause",
            drawings.durations(steps["curve"], dots, found["threshold"]),
        ),
    )
    parts = [said_by(said.get("StepOutlier")), fill("<p>{}.</p>", lead), drawn]
    return card("Step durations", joined([*parts, _causes(found), sourced("steps.arrow: seconds and its parts")]))


def _causes(found: Mapping[str, Any]) -> Html:
    if not found["steps"]:
        return fill("<p>No step is an outlier.</p>")
    causes = [
        (
            fill("{}{}", drawings.key(row["cause"]), row["cause"]),
            f"{row['steps']:,}",
            span(row["seconds"]),
            f"{row['every']:,} steps" if row["every"] else "–",
        )
        for row in found["by_cause"]
    ]
    largest = [
        (f"{one['step']:,}", span(one["seconds"]), span(one["excess"]), one["cause"], _explained(one))
        for one in found["largest"]
    ]
    lead = (
        f"{found['steps']} outliers took longer than {span(found['threshold'])}: {span(found['seconds'])} more in all "
    )
    lead += "than as many median steps."
    first = table(("cause", ">outliers", ">time lost", ">every"), causes, "dense")
    second = table((">step", ">took", ">above median", "cause", "*what took it"), largest, "dense")
    more = "" if len(largest) == found["steps"] else f" ({len(largest)} of {found['steps']:,}, the longest of each)"
    text = "<p>{}</p>{}<details><summary>Each outlier with its cause{}</summary>{}</details>"
    return fill(text, lead, first, more, second)


def _explained(one: Mapping[str, Any]) -> str:
    return f"{called(one['part'])}: {span(one['of_cause'])} above its median"
