"""Tuning steps: strategy against ranges, limits, objective, static hyperparameters."""

from __future__ import annotations

import math

from pipeline.validate import limits
from pipeline.validate.document import Document, Step
from pipeline.validate.node import Node, duplicates, nearest, quote
from pipeline.validate.rules_jobs import training_requests
from pipeline.validate.values import is_placeholder, literal_text, number

RANGE_KINDS = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")
RESERVED = "_tuning_objective_metric"  # the service adds it to every trial's hyperparameters


def check(document: Document, step: Step) -> None:
    config = step.arguments["HyperParameterTuningJobConfig"]
    definitions = list(training_requests(step))
    one, many = "TrainingJobDefinition" in step.arguments, "TrainingJobDefinitions" in step.arguments
    if one == many:
        step.arguments.error(
            "a tuning has either TrainingJobDefinition or TrainingJobDefinitions", "keep exactly one of the two"
        )
    for later, _ in duplicates(definition["DefinitionName"] for definition in definitions):
        later.error(f"the definition {later.value} is declared twice", "rename one of them")
    _check_limits(document, config["ResourceLimits"])
    _check_strategy(document, config)
    for definition in definitions:
        ranges = definition["HyperParameterRanges"] if many else config["ParameterRanges"]
        _check_ranges(document, ranges, step)
        _check_static(definition, ranges)
        _check_objective(
            definition["TuningObjective"] if many else config["HyperParameterTuningJobObjective"], definition, config
        )


def _check_limits(document: Document, resources: Node) -> None:
    most, beside = resources["MaxNumberOfTrainingJobs"], resources["MaxParallelTrainingJobs"]
    total, parallel = number(document.default(most.value)), number(document.default(beside.value))
    if total is not None and parallel is not None and parallel > total:
        beside.error(f"{parallel:g} jobs beside each other, {total:g} in all", f"write at most {total:g}")


def _check_strategy(document: Document, config: Node) -> None:
    strategy = config["Strategy"].value
    early = config["TrainingJobEarlyStoppingType"]
    hyperband = config.at("StrategyConfig", "HyperbandStrategyConfig")
    if strategy == "Hyperband" and early.value not in (None, "Off"):
        early.error("Hyperband stops trials itself: TrainingJobEarlyStoppingType has to be Off", "write Off")
    if hyperband.there and strategy != "Hyperband":
        hyperband.error(
            f"HyperbandStrategyConfig with the strategy {quote(strategy)}", "remove it, or choose Hyperband"
        )
    low, high = number(hyperband["MinResource"].value), number(hyperband["MaxResource"].value)
    if low is not None and high is not None and low >= high:
        hyperband["MinResource"].error(
            f"MinResource {low:g} is not below MaxResource {high:g}", f"write less than {high:g}"
        )
    if strategy == "Grid":
        _check_grid(document, config)


def _check_grid(document: Document, config: Node) -> None:
    ranges = config["ParameterRanges"]
    for kind in RANGE_KINDS[:2]:
        if ranges[kind].value:
            ranges[kind].error(
                "the Grid strategy takes categorical ranges only", "list the values, or choose another strategy"
            )
    most = config.at("ResourceLimits", "MaxNumberOfTrainingJobs")
    sizes = [len(item["Values"].value) for item in ranges[RANGE_KINDS[2]] if isinstance(item["Values"].value, list)]
    product = math.prod(sizes)
    asked = number(document.default(most.value))
    if sizes and asked is not None and asked != product:
        most.error(
            f"MaxNumberOfTrainingJobs is {asked:g}, the grid has {product} points",
            f"remove MaxNumberOfTrainingJobs, or write {product}",
        )


