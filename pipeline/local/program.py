"""Starting a program: in a child of its own or in place of this process, with a log for its output."""

from __future__ import annotations

import os
import signal

from pipeline.errors import DarkroomError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn, TypeVar

    T = TypeVar("T")

# handled by the runner, ignored by Python, or by a shell for what it starts with &; an ignored signal outlives exec
OURS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ)
_LONGEST_WORDS = 4096  # nobody reads them before the child has ended, and a pipe takes 16 KiB at least


def open_log(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {exc.strerror}", "DARKROOM_HOME moves the folder") from exc


def find_and(start: Callable[[str], T], name: str, path: str) -> T:
    """Calls `start` with `name` in the folders of `path`, one after another, until one is a program.

    Looked up here and now: after /opt/ml has come into place. Raises OSError when nothing was.
    """
    denied = False
    for folder in [""] if "/" in name else (path or os.defpath).split(os.pathsep):
        program = os.path.join(folder, name)
        try:
            return start(program)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.isfile(program):  # then it is a script
                raise OSError(f"program {program!r}: there is no interpreter as its first line names it") from None
        except PermissionError:  # of the file, or of a folder of PATH that is somebody else's
            denied = denied or os.path.exists(program)
        except ValueError as exc:  # a NUL, a lone surrogate, a variable's name with =
            raise OSError(f"its arguments or variables cannot be given to a program: {exc}") from exc
    if denied:
        raise OSError(f"program {name!r} is not executable")
    raise OSError(f"no program {name!r}")


def execute(argv: list[str], env: Mapping[str, str]) -> NoReturn:
    """This process becomes the program."""
    find_and(lambda program: os.execve(program, argv, env), argv[0], env.get("PATH", ""))
    raise AssertionError


def spawn(argv: list[str], env: Mapping[str, str], log: int) -> int:
    """The program as a child, the leader of a group of its own, its output in `log`: its pid.

    Faster than fork and exec (3 ms for each job): no page of this process is copied.
    """
    streams = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    )

    def start(program: str) -> int:
        return os.posix_spawn(program, argv, env, file_actions=streams, setpgroup=0, setsigdef=OURS)

    return find_and(start, argv[0], env.get("PATH", ""))


def words(exc: BaseException) -> bytes:
    """An error as a person reads it."""
    match exc:
        case DarkroomError():
            text = f"{exc.message} ({exc.hint})" if exc.hint else exc.message
        case OSError():
            text = f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror or str(exc)
        case _:
            text = repr(exc)
    return text.encode(errors="replace")[:_LONGEST_WORDS]
