"""What was collected → HTML. Every value is escaped by Jinja2: names and logs with HTML in them are shown, not run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.control import executions, outcome
from pipeline.control.times import duration, moment
from pipeline.report import charts, dataset, evaluation, graph, health
from pipeline.report.charts import Series, chart
from pipeline.report.collect import Run, Tuning
from pipeline.report.sections import CONFUSION, fits

STATES = {"Succeeded": "good", "Failed": "bad", "Stopped": "stopped", "Stopping": "stopped", "Executing": "running"}
LARGEST_MATRIX = 25  # classes; above, the matrix is cells without numbers
CONFUSIONS = 12


def render(run: Run) -> str:
    environment = Environment(
        loader=PackageLoader("pipeline.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=charts.number, short=_short, duration=duration, moment=moment)
    return environment.get_template("page.html").render(
        run=run,
        name=executions.pipeline_name(run.arn),
        identifier=executions.identifier(run.arn),
        status=run.execution["PipelineExecutionStatus"],
        state=STATES.get(run.execution["PipelineExecutionStatus"], ""),
        accuracy=outcome.accuracy(run.evaluation),
        style=Markup(_style(environment)),
        graph=graph.draw(run.definition, *_graph_words(run)),
        steps=_step_rows(run),
        took=_took(run),
        parameters=_parameters(run),
        tunings=[_tuning_view(tuning) for tuning in run.tunings],
        curves=_curves(run.sections.get("training", {})),
        confusion=_confusion(run),
        data=dataset.view(run),
        health=health.view(run.health),
        training=run.sections.get("training", {}),
        evaluation=run.sections.get("evaluation", {}),
        judged=evaluation.view(run.sections.get("evaluation", {})),
    )


def _style(environment: Environment) -> str:
    """Our own file: the one text on the page that is not escaped."""
    loader = environment.loader
    assert loader is not None
    return loader.get_source(environment, "style.css")[0]


def _graph_words(run: Run) -> tuple[dict[str, str], dict[str, str]]:
    states, notes = {}, {}
    for step in run.steps:
        hit = "CacheHitResult" in step
        states[step["StepName"]] = f"{STATES.get(step['StepStatus'], '')}{' hit' if hit else ''}"
        notes[step["StepName"]] = "cache hit" if hit else _note(step)
    return states, notes


def _note(step: dict[str, Any]) -> str:
    """A success needs no word: the time alone says it."""
    took = duration(_seconds(step))
    return took if step["StepStatus"] == "Succeeded" else f"{step['StepStatus']}, {took}"


def _seconds(step: dict[str, Any]) -> float:
    start, end = step.get("StartTime"), step.get("EndTime")
    return max(0.0, (end - start).total_seconds()) if start and end else 0.0


def _span(run: Run) -> tuple[datetime, float] | None:
    """When the first step started, and how long it took until the last one ended."""
    starts = [step["StartTime"] for step in run.steps if step.get("StartTime")]
    ends = [step["EndTime"] for step in run.steps if step.get("EndTime")]
    if not starts or not ends:
        return None
    return min(starts), max((max(ends) - min(starts)).total_seconds(), 1e-3)


def _took(run: Run) -> str:
    span = _span(run)
    return duration(span[1]) if span else ""


def _step_rows(run: Run) -> list[dict[str, Any]]:
    """With the place of each step on the time line, in percent."""
    span = _span(run)
    rows = []
    for step in run.steps:
        left = width = 0.0
        if span and step.get("StartTime"):
            left = 100 * (step["StartTime"] - span[0]).total_seconds() / span[1]
            width = 100 * _seconds(step) / span[1]
        rows.append(
            {
                "step": step,
                "type": run.definition.steps[step["StepName"]].type,
                "state": STATES.get(step["StepStatus"], ""),
                "cache": outcome.cache_phrase(step),
                "took": duration(_seconds(step)),
                "left": f"{min(left, 99.5):.2f}",
                "width": f"{max(width, 0.5):.2f}",
                "log": run.logs.get(step["StepName"], []),
            }
        )
    return rows


def _parameters(run: Run) -> list[tuple[str, str, str]]:
    """(name, value, default if another one)."""
    rows = []
    for name, body in run.definition.parameters.items():
        default = str(body.get("DefaultValue", ""))
        value = run.parameters.get(name, default)
        rows.append((name, value, default if value != default else ""))
    return rows


def _tuning_view(tuning: Tuning) -> dict[str, Any]:
    names = sorted({name for trial in tuning.trials for name in trial.hyperparameters})
    measured = [(trial.number, trial.objective, trial) for trial in tuning.trials if trial.objective is not None]
    pick = max if tuning.maximize else min
    values = [value for _, value, _ in measured]
    best = [(float(number), pick(values[: index + 1])) for index, (number, _, _) in enumerate(measured)]
    dots = Series("trial", [(float(number), value) for number, value, _ in measured], "dots")
    plots = [chart([dots, Series("best so far", best, "steps")], "trial", tuning.objective)]
    for name in names:
        points = [
            (number, value)
            for _, value, trial in measured
            if (number := _float(trial.hyperparameters.get(name, ""))) is not None
        ]
        plots.append(chart([Series(name, points, "dots")], name, tuning.objective, log_x=_wide(points)))
    return {"tuning": tuning, "names": names, "plots": [plot for plot in plots if plot]}


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _short(text: str) -> str:
    """0.021959816073193316 → 0.02196; what is no long number stays as it is."""
    value = _float(text)
    return text if value is None or len(text) <= 8 else f"{value:.4g}"


def _wide(points: list[tuple[float, float]]) -> bool:
    """Values that span more than a factor of eight read better on a logarithmic axis."""
    values = [value for value, _ in points]
    return bool(values) and min(values) > 0 and max(values) / min(values) > 8


def _curves(training: dict[str, Any]) -> list[tuple[str, list[str], Markup]]:
    """(title, names of the lines, chart) for losses and for accuracies."""
    epochs = training.get("epochs", ())
    found = []
    for title, names in (("Loss", ("train_loss", "validation_loss")), ("Accuracy", ("validation_accuracy",))):
        lines = [Series(name, [(row["epoch"], row[name]) for row in epochs if name in row]) for name in names]
        plot = chart(lines, "epoch", title.lower(), log_y=title == "Loss" and _wide(_swapped(lines)))
        if plot:
            found.append((title, [line.name for line in lines], plot))
    return found


def _swapped(lines: list[Series]) -> list[tuple[float, float]]:
    return [(y, x) for line in lines for x, y in line.points]


def _confusion(run: Run) -> dict[str, Any]:
    """From SageMaker's own report: actual class → predicted class → count."""
    metrics = run.evaluation.get("multiclass_classification_metrics")
    matrix = metrics.get("confusion_matrix") if isinstance(metrics, dict) else None
    if not matrix or not fits(matrix, CONFUSION):
        return {}
    classes = list(matrix)
    counts = [[int(matrix[actual].get(predicted, 0)) for predicted in classes] for actual in classes]
    totals = [sum(row) or 1 for row in counts]
    shares = [[count / total for count in row] for row, total in zip(counts, totals, strict=True)]
    wrong = [
        (counts[i][j], actual, predicted)
        for i, actual in enumerate(classes)
        for j, predicted in enumerate(classes)
        if i != j and counts[i][j]
    ]
    return {
        "classes": classes,
        "counts": counts,
        "shares": shares,
        "numbers": len(classes) <= LARGEST_MATRIX,
        "worst": sorted(wrong, key=lambda row: -row[0])[:CONFUSIONS],
    }
