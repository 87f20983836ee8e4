"""A runner was killed, or the machine went down: say so in the store, so that the execution can be resumed."""

from __future__ import annotations

import json
import time

from pipeline.local import logs, process_id
from pipeline.local.jobs import KINDS, rule_statuses
from pipeline.local.records import RUNNING, Execution, StepRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.local.store import Store

PATIENCE_S = 15.0  # for a runner that has not yet claimed its execution, or lives in another pid namespace
REASON = "the local runner was killed; go on with: darkroom resume {id}"


def runner_is_alive(execution: Execution) -> bool:
    """Whether some process is walking this execution now, or is about to."""
    age = time.time() - execution.heartbeat
    if not execution.runner:
        return age < PATIENCE_S
    return process_id.is_alive(execution.runner, age, PATIENCE_S)


def mark_interrupted(store: Store, execution: Execution) -> None:
    """The execution ends Failed (Stopped, if that was under way), and so do its running steps and their jobs.

    Conditional on the runner that was found dead: whoever comes second changes nothing.
    """
    status = "Stopped" if execution.stopping else "Failed"
    reason = REASON.format(id=execution.id)
    now = time.time()
    if execution.runner:
        execution.remove_work(store.home)
    with store.transaction():
        changed = store.execute(
            "UPDATE executions SET status=?, failure=?, ended=?, modified=?, runner='{}'"
            " WHERE id=? AND runner=? AND heartbeat=? AND status IN (?,?)",
            *(status, reason, now, now, execution.id, json.dumps(execution.runner), execution.heartbeat, *RUNNING),
        )
        if changed:
            for row in StepRow.of_execution(store, execution.id).values():
                if row.status in RUNNING:
                    _interrupt(store, row, status, reason, now)


def _interrupt(store: Store, row: StepRow, status: str, reason: str, now: float) -> None:
    row.status = status
    row.ended = now
    row.failure = reason
    row.save(store)
    kind = KINDS.get(row.type, "")
    for value in row.body.get("Metadata", {}).values():
        arn = value.get("Arn", "") if isinstance(value, dict) else ""
        for record in store.find(kind, arn.rpartition("/")[2]):
            if record.status == "InProgress":
                rules = rule_statuses.stopped(record.body, reason)
                changes = {"FailureReason": reason, **rules, **logs.ended(record.body)}
                store.change(kind, record.name, changes, "Stopped")
