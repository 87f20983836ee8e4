"""What was collected → HTML. Every value is escaped by Jinja2: names and logs with HTML in them are shown, not run."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.control import executions, parameters
from pipeline.control.times import duration, moment
from pipeline.models import evaluation as figures
from pipeline.report import charts, confusion, dataset, evaluation, health, lineage, steps, tuning, verdict
from pipeline.report.charts import Series, chart, is_wide_range
from pipeline.report.collect import Run

STYLE, SCRIPT = "style.css", "report.js"


def render(run: Run) -> str:
    environment = _environment()
    measured = figures.read(run.evaluation)
    section = run.sections.get("evaluation", {})
    return environment.get_template("page.html").render(
        run=run,
        name=executions.pipeline_name(run.arn),
        identifier=executions.identifier(run.arn),
        status=run.execution["PipelineExecutionStatus"],
        state=executions.LOOKS.get(run.execution["PipelineExecutionStatus"], ""),
        style=_ours(environment, STYLE),
        script=_ours(environment, SCRIPT),
        script_digest=_digest(environment, SCRIPT),
        verdict=verdict.view(run, measured),
        steps=steps.view(run),
        parameters=parameters.told(run.definition.parameters, run.parameters),
        tunings=[tuning.view(each) for each in run.tunings],
        curves=_curves(run.sections.get("training", {})),
        confusion=confusion.view(run),
        data=dataset.view(run),
        health=health.view(run.health),
        lineage=[*lineage.of_sections(run.sections), *run.lineage],
        training=run.sections.get("training", {}),
        evaluation=section,
        judged=evaluation.view(section, measured),
    )


@cache
def _environment() -> Environment:
    """Once a process: its templates are compiled then, which takes longer than a page."""
    environment = Environment(
        loader=PackageLoader("pipeline.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=charts.number, duration=duration, moment=moment)
    return environment


def _ours(environment: Environment, name: str) -> Markup:
    """Style and script are our own files: the only texts on the page that are not escaped."""
    return Markup(_source(environment, name))


def _digest(environment: Environment, name: str) -> str:
    """By which the page's policy lets this very script run, and no other."""
    return base64.b64encode(hashlib.sha256(_source(environment, name).encode()).digest()).decode()


def _source(environment: Environment, name: str) -> str:
    loader = environment.loader
    assert loader is not None
    return loader.get_source(environment, name)[0]


def _curves(training: dict[str, Any]) -> list[tuple[str, list[str], Markup]]:
    """(title, names of the lines, chart) for losses and for accuracies."""
    epochs = training.get("epochs", ())
    found = []
    for title, names in (("Loss", ("train_loss", "validation_loss")), ("Accuracy", ("validation_accuracy",))):
        lines = [Series(name, [(row["epoch"], row[name]) for row in epochs if name in row]) for name in names]
        values = [value for line in lines for _, value in line.points]
        plot = chart(lines, "epoch", title.lower(), log_y=title == "Loss" and is_wide_range(values))
        if plot:
            found.append((title, [line.name for line in lines], plot))
    return found
