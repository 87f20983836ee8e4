"""The rules of a training job as DescribeTrainingJob shows them, and the evaluator's answers, read as a stranger's."""

from __future__ import annotations

import json
import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Answers = dict[str, tuple[str, str]]  # RuleConfigurationName → status, details

FINE, FOUND, ERROR = WORDS = ("NoIssuesFound", "IssuesFound", "Error")
IN_PROGRESS, STOPPED = "InProgress", "Stopped"
LARGEST = 1 << 20  # bytes of the evaluator's answer: 20 rules of 1024 characters are 80 kB at most
LONGEST = 1024  # characters of StatusDetails, the service's limit
DEBUG, PROFILER = MEMBERS = ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses")


class Unreadable(Exception):
    """The answer is not what an evaluator writes; the text says how."""


def begun(rules: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a job that has not ended."""
    now = time.time()
    return [_row(str(rule.get("RuleConfigurationName", "")), IN_PROGRESS, "", now) for rule in rules]


def ended(rows: Iterable[Mapping[str, Any]], answers: Answers) -> list[dict[str, Any]]:
    """The rows with what was answered; a rule without an answer is an error, never a silent success."""
    now = time.time()
    missing = (ERROR, "the evaluator said nothing of this rule")
    return [
        _row(row["RuleConfigurationName"], *answers.get(row["RuleConfigurationName"], missing), now) for row in rows
    ]


def alike(rows: Iterable[Mapping[str, Any]], status: str, why: str) -> list[dict[str, Any]]:
    """All rows with one status, for one reason."""
    return ended(rows, {row["RuleConfigurationName"]: (status, why) for row in rows})


def stopped(body: Mapping[str, Any], why: str) -> dict[str, Any]:
    """What changes in a job's record that ended while its rules were not judged: they are Stopped."""
    waiting = {
        member: [
            row if row.get("RuleEvaluationStatus") != IN_PROGRESS else alike([row], STOPPED, why)[0] for row in rows
        ]
        for member in MEMBERS
        if (rows := body.get(member))
    }
    return {member: rows for member, rows in waiting.items() if rows != body[member]}


def _row(name: str, status: str, details: str, now: float) -> dict[str, Any]:
    told = {"StatusDetails": _plain(details)} if details else {}
    return {"RuleConfigurationName": name, "RuleEvaluationStatus": status, **told, "LastModifiedTime": now}


def _plain(text: str) -> str:
    """One line without control characters, as long as the service lets it be."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 4 * LONGEST]).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 2]} …"


def answers(path: str, names: Iterable[str]) -> Answers:
    """What the file says of these rules; what makes no sense of one is that rule's Error. Raises Unreadable."""
    content = _content(path)
    found: Answers = {}
    for entry in content:
        name = entry.get("RuleConfigurationName") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise Unreadable(f"it answered {json.dumps(entry)[:80]}, which names no rule")
        found[name] = (ERROR, "the evaluator answered twice") if name in found else _answer(entry)
    return {name: found[name] for name in names if name in found}


def _answer(entry: Mapping[str, Any]) -> tuple[str, str]:
    status, details = entry.get("RuleEvaluationStatus"), entry.get("StatusDetails", "")
    if not isinstance(status, str) or status not in WORDS:
        return ERROR, f"the evaluator answered {json.dumps(status)[:80]}, which is not {', '.join(WORDS)}"
    if not isinstance(details, str | None):
        return ERROR, f"the evaluator answered {status} with details that are no text: {json.dumps(details)[:80]}"
    return status, details or ""


def _content(path: str) -> list[Any]:
    """Neither a link, nor a pipe that nobody writes to, nor a file without end holds up who reads it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        raise Unreadable(f"it left no answer ({exc.strerror})") from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("its answer is no plain file")
    with open(descriptor, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Unreadable(f"its answer is larger than {LARGEST >> 20} MiB")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise Unreadable(f"its answer is no JSON: {exc}"[:200]) from exc
    if not isinstance(content, list):
        raise Unreadable("its answer is no JSON list")
    return content
