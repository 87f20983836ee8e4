"""The process of a transform job outside of any pipeline: python -m pipeline.local.transform_host HOME NAME."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager

from pipeline.local import detached
from pipeline.local.endpoint_files import Files, is_supervised, locked, take
from pipeline.local.jobs import KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pipeline.local.isolation import Isolation
    from pipeline.local.loop import Loop
    from pipeline.local.store import Record, Store

KIND = KINDS["Transform"]
OWN = "_own"  # of its record: it is no step's
_LOOK_S = 0.1
_LOST = "InternalServerError: the process of this machine that did it ended without a word: "


@contextmanager
def starting(store: Store, name: str, wait: bool = True) -> Iterator[bool]:
    """Around all of its beginning: until its process has its lock, nobody takes a job for one that has lost it."""
    own = _files(store.home, name)
    os.makedirs(own.folder, exist_ok=True)
    with locked(own.starting, wait) as mine:
        yield mine


def start(store: Store, name: str) -> None:
    """It has its lock when this returns, and leaves our session by itself."""
    detached.launch(_files(store.home, name), "transform_host", os.path.abspath(store.home), name)


def stop(store: Store, name: str) -> None:
    """Asks it by a file, since it may live in another pid namespace."""
    with open(_files(store.home, name).stop, "a"):
        pass


def is_stopping(store: Store, name: str) -> bool:
    return os.path.exists(_files(store.home, name).stop)


def look_after(store: Store, record: Record) -> None:
    """A job whose process was killed is Failed, as soon as somebody looks."""
    own = _files(store.home, record.name)
    if record.status != "InProgress" or not record.body.get(OWN) or is_supervised(own):
        return
    with starting(store, record.name, wait=False) as mine:
        if not mine or is_supervised(own):
            return
        now = store.get(KIND, record.name)  # it may have ended between the two looks
        if now.status == "InProgress":
            changes = {"FailureReason": f"{_LOST}{own.log}", "TransformJobStatus": "Failed"}
            store.change(KIND, record.name, changes, status="Failed", expect=["InProgress"])


def _files(home: str, name: str) -> Files:
    """No endpoint has such a name."""
    return Files(home, f"transform_{name}")


def main(home: str, name: str) -> int:
    own = _files(home, name)
    lock = os.open(own.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if not take(lock):
        return 1
    if os.fork():  # whoever started us waits for this process only; the lock goes on with the child
        os._exit(0)
    from pipeline.local.isolation import Isolation
    from pipeline.local.loop import Loop

    isolation = Isolation.enter(home, f"transform/{name}")
    loop = Loop()
    try:
        return int(loop.run(_transform(home, name, isolation, loop)))
    finally:
        isolation.close()
        own.remove()
        os.remove(own.lock)
        os.remove(own.starting)


async def _transform(home: str, name: str, isolation: Isolation, loop: Loop) -> int:
    """What became of it stands in its record."""
    from pipeline.local.folders import Folders
    from pipeline.local.jobs import JobContext, JobFailed, transform
    from pipeline.local.loop import Cancelled
    from pipeline.local.storage import Storage
    from pipeline.local.store import Store

    store, work = Store(home), os.path.join(home, "work", f"transform-{name}")
    request = {key: value for key, value in store.get(KIND, name).body.items() if key != "TransformJobName"}
    shutil.rmtree(work, ignore_errors=True)
    context = JobContext(
        store=store,
        storage=Storage(home),
        loop=loop,
        isolation=isolation,
        folders=Folders(loop),
        execution_arn="",
        execution_id="",
        step={"Name": name, "Arguments": request},
        job_name=name,
        work=os.path.join(work, "job"),
        log_path=os.path.join(home, "logs", "transforms", f"{name}.log"),
        previous_job="",
        announce=_nothing,
        parity=_nothing,
    )
    task = loop.spawn(transform.run(request, context))
    try:
        while not await loop.first([task], _LOOK_S):
            if is_stopping(store, name):
                task.cancel()
        await loop.join(task)
    except (JobFailed, Cancelled):
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def _nothing(*_: Any) -> None:
    """Of a step, the runner would be told."""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
