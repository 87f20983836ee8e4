"""Rules between keys of the section tuning: its limits, what each strategy takes, ranges that can be searched."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from pipeline.config.problems import Problem, allowed_by, quoted
from pipeline.config.training import Range, TuningSection
from pipeline.config.tunable import TUNABLE, is_choice, is_whole

Problems = Iterator[Problem]


def tuning_rules(tuning: TuningSection) -> Problems:
    if not tuning.enabled:
        return
    if not tuning.ranges:
        yield Problem(("tuning", "ranges"), "{}: at least one name from training.hyperparameters, or `enabled: false`")
    for name, searched in tuning.ranges.items():
        yield from _range(name, searched)
    yield from _limits(tuning)
    yield from _grid(tuning) if tuning.strategy == "Grid" else ()
    yield from _hyperband(tuning) if tuning.strategy == "Hyperband" else ()


def _limits(tuning: TuningSection) -> Problems:
    if tuning.max_jobs is None and tuning.strategy != "Grid":
        yield Problem(
            ("tuning", "max_jobs"), f"null: only Grid knows its number of trials; {tuning.strategy} needs one"
        )
    if tuning.max_jobs is not None and tuning.max_parallel_jobs > tuning.max_jobs:
        says = f"{tuning.max_parallel_jobs} is more than max_jobs ({tuning.max_jobs})"
        yield Problem(("tuning", "max_parallel_jobs"), says)


def _grid(tuning: TuningSection) -> Problems:
    for name, searched in tuning.ranges.items():
        if searched.values is None:
            yield Problem(("tuning", "ranges", name), "Grid takes choices only: write `values: [...]`")
    product = math.prod(len(searched.values or (1,)) for searched in tuning.ranges.values())
    if tuning.max_jobs not in (None, product):
        says = f"{tuning.max_jobs}: Grid tries all {product} combinations; write {product} or null"
        yield Problem(("tuning", "max_jobs"), says)


def _hyperband(tuning: TuningSection) -> Problems:
    if tuning.early_stopping:
        yield Problem(("tuning", "early_stopping"), "true: Hyperband stops trials itself; write false")
    if "epochs" in tuning.ranges:
        yield Problem(("tuning", "ranges", "epochs"), "Hyperband gives out the epochs itself; leave them out")
    if tuning.epochs < 2:
        yield Problem(
            ("tuning", "epochs"), f"{tuning.epochs}: Hyperband compares trials after some of their epochs; 2 or more"
        )


def _range(name: str, searched: Range) -> Problems:
    path = ("tuning", "ranges", name)
    if name not in TUNABLE:
        near = difflib.get_close_matches(name, TUNABLE, n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(TUNABLE)}"
        yield Problem(path, f"is not a hyperparameter that can be searched; {hint}")
        return
    interval = searched.min is not None and searched.max is not None
    any_bound = searched.min is not None or searched.max is not None
    if interval == (searched.values is not None) or (any_bound and not interval):
        yield Problem(path, "either `values: [...]`, or both `min` and `max`")
        return
    yield from _choice(path, name, searched) if searched.values is not None else ()
    yield from _interval(path, name, searched) if interval else ()


def _choice(path: tuple[str, ...], name: str, searched: Range) -> Problems:
    values = searched.values or ()
    for index, value in enumerate(values):
        yield from _value((*path, "values", index), name, value)
    if len(set(map(str, values))) != len(values):
        yield Problem((*path, "values"), f"{quoted(list(values))} holds a value twice")
    if searched.scaling != "Auto":
        yield Problem((*path, "scaling"), f"{quoted(searched.scaling)}: only for an interval; leave it out")


def _interval(path: tuple[str, ...], name: str, searched: Range) -> Problems:
    low, high = searched.min, searched.max
    assert low is not None and high is not None
    if is_choice(name):
        yield Problem(path, f"{name} is a choice: write `values: [...]`")
        return
    yield from _value((*path, "min"), name, low)
    yield from _value((*path, "max"), name, high)
    if low >= high:
        yield Problem((*path, "min"), f"{low} is not below max ({high})")
    if searched.scaling == "Logarithmic" and low <= 0:
        yield Problem((*path, "scaling"), f"Logarithmic needs min above 0, not {low}")
    if searched.scaling == "ReverseLogarithmic" and not (low >= 0 and high < 1):
        yield Problem(
            (*path, "scaling"), f"ReverseLogarithmic needs an interval inside 0 <= x < 1, not {low} to {high}"
        )
    if searched.scaling == "ReverseLogarithmic" and is_whole(name):
        yield Problem((*path, "scaling"), "ReverseLogarithmic is for fractions, not for whole numbers")


def _value(path: tuple[str | int, ...], name: str, value: Any) -> Problems:
    try:
        TUNABLE[name].model_validate({name: value})
    except ValidationError:
        allowed = allowed_by(TUNABLE[name].model_json_schema(), (name,))
        yield Problem(path, f"{quoted(value)} is not allowed for {name}; allowed: {allowed}")
