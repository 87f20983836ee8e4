"""The process that judges a training job's rules: a module of the job's code, bounded in time and in what it writes."""

from __future__ import annotations

import os

from pipeline.errors import DarkroomError
from pipeline.local.jobs import rule_statuses
from pipeline.local.jobs.failure import last_error
from pipeline.local.jobs.hosts import exit_code, wait
from pipeline.local.jobs.toolkit import CODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.images import Image
    from pipeline.local.jobs import JobContext
    from pipeline.local.jobs.hosts import Ended, Hosts
    from pipeline.local.jobs.rule_statuses import Answers

MODULE, FILE = "health.debugger.evaluate", "health/debugger/evaluate.py"
STATUS = "/opt/ml/output/data/health/debugger.json"  # what the hook says of itself
LIMIT, LIMIT_S = "DARKROOM_RULES_SECONDS", 600.0
LARGEST_LOG = 16 << 20  # bytes


async def run(
    context: JobContext, hosts: Hosts, image: Image, folder: str, tensors: str, rules: list[dict[str, Any]]
) -> Answers:
    """On the first instance, where it finds `tensors`; `folder` is its own. Raises Unreadable, DarkroomError."""
    host = hosts.all[0]
    given, answer = f"{folder}/rules.json", f"{folder}/statuses.json"
    hosts.write_json(host, given, rules)
    options = ["--tensors", tensors, "--rules", given, "--status", STATUS, "--output", answer]
    stem, extension = os.path.splitext(context.log_path)
    log = Log(f"{stem}-debugger{extension}")
    env = {**hosts.environment(host), "PYTHONPATH": CODE}
    limit = _limit()
    process = hosts.launch(host, image, [*image.command, "-m", MODULE, *options], env, CODE, log.path)
    ended = await wait(context, [(host, process)], limit, log.is_too_long)
    _refuse(ended, log, limit)
    return rule_statuses.answers(host.path(answer), [str(rule.get("RuleConfigurationName", "")) for rule in rules])


class Log:
    """What one evaluator prints; a job that is tried again appends to the same file."""

    __slots__ = ("_begin", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._begin = os.path.getsize(path) if os.path.exists(path) else 0

    def is_too_long(self) -> bool:
        return os.path.getsize(self.path) > self._begin + LARGEST_LOG

    def cut(self) -> None:
        os.truncate(self.path, self._begin + LARGEST_LOG)


def _limit() -> float:
    """Raises DarkroomError."""
    text = os.environ.get(LIMIT, "")
    try:
        seconds = float(text or LIMIT_S)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e7:
        raise DarkroomError(f"{LIMIT}={text!r} is no number of seconds", f"unset it: {LIMIT_S:.0f} s")
    return seconds


def _refuse(ended: Ended, log: Log, limit: float) -> None:
    """Raises Unreadable unless the evaluator ended by itself, and well."""
    if log.is_too_long():
        log.cut()
        raise rule_statuses.Unreadable(f"it wrote more than {LARGEST_LOG >> 20} MiB to its log")
    if ended.timed_out:
        raise rule_statuses.Unreadable(
            f"it took longer than {limit:g} s; {LIMIT}=SECONDS before the command allows more"
        )
    if ended.code:
        raise rule_statuses.Unreadable(ended.problem or f"{exit_code(ended.code)}: {last_error(log.path)}")
