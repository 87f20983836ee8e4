"""Work over processes: all of it is done, and a process that ends too early is noticed."""

from __future__ import annotations

import multiprocessing
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from preparation import workers
from refusal import Refusal


class Squared:
    """Picklable, for spawned processes."""

    def __call__(self, start: int, note: workers.Note) -> tuple[int, int]:
        return start * start, os.getpid()


@pytest.mark.parametrize(("processes", "method"), [(1, workers.METHOD), (3, workers.METHOD), (2, "spawn")])
def test_every_start_is_worked_on_once_away_from_this_process(processes: int, method: str) -> None:
    done = list(workers.spread(Squared(), range(0, 70, 10), processes, method))
    assert sorted(result for result, _ in done) == [0, 100, 400, 900, 1600, 2500, 3600]
    assert len({process for _, process in done} - {os.getpid()}) == processes


def test_no_more_processes_than_work_and_none_for_ever() -> None:
    assert len({process for _, process in workers.spread(Squared(), range(2), 9)}) == 2
    assert list(workers.spread(Squared(), range(0), 9)) == []
    assert not multiprocessing.active_children()


def test_a_process_that_ends_tells_where_and_how() -> None:
    def work(start: int, note: workers.Note) -> int:
        note(start + 3)
        os._exit(7)

    with pytest.raises(workers.Lost, match="on 3 ended with 7") as caught:
        list(workers.spread(work, range(1), 1))
    assert (caught.value.at, caught.value.end) == (3, "ended with 7")


def test_refusals_and_errors_of_the_disk_cross_over() -> None:
    def refuse(start: int, note: workers.Note) -> int:
        raise Refusal("no")

    def fail(start: int, note: workers.Note) -> int:
        raise OSError(28, "No space left on device", "/scratch/squares")

    with pytest.raises(Refusal, match="^no$"):
        list(workers.spread(refuse, range(1), 1))
    with pytest.raises(OSError) as caught:
        list(workers.spread(fail, range(1), 1))
    assert (caught.value.errno, caught.value.filename) == (28, "/scratch/squares")


def test_the_processes_end_with_a_parent_that_is_killed() -> None:
    """Told by its standard output, which they hold as well: it ends when the last of them has."""
    program = (
        "import os, sys, time; from preparation import workers\n"
        "work = lambda start, note: start if start < 2 else time.sleep(600)\n"
        "for done in workers.spread(work, range(4), 2): print(done, flush=True)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(workers.__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        assert sorted([parent.stdout.readline(), parent.stdout.readline()]) == [b"0\n", b"1\n"]
        parent.kill()
        assert select.select([parent.stdout], [], [], 60)[0]
        assert parent.stdout.read() == b""


def test_the_other_processes_end_with_the_first_that_fails() -> None:
    def work(start: int, note: workers.Note) -> int:
        if start:
            raise Refusal("no")
        time.sleep(600)
        return start

    with pytest.raises(Refusal):
        list(workers.spread(work, range(2), 2))
    assert not multiprocessing.active_children()
