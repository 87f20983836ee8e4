"""What the page says of the model beyond its accuracy: how sure it may be, and what it gains over the champion."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from pipeline.control.champion import called
from pipeline.models.evaluation import ClassFigures, Evaluation
from pipeline.report.charts import Series, chart
from pipeline.report.verdict import LOOKS

OPEN_CLASSES = 12  # of the comparison; the rest is folded
MACRO = (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))


def view(evaluation: dict[str, Any], measured: Evaluation) -> dict[str, Any]:
    """Empty where a job of an earlier version, or of somebody else, told nothing of it.

    `evaluation`: what the job left for the page; `measured`: evaluation.json, by which gates and registry go.
    """
    found = {
        "accuracy": _accuracy(evaluation, measured),
        "classes": [_class(each) for each in measured.classes],
        "figures": _figures(evaluation),
        "calibration": _calibration(evaluation),
        "champion": _champion(evaluation.get("champion")),
    }
    return {name: part for name, part in found.items() if part}


def _accuracy(evaluation: dict[str, Any], measured: Evaluation) -> dict[str, Any]:
    """Shares in percent; of `thousand` pictures so many are wrong, and between so many."""
    if measured.accuracy is None:
        return {}
    told = evaluation.get("accuracy_interval")
    interval = measured.interval or (tuple(told) if told else None)
    return {
        "share": _percent(measured.accuracy),
        "value": measured.accuracy,
        "count": measured.count,
        "right": None if measured.count is None else round(measured.accuracy * measured.count),
        "interval": None if interval is None else [f"{100 * each:.2f}" for each in interval],
        "wrong": _of_thousand(measured.accuracy),
        "wrong_between": None if interval is None else [_of_thousand(each) for each in reversed(interval)],
    }


def _of_thousand(accuracy: float) -> str:
    return f"{1000 * (1 - accuracy):.0f}"


def _class(found: ClassFigures) -> dict[str, Any]:
    """Each figure as (value to sort by, text)."""
    shares = {name: getattr(found, name) for name, _ in MACRO}
    return {
        "name": found.name,
        "count": found.count,
        **{name: ("", "") if value is None else (f"{value:.6f}", _percent(value)) for name, value in shares.items()},
    }


def _figures(evaluation: dict[str, Any]) -> list[tuple[str, str]]:
    """(value, what it is)."""
    macro = evaluation.get("macro", {})
    rows = [(_percent(macro[name]), f"{words}, each class counting the same") for name, words in MACRO if name in macro]
    if "top_5_accuracy" in evaluation:
        rows.insert(0, (_percent(evaluation["top_5_accuracy"]), "right class among the first five"))
    if "pictures_per_second" in evaluation:
        rows.append((f"{evaluation['pictures_per_second']:,.0f}", "test pictures a second, reading included"))
    return rows


def _calibration(evaluation: dict[str, Any]) -> dict[str, Any]:
    figures, curves = evaluation.get("calibration"), evaluation.get("reliability", {})
    if not figures:
        return {}
    errors = {name: _percent(figures[f"error_{name}"]) for name in ("before", "after")}
    return {"in_the_model": False, **figures, **errors, "plot": _reliability(curves)}


def _reliability(curves: dict[str, list[dict[str, float]]]) -> Markup:
    """Accuracy by confidence: a model that is as right as it is sure lies on the diagonal."""
    lines = [
        Series(name, [(each["confidence"], each["accuracy"]) for each in curves.get(name, ())])
        for name in ("before", "after")
    ]
    points = [value for line in lines for point in line.points for value in point]
    if not points:
        return Markup("")
    low = min(points)
    return chart([Series("as sure as right", [(low, low), (1.0, 1.0)]), *lines], "confidence", "accuracy")


def _champion(champion: dict[str, Any] | None) -> dict[str, Any]:
    if champion is None:
        return {}
    champion = {"called": called(champion.get("package", "")), **champion}
    if "reason" in champion:
        return champion
    low, high = champion["interval"]
    rows = sorted(champion["per_class"], key=lambda row: row["difference"])
    return {
        **champion,
        "state": LOOKS.get(champion["verdict"], ""),
        "points": f"{100 * champion['difference']:+.2f}",
        "low": f"{100 * low:+.2f}",
        "high": f"{100 * high:+.2f}",
        "rows": [_row(row, champion["regressions"]) for row in rows[:OPEN_CLASSES]],
        "more": [_row(row, champion["regressions"]) for row in rows[OPEN_CLASSES:]],
    }


def _row(row: dict[str, Any], regressions: list[str]) -> dict[str, Any]:
    low, high = row["interval"]
    return {
        **row,
        "points": f"{100 * row['difference']:+.1f}",
        "range": f"{100 * low:+.1f} to {100 * high:+.1f}",
        "here": _percent(row["recall"]),
        "there": _percent(row["champion_recall"]),
        "state": "bad" if row["class"] in regressions else "good" if low > 0 else "",
    }


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
