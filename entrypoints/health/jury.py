"""The rules of one training, asked again and again while it runs: what they have said, what stops it, health.json."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jsonfile
from refusal import Refusal
from training import progress

from health import verdicts
from health.recording import records
from health.rules import judging
from health.rules.judging import Setting
from health.rules.scaling import Job
from health.verdicts import Verdict
from health.view import Records

FILE = "health.json"
SHARE = 0.01  # of the job's time that judging may take in rules which only warn; those that stop are always asked


class Jury:
    def __init__(
        self, settings: tuple[Setting, ...], folder: Path, kept: Path | None = None, name: str | None = None
    ) -> None:
        """`folder` has the tables. `kept`: a folder that outlives a job that fails; `name`: the job's.

        Runs the code of rules of somebody's own; raises Refusal where it cannot.
        """
        self.folder, self.kept, self.name = folder, kept, name
        self.reader = records.Reader(folder)
        self.rules = [(each, judging.opened(each)) for each in settings]
        self.stopping = [pair for pair in self.rules if pair[0].on_issue == "stop"]
        self.began = time.perf_counter()
        self.spent = 0.0
        self.said: set[str] = set()
        self.stopped_by: str | None = None

    def ask(self, job: Job, only_stopping: bool) -> None:
        """Raises Refusal where a rule stops the training."""
        began = time.perf_counter()
        if self.spent > SHARE * (began - self.began):
            only_stopping = True
        rules = self.stopping if only_stopping else self.rules
        if not rules:
            return
        read, job = self.reader.look(), job._replace(now=time.time())
        found = [(setting, judging.judged(setting, rule, read, job)) for setting, rule in rules]
        self.spent += time.perf_counter() - began
        self._say(found)
        for setting, verdict in found:
            if setting.on_issue == "stop" and verdict.status == verdicts.ISSUES_FOUND:
                self.stopped_by = verdict.rule
                raise Refusal(f"stopped by rule {setting.rule}: {_sentence(verdict)}")

    def report(self, job: Job, read: Records, well: bool) -> list[dict[str, Any]]:
        """Of all rules, when training is over: health.json, and a line. Returns the verdicts as they stand there.

        Where it did not end `well`, `kept` has it, too: SageMaker uploads the output of jobs that succeed.
        """
        found = [(setting, judging.judged(setting, rule, read, job)) for setting, rule in self.rules]
        self._say(found)
        counts = Counter(verdict.status for _, verdict in found)
        bodies = [{**verdicts.body(verdict), "on_issue": setting.on_issue} for setting, verdict in found]
        body = {
            "rules": bodies,
            "summary": {status: counts[status] for status in verdicts.STATUSES},
            "steps": int((read.steps["mode"] == "train").sum()),
            "every": job.every,
            "stopped_by": self.stopped_by,
            "job": self.name,
        }
        jsonfile.write(self.folder / FILE, body)
        if self.kept is not None and not well:
            jsonfile.write(self.kept / FILE, body)
        progress.say(summary([verdict for _, verdict in found]))
        return bodies

    def forget(self) -> None:
        """What an earlier job left in `kept`, or this one before it ended well after all."""
        if self.kept is not None and (self.kept / FILE).exists():
            (self.kept / FILE).unlink()
            with contextlib.suppress(OSError):  # somebody else's file is there
                self.kept.rmdir()

    def _say(self, found: list[tuple[Setting, Verdict]]) -> None:
        """Of each rule once."""
        for setting, verdict in found:
            if verdict.status in (verdicts.ISSUES_FOUND, verdicts.ERROR) and setting.rule not in self.said:
                self.said.add(setting.rule)
                progress.say(f"health: {setting.rule}: {_sentence(verdict)}")


def summary(found: list[Verdict]) -> str:
    """One line: what is not green is named."""

    def named(status: str) -> str:
        return ", ".join(each.rule for each in found if each.status == status)

    rules = f"{len(found)} rule{'s' * (len(found) != 1)}"
    bad = sum(each.status == verdicts.ISSUES_FOUND for each in found)
    parts = [f"{bad} of {rules} found issues: {named(verdicts.ISSUES_FOUND)}" if bad else f"{rules}, no issues"]
    for status, words in ((verdicts.NOT_EVALUATED, "not evaluated"), (verdicts.ERROR, "failed themselves")):
        if named(status):
            parts.append(f"{words}: {named(status)}")
    return f"health: {'; '.join(parts)}"


def _sentence(verdict: Verdict) -> str:
    return f"{verdict.message}: {verdict.advice}" if verdict.advice else verdict.message
