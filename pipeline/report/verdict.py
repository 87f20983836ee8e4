"""The first screen: may this go live? Gate, champion, health and data in a line each, and what to type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.control import champion, health, managed, registry
from pipeline.control.health import ERROR, FINE, FOUND, Health
from pipeline.models.evaluation import Evaluation, Paired
from pipeline.report.collect import Run

GOOD, BAD, LOOK, NONE = "good", "bad", "stopped", ""  # classes of the style; NONE: there is nothing to say
WORDS = {
    "GreaterThanOrEqualTo": "≥",
    "GreaterThan": ">",
    "LessThanOrEqualTo": "≤",
    "LessThan": "<",
    "Equals": "=",
}
LOOKS = {"better": GOOD, "worse": BAD}  # of a comparison with the champion
DIGITS, MOST_DIGITS = 4, 16  # behind the point of what a gate compared
MENDED = ("drop", "move")  # what the doctor did away with
SUMMARIES = {
    BAD: "Something speaks against it",
    LOOK: "Look at this before you decide",
    GOOD: "Nothing was found that speaks against it",
    NONE: "Not decided by anything that this pipeline measures",
}


@dataclass(frozen=True)
class Line:
    """`state`: how it looks; `word` is the badge, `text` why."""

    subject: str
    state: str
    word: str
    text: str


def view(run: Run, measured: Evaluation) -> dict[str, Any]:
    lines = [*_execution(run), *_gates(run), _champion(run, measured.paired), _health(run.health), _data(run)]
    states = {line.state for line in lines}
    state = next((each for each in (BAD, LOOK, GOOD) if each in states), NONE)
    return {
        "lines": lines,
        "state": state,
        "summary": SUMMARIES[state],
        "decisions": [_decision(run, package) for package in run.packages if "ModelPackageVersion" in package],
    }


def _execution(run: Run) -> Iterator[Line]:
    """Told only where it did not succeed."""
    status = run.execution["PipelineExecutionStatus"]
    if status != "Succeeded":
        failed = [step["StepName"] for step in run.steps if step["StepStatus"] == "Failed"]
        state = BAD if status == "Failed" else LOOK
        yield Line("Execution", state, status, f"failed: {', '.join(failed)}" if failed else "")


def _gates(run: Run) -> Iterator[Line]:
    """Every condition that was asked, with what it compared."""
    asked = [step for step in run.steps if step["StepType"] == "Condition"]
    for step in asked:
        outcome = str(((step.get("Metadata") or {}).get("Condition") or {}).get("Outcome", "")).lower()
        state = {"true": GOOD, "false": BAD}.get(outcome, LOOK)
        conditions = run.definition.steps[step["StepName"]].arguments.get("Conditions") or []
        text = "; ".join(_condition(run, each) for each in conditions if isinstance(each, dict))
        yield Line("Gate", state, {"true": "passed", "false": "not passed"}.get(outcome, "not known"), text)
    if not asked:
        declared = any(step.type == "Condition" for step in run.definition.steps.values())
        yield Line("Gate", LOOK if declared else NONE, "not reached" if declared else "none", "")


def _condition(run: Run, condition: dict[str, Any]) -> str:
    sign = WORDS.get(str(condition.get("Type")))
    if sign is None:
        return f"{condition.get('Type')} of several values"
    sides = [_operand(run, condition.get(name)) for name in ("LeftValue", "RightValue")]
    digits = _digits([number for _, value, _ in sides if (number := _number(value)) is not None])
    left, right = (" ".join(filter(None, (before, _figure(value, digits), after))) for before, value, after in sides)
    return f"{left} {sign} {right}"


def _operand(run: Run, value: Any) -> tuple[str, Any, str]:
    """accuracy 0.9874, or 0.95 (AccuracyThreshold): words before, the value, words behind it."""
    if not isinstance(value, dict):
        return "", value, ""
    if "Std:JsonGet" in value:
        path = str(value["Std:JsonGet"].get("Path", ""))
        words = [part for part in path.split(".") if part != "value"]
        return words[-1].replace("_", " ") if words else path, _at(run.evaluation, path), ""
    name = str(value.get("Get", ""))
    parameter = name.removeprefix("Parameters.")
    default = run.definition.parameters.get(parameter, {}).get("DefaultValue", "")
    given = run.parameters.get(parameter, default) if parameter != name else ""
    return ("", given, f"({parameter})") if given != "" else (name, "", "")


def _at(report: Any, path: str) -> Any:
    for key in path.split("."):
        report = report.get(key, "") if isinstance(report, dict) else ""
    return report


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _digits(numbers: list[float]) -> int:
    """Four behind the point, or as many more as it takes that 0.99996 is neither 1 nor what 0.99997 looks like."""
    for digits in range(DIGITS, MOST_DIGITS):
        texts = [f"{number:.{digits}f}" for number in numbers]
        whole = any(
            float(text).is_integer() != number.is_integer() for text, number in zip(texts, numbers, strict=True)
        )
        if not whole and len(set(texts)) == len(set(numbers)):
            return digits
    return MOST_DIGITS


def _figure(value: Any, digits: int) -> str:
    number = _number(value)
    if number is None:
        return str(value)
    return str(number) if digits == MOST_DIGITS else f"{number:.{digits}f}".rstrip("0").rstrip(".")


def _champion(run: Run, paired: Paired | None) -> Line:
    if paired is None:
        return Line("Champion", NONE, "none", "no approved model to compare with" if run.evaluation else "")
    name = champion.called(paired.champion) or "the approved model"
    if not paired.verdict:
        return Line("Champion", LOOK, "not compared", f"{name} could not be judged on these pictures")
    low, high = (f"{100 * each:+.2f}" for each in paired.interval)
    text = f"{100 * paired.difference:+.2f} points against {name}, 95 % between {low} and {high}"
    return Line("Champion", LOOKS.get(paired.verdict, NONE), paired.verdict, text)


def _health(found: Health | None) -> Line:
    if found is None:
        return Line("Training health", NONE, "not judged", "no rules were asked for")
    if found.unknown is not None:
        return Line("Training health", LOOK, "not known", found.unknown)
    return Line("Training health", *_judged(found), health.told(found))


def _judged(found: Health) -> tuple[str, str]:
    """(state, word). That nothing was found is good only where something was looked at, and no rule broke off."""
    outside = [row for rows in found.managed for row in rows]
    statuses = {each.status for each in (*found.rules, *outside)}
    if FOUND in statuses:
        return LOOK, "issues"
    if FINE not in statuses:
        return (LOOK if statuses else NONE), "not judged"
    broken = any(rule.status == ERROR for rule in found.rules)
    if broken or any(row.status != FINE and not managed.is_missing(row) for row in outside):
        return LOOK, "not all judged"
    return GOOD, "no issues"


def _data(run: Run) -> Line:
    dataset = run.sections.get("dataset", {})
    if "findings" not in dataset:
        return Line("Data", NONE, "not looked at", "")
    rows = dataset["findings"]
    open_rows = [row for row in rows if row.get("action") not in MENDED]
    text = ", ".join(_finding(row) for row in rows)
    if open_rows:
        return Line("Data", LOOK, f"{len(open_rows)} to look at", text)
    return Line("Data", GOOD, "in order" if not rows else "mended", text or "the doctor found nothing")


def _finding(row: dict[str, Any]) -> str:
    count = f" ({row['count']:,})" if "count" in row else ""
    action = f": {row['action']}" if row.get("action") else ""
    return f"{row['finding'].replace('_', ' ')}{count}{action}"


def _decision(run: Run, package: dict[str, Any]) -> dict[str, Any]:
    """What is due, as in `darkroom show-model`."""
    version, status = package["ModelPackageVersion"], package["ModelApprovalStatus"]
    which = registry.spelled(version, package["ModelPackageGroupName"])
    return {
        "version": version,
        "group": package["ModelPackageGroupName"],
        "status": status,
        "state": {registry.APPROVED: GOOD, registry.REJECTED: BAD}.get(status, LOOK),
        "commands": [f"darkroom {command}{run.options}" for command in registry.due(status, which)],
        "look": f"darkroom show-model {which}{run.options}",
    }
