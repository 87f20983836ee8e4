"""Kept arrays: one program computes and the others wait, what is torn or foreign is made anew, the least used go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training import arrays

SHAPE = (5, 3)
VALUES = torch.arange(15, dtype=torch.float32).reshape(SHAPE)
BYTES = 15 * 4 + arrays.SEAL
WIDE = 1 << 30


class Source:
    """Counts how often its rows were asked for."""

    def __init__(self, values: Tensor = VALUES) -> None:
        self.values, self.asked = values, 0

    def __call__(self) -> Iterator[Tensor]:
        self.asked += 1
        yield from self.values.split(2)


def name(number: int = 0) -> str:
    return f"{number:064x}.array"


def kept(folder: Path, source: Source, number: int = 0, limit: int = WIDE) -> Tensor:
    return arrays.kept(folder / name(number), SHAPE, lambda _: True, source, limit)


def test_what_was_kept_is_read_and_not_computed(tmp_path: Path) -> None:
    first, second = Source(), Source()
    assert kept(tmp_path / "new/folder", first).equal(VALUES) and first.asked == 1
    assert kept(tmp_path / "new/folder", second).equal(VALUES) and second.asked == 0
    assert os.listdir(tmp_path / "new/folder") == [name()]
    assert (
        (tmp_path / "new/folder").stat().st_mode & 0o077
        == 0
        == (tmp_path / "new/folder" / name()).stat().st_mode & 0o077
    )


def test_writing_into_what_was_read_leaves_the_file_alone(tmp_path: Path) -> None:
    kept(tmp_path, Source())
    kept(tmp_path, Source()).zero_()
    assert kept(tmp_path, Source()).equal(VALUES)


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)


def of_another(path: Path) -> None:
    kept(path.parent, Source(-VALUES), 1)
    path.write_bytes(path.with_name(name(1)).read_bytes())


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", (torn, flipped, of_another, linked, piped, empty))
def test_what_is_not_whole_or_not_ours_is_made_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    kept(tmp_path, Source())
    damage(tmp_path / name())
    source = Source()
    assert kept(tmp_path, source).equal(VALUES) and source.asked == 1
    assert (tmp_path / name()).is_file() and not (tmp_path / name()).is_symlink()


def test_what_is_not_believed_is_made_anew(tmp_path: Path) -> None:
    kept(tmp_path, Source(-VALUES))
    found = arrays.kept(tmp_path / name(), SHAPE, lambda found: found.equal(VALUES), Source(), WIDE)
    assert found.equal(VALUES) and kept(tmp_path, Source(-VALUES)).equal(VALUES)


def test_what_a_killed_program_left_is_no_part_of_the_next_file(tmp_path: Path) -> None:
    (tmp_path / name()).with_suffix(".partial").write_bytes(b"x" * 1000)
    assert kept(tmp_path, Source()).equal(VALUES)
    assert os.listdir(tmp_path) == [name()] and (tmp_path / name()).stat().st_size == BYTES


def test_what_cannot_be_computed_leaves_nothing(tmp_path: Path) -> None:
    def rows() -> Iterator[Tensor]:
        yield VALUES[:2]
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        arrays.kept(tmp_path / name(), SHAPE, lambda _: True, rows, WIDE)
    assert os.listdir(tmp_path) == []


def test_the_least_used_are_removed_and_nothing_foreign(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(b"x" * 10 * BYTES)
    for number in range(3):
        kept(tmp_path, Source(), number, 3 * BYTES)
        os.utime(tmp_path / name(number), (number, number))
    kept(tmp_path, Source(), 0, 3 * BYTES)  # used again: now 1 is the oldest
    kept(tmp_path, Source(), 3, 3 * BYTES)
    assert sorted(os.listdir(tmp_path)) == [name(0), name(2), name(3), "notes"]


def test_an_array_that_was_removed_can_still_be_used(tmp_path: Path) -> None:
    first = kept(tmp_path, Source(), 0, BYTES)
    kept(tmp_path, Source(-VALUES), 1, BYTES)
    assert os.listdir(tmp_path) == [name(1)] and first.equal(VALUES)


def test_an_array_above_the_limit_removes_nothing(tmp_path: Path) -> None:
    kept(tmp_path, Source(), 0)
    with pytest.raises(OSError, match="there is room for"):
        kept(tmp_path, Source(), 1, BYTES - 1)
    assert os.listdir(tmp_path) == [name(0)]


def test_a_temporary_array_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert arrays.temporary(SHAPE, Source()).equal(VALUES)
    assert os.listdir(tmp_path) == []


# A program for each line (its file, a pause, where to write), copied from one that has imported torch already.
PROGRAMS = """
import os, sys, time
from pathlib import Path
import arrays, torch
def rows():
    print("computing", flush=True)
    for number in range(20):
        time.sleep(pause)
        yield torch.full((1, 3), float(number))
running = []
for line in sys.stdin:
    running.append(os.fork())
    if not running[-1]:
        path, pause, log = line.split()
        pause, sys.stdout = float(pause), open(log, "w")
        try:
            found = arrays.kept(Path(path), (20, 3), lambda _: True, rows, 1 << 30)
            print("right" if found[:, 0].tolist() == list(range(20)) else found, flush=True)
        except BaseException as exc:
            print(repr(exc), flush=True)
        os._exit(0)
    print(running[-1], flush=True)
print(*(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in running))
"""


class Programs:
    """In a process group of their own, so that none outlives a test that fails."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", PROGRAMS]
        self._starter = subprocess.Popen(
            command,
            cwd=Path(arrays.__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def start(self, path: Path, pause: float, log: Path) -> int:
        """The pid of one that keeps its array in `path`, with a pause before each row."""
        self._starter.stdin.write(f"{path} {pause} {log}\n")
        return int(self._starter.stdout.readline())

    def wait(self) -> list[int]:
        """Until all have ended; their exit codes."""
        return [int(code) for code in self._starter.communicate(timeout=300)[0].split()]

    def kill(self) -> None:
        """Those that have not ended."""
        with suppress(ProcessLookupError):  # all have
            os.killpg(self._starter.pid, signal.SIGKILL)
        self._starter.communicate()


@pytest.fixture
def programs() -> Iterator[Programs]:
    made = Programs()
    yield made
    made.kill()


def said(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def test_of_three_programs_one_computes_and_the_others_wait(tmp_path: Path, programs: Programs) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    for log in logs:
        programs.start(tmp_path / name(), 0.05, log)
    assert programs.wait() == [0, 0, 0]
    assert sorted(map(said, logs)) == [["computing", "right"], ["right"], ["right"]]


def test_who_waits_for_a_program_that_is_killed_computes(tmp_path: Path, programs: Programs) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    first = programs.start(tmp_path / name(), 60, logs[0])
    while not said(logs[0]):
        time.sleep(0.01)
    second = programs.start(tmp_path / name(), 0, logs[1])
    while not _waits(second) and not said(logs[1]):
        time.sleep(0.05)
    os.kill(first, signal.SIGKILL)
    assert programs.wait() == [-signal.SIGKILL, 0]
    assert [said(log) for log in logs] == [["computing"], ["computing", "right"]]


def _waits(pid: int) -> bool:
    """For a lock, as Linux tells it: `-> FLOCK … pid`; anywhere else nobody can tell."""
    locks = Path("/proc/locks")
    return not locks.exists() or any("->" in line and f" {pid} " in line for line in locks.read_text().splitlines())
