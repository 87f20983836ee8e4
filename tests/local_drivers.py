"""Runs a step's driver: here, or, where it enters an isolation, in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.local.folders import Folders
from pipeline.local.jobs import JobContext, JobFailed
from pipeline.local.loop import Loop
from pipeline.local.storage import Storage
from pipeline.local.store import Store

ROOT = Path(__file__).parent.parent


def context(home: str, loop: Loop, step: dict[str, Any], seen: dict[str, Any], isolation: Any = None) -> JobContext:
    """`seen` collects what the driver announced and reported as simulated."""
    seen |= {"announced": [], "parity": {}}
    return JobContext(
        store=Store(home),
        storage=Storage(home),
        loop=loop,
        isolation=isolation,
        folders=Folders(loop),
        execution_arn="arn:aws:sagemaker:us-east-1:111122223333:pipeline/p/execution/e1",
        execution_id="e1",
        step={"Name": "Step", **step},
        job_name="pipelines-e1-Step-abc",
        work=os.path.join(home, "work", "e1", "pipelines-e1-Step-abc"),
        log_path=os.path.join(home, "logs", "e1", "Step.log"),
        previous_job="",
        announce=seen["announced"].append,
        parity=seen["parity"].__setitem__,
    )


def run_here(home: Path, driver: str, request: dict[str, Any], **step: Any) -> SimpleNamespace:
    """body, announced and parity of a driver that starts no process. Raises what the driver raises."""
    loop, seen = Loop(), dict[str, Any]()
    module = importlib.import_module(f"pipeline.local.jobs.{driver}")
    body = loop.run(module.run(request, context(str(home), loop, step, seen)))
    return SimpleNamespace(body=body, **seen)


def start_lambda(home: Path, event: dict[str, Any], isolation: str, **options: Any) -> subprocess.Popen[str]:
    """Options: step (beside FunctionArn), cancel_after seconds, twice (two steps at once)."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DARKROOM_ISOLATION": isolation}
    argv = [sys.executable, __file__, json.dumps({"home": str(home), "event": event, **options})]
    return subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)


def run_lambda(home: Path, event: dict[str, Any], isolation: str = "rewrite", **options: Any) -> SimpleNamespace:
    """body, or error and log_path; announced, parity, and the text of the log."""
    with start_lambda(home, event, isolation, **options) as process:
        assert process.stdout is not None
        answer = json.loads(process.stdout.read())
    log = home / "logs/e1/Step.log"
    return SimpleNamespace(log=log.read_text() if log.exists() else "", **answer)


def main(order: dict[str, Any]) -> None:
    from pipeline.local.isolation import Isolation
    from pipeline.local.jobs import function
    from pipeline.local.loop import Cancelled

    home = order["home"]
    isolation, loop = Isolation.enter(home, f"arn:lambda-test:{os.getpid()}"), Loop()
    seen: dict[str, Any] = {}
    answer: dict[str, Any] = {"body": {}, "error": "", "log_path": ""}
    work = context(home, loop, order["step"], seen, isolation)

    async def both() -> Any:
        tasks = [loop.spawn(function.run(order["event"], work))]
        if order.get("twice"):
            second = context(home, loop, order["step"], {}, isolation)
            second.job_name, second.work = "pipelines-e1-Step-def", work.work + "2"
            tasks.append(loop.spawn(function.run(order["event"], second)))
        if "cancel_after" in order:
            await loop.first(tasks, order["cancel_after"])
            tasks[0].cancel()
        return [await loop.join(task) for task in tasks]

    try:
        bodies = loop.run(both())
        answer |= {"body": bodies[0], "second": bodies[-1]}
    except JobFailed as exc:
        answer |= {"error": exc.message, "log_path": exc.log_path}
    except Cancelled:
        answer["error"] = "cancelled"
    finally:
        isolation.close()
    folder = os.path.dirname(work.work)
    answer["left"] = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    answer["status"] = next((record.status for record in work.store.list("function-invocation")), "")
    print(json.dumps(answer | seen))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
