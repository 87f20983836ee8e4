"""Why an execution failed, for the person who has to mend it: step, exit code, reason, log, what to type."""

from __future__ import annotations

import re
import shlex

from pipeline.cli.home import darkroom, shown
from pipeline.cli.text import print_error
from pipeline.control import executions, logs, outcome
from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pipeline.client import Clients

LOG_LINES = 20
_EXIT_CODE = re.compile(r"exit code:? (-?\d+)", re.IGNORECASE)


def explain(clients: Clients, execution: dict[str, Any], typed: Sequence[str]) -> None:
    """Prints to stderr. `typed`: the command that led here, in words."""
    arn = execution["PipelineExecutionArn"]
    identifier = executions.identifier(arn)
    failed = [step for step in executions.steps(clients, arn) if step["StepStatus"] == "Failed"]
    status = execution["PipelineExecutionStatus"].lower()
    where = f" at {', '.join(step['StepName'] for step in failed)}" if failed else ""
    print_error(f"\n{executions.pipeline_name(arn)} {status}{where} (execution {identifier})")
    if not failed and execution.get("FailureReason"):
        print_error(f"  {execution['FailureReason']}")
    logged = [step["StepName"] for step in failed if _explain_step(clients, step)]
    _say_what_next(clients, failed, logged, identifier, typed)


def _explain_step(clients: Clients, step: dict[str, Any]) -> bool:
    """Returns whether there is a log to read."""
    reason = step.get("FailureReason") or "no reason was recorded"
    print_error(f"\n{step['StepName']}")
    print_error(f"  reason     {_indented(reason)}")
    code = _exit_code(clients, step, reason)
    if code:
        print_error(f"  exit code  {code}")
    try:
        return _explain_logs(clients, step)
    except ServiceError as exc:  # that the step failed, and why, must not be lost over it
        print_error(f"  log        cannot be read: {exc.message}")
        print_error(f"             {exc.hint}" if exc.hint else "")
        return True


def _explain_logs(clients: Clients, step: dict[str, Any]) -> bool:
    paths = logs.of_program(clients, step)
    for path in paths:
        print_error(f"  log        {shown(path)}")
        lines = logs.tail(clients, path, LOG_LINES)
        if lines:
            print_error(f"  its last {len(lines)} lines:" if len(lines) > 1 else "  its only line:")
            print_error("".join(f"    │ {line}\n" for line in lines).rstrip("\n"))
    return bool(paths)


def _indented(reason: str) -> str:
    return reason.strip().replace("\n", "\n             ")


def _exit_code(clients: Clients, step: dict[str, Any], reason: str) -> str:
    """From the reason, where the service puts it; else from the job's own."""
    found = _EXIT_CODE.search(reason)
    if not found and (name := outcome.metadata_name(step, "ProcessingJob")):
        job = clients.sagemaker.describe_processing_job(ProcessingJobName=name)
        found = _EXIT_CODE.search(str(job.get("FailureReason", "")))
    return found[1] if found else ""


def _say_what_next(
    clients: Clients, failed: list[dict[str, Any]], logged: list[str], identifier: str, typed: Sequence[str]
) -> None:
    program, there = darkroom(), clients.options
    print_error("\nnext:")
    for name in logged:
        print_error(f"  {program} logs {identifier} {name}{there}")
    if any(step["StepType"] == "Fail" for step in failed):
        print_error(f"  {program} show {identifier}{there}")
        return
    print_error(f"  {program} resume {identifier}{there}  (the same code and parameters, from where it stopped)")
    if typed[0] not in ("resume", "watch"):
        again = shlex.join(typed)
        print_error(f"  {program} {again}  (with what you changed; steps that did not change come from the cache)")
