"""A refusal ends a program with one sentence, on stderr and in the file that SageMaker shows as the job's reason."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import gc
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

# FailureReason and ExitMessage hold at most 1,024 characters (API: DescribeTrainingJob, DescribeProcessingJob).
REASON_LENGTH = 1024
MEND_LENGTH = 400  # of it for the end, where the mend stands: names of files may be long
# Names in a hostile archive may hold escape sequences of terminals, marks that turn text around, or no UTF-8 at all.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
NO_FOLDER = ": a file stands where a folder belongs; give another folder"
HINTS = {
    errno.EEXIST: NO_FOLDER,
    errno.ENOTDIR: NO_FOLDER,
    errno.ENOSPC: ": raise training.volume_gb or processing.volume_gb in pipeline.yaml, or free space on this machine",
    errno.EACCES: ": the job may not write or read there; check the folder's owner and mode",
    errno.ENOENT: ": not there, or not any more; put it there and start again",
    errno.EROFS: ": the folder is read-only; give another one",
}


class Refusal(Exception):
    """What is wrong, where, and what to do about it, in one sentence."""


class Parser(argparse.ArgumentParser):
    """argparse that raises Refusal instead of exiting, takes no shortened names, and suggests the nearest name."""

    def __init__(self, description: str | None = None) -> None:
        super().__init__(description=description, allow_abbrev=False)

    def parse_args(  # type: ignore[override]  # no caller has a namespace of its own class
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unknown argument {unknown[0]!r}{self._nearest(unknown[0])}")
        return parsed

    def error(self, message: str) -> NoReturn:
        raise Refusal(message)

    def _nearest(self, name: str) -> str:
        known = [option for option in self._option_string_actions if not option.startswith("--_")]
        near = difflib.get_close_matches(name.split("=")[0], known, n=1)
        return f": did you mean {near[0]}?" if near else f": known are {', '.join(sorted(known))}"


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the disk names the file: what goes wrong in the midst of writing says of itself only why."""
    try:
        yield
    except OSError as error:
        if error.filename or not error.errno:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def note_file(argv: list[str] | None, default: Path) -> Path | None:
    """`--message-file`, known before the arguments are judged, so that a refused argument is reported as well."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--message-file", type=Path, nargs="?", default=default)
    note: Path | None = early.parse_known_args(argv)[0].message_file
    return note


def exit_code(work: Callable[[], None], note: Path | None) -> int:
    """0 when `work` ends well; a Refusal or an error of the disk becomes one line on stderr and in `note`, and 1."""
    try:
        work()
    except Refusal as refusal:
        return _ended(str(refusal), note)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _ended(f"{where}{error.strerror or error}{HINTS.get(error.errno or 0, '')}", note)
    return 0


def leave(code: int) -> NoReturn:
    """Ends a program that has imported torch, which the interpreter would search for garbage first: 1 s of CPU time."""
    gc.freeze()
    sys.exit(code)


def harmless(text: str) -> str:
    """For a terminal, a log, a message."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _ended(reason: str, note: Path | None) -> int:
    line = harmless(" ".join(reason.split()))
    print(f"error: {line}", file=sys.stderr, flush=True)
    if note is not None and note.parent.is_dir():
        with contextlib.suppress(OSError):  # on a full disk stderr has to do: a traceback would hide the reason
            note.write_text(_cut(line), encoding="utf-8")
    return 1


def _cut(line: str) -> str:
    if len(line) <= REASON_LENGTH:
        return line
    return f"{line[: REASON_LENGTH - MEND_LENGTH - 3]} … {line[-MEND_LENGTH:]}"