def _check_ranges(document: Document, ranges: Node, step: Step) -> None:
    names = [item["Name"] for kind in RANGE_KINDS for item in ranges[kind]]
    if not names and not ranges["AutoParameters"].value and not step.arguments["Autotune"].there:
        ranges.error("nothing is tuned: there is no range", "add a range, or use a Training step")
    if len(names) > limits.SEARCHED_HYPERPARAMETERS.value:
        most = limits.SEARCHED_HYPERPARAMETERS.value
        ranges.error(f"{len(names)} ranges, at most {most} hyperparameters can be searched", "fix some of them")
    for name in names:
        if is_placeholder(name.value):
            name.error("the name of a range must be literal", "write the hyperparameter's name out")
    for later, first in duplicates(names):
        later.error(f"the hyperparameter {later.value} has two ranges, first at {first.path}", "remove one")
    for item in ranges["IntegerParameterRanges"]:
        _check_interval(document, item, whole=True)
    for item in ranges["ContinuousParameterRanges"]:
        _check_interval(document, item, whole=False)
    for item in ranges["CategoricalParameterRanges"]:
        for later, _ in duplicates(item["Values"]):
            later.error(f"the category {quote(later.value)} stands twice", "remove one")


def _check_interval(document: Document, item: Node, whole: bool) -> None:
    bounds = []
    for key in ("MinValue", "MaxValue"):
        value = document.default(item[key].value)
        text = literal_text(value) if value is not None else literal_text(item[key].value)
        if text is None:
            return
        bound = number(text)
        if bound is None or not math.isfinite(bound) or (whole and bound != int(bound)):
            what = "a whole number" if whole else "a number"
            item[key].error(f"{key} {quote(text)} is not {what}", f'write {what} in quotes, as "10"')
            return
        bounds.append(bound)
    low, high = bounds
    if low >= high:
        item["MaxValue"].error(
            f"MinValue {low:g} is not below MaxValue {high:g}", "swap them, or make the value static"
        )
    _check_scale(item, low, high, whole)


def _check_scale(item: Node, low: float, high: float, whole: bool) -> None:
    scale = item["ScalingType"]
    if scale.value == "Logarithmic" and low <= 0:
        item["MinValue"].error(
            f"Logarithmic scaling needs values above 0, MinValue is {low:g}", "raise it, or scale Linear"
        )
    if scale.value == "ReverseLogarithmic" and (whole or low < 0 or high >= 1):
        scale.error("ReverseLogarithmic is for continuous ranges within 0 ≤ x < 1", "write Linear, Logarithmic or Auto")


def _check_static(definition: Node, ranges: Node) -> None:
    static = definition["StaticHyperParameters"]
    names = {item["Name"].text for kind in RANGE_KINDS for item in ranges[kind]}
    for key, value in static.members():
        if key in names:
            value.error(f"the hyperparameter {key} is both tuned and static", "remove it from StaticHyperParameters")
        if key == RESERVED:
            value.error(f"{RESERVED} belongs to the service", "remove it")
    count = len(names) + (len(static.value) if isinstance(static.value, dict) else 0) + 1
    if count > limits.HYPERPARAMETERS.value:
        static.error(
            f"{count} hyperparameters and the one that tuning adds: at most {limits.HYPERPARAMETERS.value} are allowed",
            "move some into the program's own defaults",
        )


def _check_objective(objective: Node, definition: Node, config: Node) -> None:
    if not objective.there:
        config.error("a tuning without an objective", "add HyperParameterTuningJobObjective: Type and MetricName")
        return
    name = objective["MetricName"]
    if is_placeholder(name.value):
        name.error("the name of the objective must be literal", "write the metric's name out")
    algorithm = definition["AlgorithmSpecification"]
    if name.text is None or not isinstance(algorithm.value, dict) or "AlgorithmName" in algorithm:
        return
    names = [text for metric in algorithm["MetricDefinitions"] if (text := metric["Name"].text) is not None]
    if name.text in names:
        return
    message, mend = f"the objective {quote(name.text)} has no metric definition", "add it to the MetricDefinitions"
    if names or "sagemaker_program" in definition["StaticHyperParameters"]:
        name.error(message, nearest(name.text, names, mend))
    else:  # AWS's own algorithms define their metrics themselves, and refuse definitions
        name.warning(f"{message}: only AWS's own algorithms do without", mend)
