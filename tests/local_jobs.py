"""Runs one job driver the way the runner does, in a process of its own: `run_job` for tests, `main` in it.

A process of its own, because entering a namespace binds a process to it for good.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/image:1"


class Outcome:
    """What a driver did: `body` if it returned, `error` (its FailureReason) if it raised JobFailed."""

    def __init__(self, answer: dict[str, Any], home: Path) -> None:
        self.body: dict[str, Any] = answer["body"]
        self.error: str = answer["error"]
        self.log_path: str = answer["log_path"]
        self.parity: dict[str, str] = answer["parity"]
        self.announced: list[dict[str, Any]] = answer["announced"]
        self.record: dict[str, Any] = answer["record"]
        self.status: str = answer["status"]
        self.home = home

    @property
    def log(self) -> str:
        return (self.home / "logs/e1/Step.log").read_text()


def start_job(home: Path, driver: str, request: dict[str, Any], **options: Any) -> subprocess.Popen[str]:
    """Options: job_name, isolation, command (stands in for every image), previous_job, step; cancel_after (seconds),
    cancel_when (this path exists)."""
    order = {"home": str(home), "driver": driver, "request": request, **options}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # users have none of them set
    caller = {name: value for name, value in os.environ.items() if name not in threads}
    env = {**caller, "PYTHONPATH": str(ROOT), "DARKROOM_ISOLATION": options.get("isolation", "")}
    process = subprocess.Popen(
        [sys.executable, __file__],
        cwd=ROOT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(order))
        process.stdin.close()
    return process


def run_job(home: Path, driver: str, request: dict[str, Any], **options: Any) -> Outcome:
    with start_job(home, driver, request, **options) as process:
        assert process.stdout is not None
        output = process.stdout.read()
    assert process.returncode == 0, f"the runner ended with {process.returncode}"
    return Outcome(json.loads(output.splitlines()[-1]), home)


def has_namespaces() -> bool:
    """Can this machine give a job its own /opt/ml?"""
    code = "from pipeline.local.isolation import Isolation; print(Isolation.enter('/tmp', 'probe').kind)"
    env = {name: value for name, value in os.environ.items() if name != "DARKROOM_ISOLATION"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "namespace"


# the ways to isolate a job that this machine has; the job's own process need not know
BOTH = () if __name__ == "__main__" else ("namespace", "rewrite") if has_namespaces() else ("rewrite",)


def put_program(home: Path, uri: str, source: str) -> None:
    from pipeline.local.storage import Storage

    Storage(str(home)).put_bytes(uri, source.encode())


def put_archive(home: Path, uri: str, files: dict[str, str]) -> None:
    from pipeline.local.storage import Storage

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    Storage(str(home)).put_bytes(uri, buffer.getvalue())


def main() -> None:
    order = json.load(sys.stdin)
    home = order["home"]
    from pipeline.local.folders import Folders
    from pipeline.local.images import register_image
    from pipeline.local.isolation import Isolation
    from pipeline.local.jobs import KINDS, JobContext, JobFailed
    from pipeline.local.loop import Cancelled, Loop
    from pipeline.local.storage import Storage
    from pipeline.local.store import Store

    isolation = Isolation.enter(home, "arn:execution/e1")
    store, loop = Store(home), Loop()
    register_image(store, "*", order.get("command", sys.executable))
    answer: dict[str, Any] = {"body": {}, "error": "", "log_path": "", "parity": {}, "announced": []}
    name = order.get("job_name", "job-1")
    context = JobContext(
        store=store,
        storage=Storage(home),
        loop=loop,
        isolation=isolation,
        folders=Folders(loop),
        execution_arn="arn:execution/e1",
        execution_id="e1",
        step={"Name": "Step", "Arguments": order["request"], **order.get("step", {})},
        job_name=name,
        work=os.path.join(home, "work", "e1", name),
        log_path=os.path.join(home, "logs", "e1", "Step.log"),
        previous_job=order.get("previous_job", ""),
        announce=answer["announced"].append,
        parity=answer["parity"].__setitem__,
    )
    driver = importlib.import_module(f"pipeline.local.jobs.{order['driver'].lower()}")

    async def work() -> dict[str, Any]:
        task = loop.spawn(driver.run(order["request"], context))
        if "cancel_after" in order:
            await loop.first([task], order["cancel_after"])
            task.cancel()
        if "cancel_when" in order:
            while not os.path.exists(order["cancel_when"]) and not await loop.first([task], 0.05):
                pass
            task.cancel()
        return await loop.join(task)  # type: ignore[no-any-return]

    try:
        answer["body"] = loop.run(work())
    except JobFailed as exc:
        answer |= {"error": exc.message, "log_path": exc.log_path}
    except Cancelled:
        answer["error"] = "cancelled"
    record = store.get(KINDS[order["driver"]], name)
    answer |= {"record": record.body, "status": record.status}
    isolation.close()
    loop.tidy()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
