"""The champion's archive, judged on the same pictures by its own code, in a child process that is not trusted."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import archive
import numpy as np
from data import Split
from payload import MAX_BODY
from refusal import Refusal

from evaluation import judge

ARCHIVE = "model.tar.gz"
NONE = "none"  # what FindChampion says in place of a package's ARN
AT_ONCE = 64  # pictures
HEADER = 1024  # bytes: more than that of any .npy
MOST_CLASSES, LONGEST_NAME = 100_000, 1_000
LARGEST_CARD = 32 * 2**20  # bytes
REASON = 300  # characters of what the child said last
# No credentials, no addresses of services: what Python and torch need to start.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES")
PASSED_ON += ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class NotJudged(Exception):
    """Why the champion has no figures, in one sentence."""


class Champion(NamedTuple):
    """What it said: a class for each picture of the split, and the classes that it knows."""

    sha256: str
    classes: tuple[str, ...]
    predicted: list[str]
    same_data: bool  # prepared alike; else it may have been trained on some of the split's pictures


def judged(folder: Path, test: Split, seconds: float, package: str = "") -> Champion | None:
    """None where `package` is NONE, or without an archive in `folder` and nobody named a package.

    Raises NotJudged for one that gives no usable answers within `seconds`.
    """
    path = _archive(folder, package)
    if path is None:
        return None
    with tempfile.TemporaryDirectory() as work:
        unpacked, answers = Path(work) / "model", Path(work) / "answers.json"
        try:
            archive.unpack(path, unpacked)
        except Refusal as refusal:
            # What there is to do about our own archive is of no use for one that was registered long ago.
            raise NotJudged(str(refusal).removesuffix(": train again")) from None
        except OSError as error:  # a name that is too long, or of a file and a folder at once
            raise NotJudged(f"its archive cannot be unpacked: {error.strerror}") from None
        card = _json(unpacked / archive.CARD, LARGEST_CARD)
        classes = _classes(card)
        if not (unpacked / "code" / "inference.py").is_file():
            raise NotJudged("its archive has no code/inference.py to judge it by")
        _ask(unpacked, answers, test, seconds)
        predicted = _answers(answers, classes, len(test))
        return Champion(archive.sha256(path), classes, predicted, _is_of(card, test))


def _archive(folder: Path, package: str) -> Path | None:
    """As it was registered: mostly under our own name, but somebody else's archive may have another."""
    if package == NONE:
        return None
    found = sorted(each for each in folder.glob("*.tar.gz") if each.is_file())
    if folder / ARCHIVE in found:
        return folder / ARCHIVE
    if not found and not package:
        return None
    if len(found) != 1:
        raise NotJudged(f"its package gave {len(found)} archives (.tar.gz), not one: the log of FindChampion names it")
    return found[0]


def _classes(card: object) -> tuple[str, ...]:
    """Whatever format the card has: reading that is its own code's business."""
    names = card.get("classes") if isinstance(card, dict) else None
    if not isinstance(names, list) or not 0 < len(names) <= MOST_CLASSES or not all(map(_is_name, names)):
        raise NotJudged(f"its {archive.CARD} has no list of classes")
    return tuple(names)


def _is_of(card: object, test: Split) -> bool:
    data = card.get("data") if isinstance(card, dict) else None
    own = {"digest": test.manifest["source"]["digest"], "settings": test.manifest.get("settings", {})}
    return isinstance(data, dict) and all(data.get(key) == value for key, value in own.items())


def _ask(folder: Path, answers: Path, test: Split, seconds: float) -> None:
    room = min(AT_ONCE, (MAX_BODY - HEADER) // (3 * test.stored_size**2))
    if not room:
        raise NotJudged(f"squares of {test.stored_size} px are more than one request may hold")
    command = [sys.executable, "-P", "-B", judge.__file__, str(folder), str(answers)]
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env, cwd=folder, start_new_session=True
        )
        # A thread: whoever still holds the other end of the pipe when the child is gone may never read it.
        threading.Thread(target=_feed, args=(child, test, room), daemon=True).start()
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise NotJudged(f"it was not done within {seconds:,.0f} seconds, and the new model was") from None
        finally:
            _end(child)
        if code:
            raise NotJudged(f"its code ended with {code}: {_said(log)}")


def _feed(child: subprocess.Popen[bytes], test: Split, room: int) -> None:
    """Stored squares, as the endpoint takes any array: the champion cuts out of them what it was trained on."""
    assert child.stdin is not None
    with suppress(OSError), child.stdin as stream:  # a child that ends early says why in its log
        for start in range(0, len(test), room):
            file = io.BytesIO()
            np.save(file, test.take(np.arange(start, min(start + room, len(test)))))
            judge.send(stream, file.getvalue())
        judge.send(stream, b"")


def _end(child: subprocess.Popen[bytes]) -> None:
    """With all that it started: the child leads its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _answers(path: Path, classes: tuple[str, ...], count: int) -> list[str]:
    names = _json(path, judge.LARGEST_FILE)
    if not isinstance(names, list) or len(names) != count:
        raise NotJudged(f"it did not give one answer for each of {count} pictures")
    known = set(classes)
    if not all(isinstance(name, str) and name in known for name in names):
        raise NotJudged(f"it answered with something that is none of the classes in its {archive.CARD}")
    return names


def _json(path: Path, most: int) -> object:
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > most:  # from a pipe, reading would never end
            raise NotJudged(f"its {path.name} is no plain file, or too large")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise NotJudged(f"its {path.name} is missing, or no JSON") from None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME


def _said(log: IO[bytes]) -> str:
    """The last line that has something in it, without what would move a terminal's cursor."""
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - 4096))
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return "".join(each if each.isprintable() else " " for each in (lines or ["it said nothing"])[-1])[:REASON]
