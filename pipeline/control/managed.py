"""What SageMaker Debugger, or this machine in its place, said of a training job's managed rules, in plain words."""

from __future__ import annotations

from collections import namedtuple

from pipeline.wording import count, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FINE, FOUND, ERROR = "NoIssuesFound", "IssuesFound", "Error"
IN_PROGRESS, STOPPING, STOPPED = "InProgress", "Stopping", "Stopped"
DEBUG, PROFILER = MEMBERS = ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses")
NAMED, FIRST_WORDS, REASON = 3, 60, 120  # rules that the line names; characters of what each found, of why not

_NOT_EVALUATED = "Not evaluated: "  # AWS has no such status: darkroom's evaluator says Error, and this first

Managed = namedtuple("Managed", "debug profiler")  # two lists of rows
Row = namedtuple("Row", "rule status details")


def of(job: Mapping[str, Any]) -> Managed:
    """From DescribeTrainingJob; empty lists for a job without rules."""
    return Managed(*([_row(each) for each in job.get(member) or ()] for member in MEMBERS))


def _row(status: Mapping[str, Any]) -> Row:
    names = ("RuleConfigurationName", "RuleEvaluationStatus", "StatusDetails")
    return Row(*(str(status.get(name) or "").encode("utf-8", "replace").decode() for name in names))


def told(managed: Managed) -> str:
    """managed: 5 rules, no issues. SageMaker's profiler has a part where it judged: on this machine it never does."""
    parts = [f"managed: {_told(managed.debug)}"] if managed.debug else []
    if managed.profiler and not (managed.debug and all(row.status == ERROR for row in managed.profiler)):
        parts.append(f"managed profiler: {_told(managed.profiler)}")
    return "; ".join(parts)


def _told(rows: list[Row]) -> str:
    of_all = count(len(rows), "rule")
    found, fine = _with(rows, FOUND), _with(rows, FINE)
    if found:
        head = f"{len(found)} of {of_all} found issues: {listed([_because(row) for row in found], NAMED)}"
    elif fine:
        head = f"{of_all}, no issues" if len(fine) == len(rows) else f"{len(fine)} of {of_all} judged, no issues"
    else:
        head = of_all
    others = (((IN_PROGRESS,), "still being judged"), ((STOPPING, STOPPED), "stopped"))
    known = {FOUND, FINE, ERROR, IN_PROGRESS, STOPPING, STOPPED}
    tails = [(words, _with(rows, *statuses)) for statuses, words in others]
    tails.append(("unknown status", [row for row in rows if row.status not in known]))
    said = [f"{words}: {_named(there)}" for words, there in tails if there]
    return "; ".join([head, *_failed(_with(rows, ERROR)), *said])


def _failed(rows: list[Row]) -> list[str]:
    """Rules that failed for one reason are named together."""
    if not rows:
        return []
    reasons = {row.details for row in rows}
    if len(reasons) > 1:
        return [f"not judged: {listed([_because(row) for row in rows], NAMED)}"]
    why = one_line(rows[0].details.removeprefix(_NOT_EVALUATED), REASON)
    return [f"not judged: {_named(rows)}{f' ({why})' if why else ''}"]


def _named(rows: list[Row]) -> str:
    return listed([one_line(row.rule, FIRST_WORDS) for row in rows], NAMED)


def _with(rows: list[Row], *statuses: str) -> list[Row]:
    return [row for row in rows if row.status in statuses]


def _because(row: Row) -> str:
    why = one_line(row.details.removeprefix(_NOT_EVALUATED), FIRST_WORDS)
    return f"{one_line(row.rule, FIRST_WORDS)}{f' ({why})' if why else ''}"


def one_line(text: str, most: int) -> str:
    """The first words, without what could drive a terminal."""
    plain = " ".join("".join(each if each.isprintable() else " " for each in text[: 10 * most]).split())
    return plain if len(plain) <= most else f"{plain[:most].rpartition(' ')[0] or plain[:most]} …"


def is_missing(row: Row) -> bool:
    """Is it an Error only because it was not evaluated?"""
    return bool(row.status == ERROR and row.details.startswith(_NOT_EVALUATED))


def in_full(managed: Managed) -> dict[str, list[dict[str, str]]]:
    """For programs, under the names that DescribeTrainingJob has for them."""
    names = ("RuleConfigurationName", "RuleEvaluationStatus", "StatusDetails")
    return {
        member: [dict(zip(names, row, strict=True)) for row in rows]
        for member, rows in zip(MEMBERS, managed, strict=True)
    }
