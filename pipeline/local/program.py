"""What a forked child does last: become another program, with a log for its output, or say why it cannot."""

from __future__ import annotations

import os

from pipeline.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn


def open_log(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {exc.strerror}", "DARKROOM_HOME moves the folder") from exc


def execute(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Looks the program up in the PATH of `env`, here and now: after /opt/ml has come into place."""
    program = argv[0]
    folders = [""] if "/" in program else env.get("PATH", os.defpath).split(os.pathsep)
    denied = False
    for folder in folders:
        path = os.path.join(folder, program)
        try:
            os.execve(path, list(argv), env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:  # of the file, or of a folder of PATH that is somebody else's
            denied = denied or os.path.exists(path)
    if denied:
        raise OSError(f"program {program!r} is not executable")
    raise OSError(f"no program {program!r}")


def words(exc: OSError) -> bytes:
    """An error as a person reads it."""
    return (f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror or str(exc)).encode()
