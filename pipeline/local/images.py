"""What stands in for a container image on this machine: a command line, found by a pattern of image addresses.

A command whose program is a Python (`.venv/bin/python`) stands for AWS's PyTorch image: `python` in an entry point
means it, its folder comes first in PATH, and a training container without entry point plays the AWS training toolkit
with it. Any other command line is the image's own entry point.
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase

from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.local.store import Store

KIND = "image"
_PYTHON = re.compile(r"python(3(\.\d+)?)?")


class Image:
    """`command[0]` is an absolute path when it could be found; `is_python` says that it plays AWS's PyTorch image."""

    __slots__ = ("command", "is_python", "uri")

    def __init__(self, uri: str, command: Sequence[str]) -> None:
        self.uri = uri
        self.command = [_found(command[0]), *command[1:]]
        self.is_python = os.path.basename(command[0]).startswith("python")

    def argv(self, entrypoint: Sequence[str], arguments: Sequence[str], default: Sequence[str] = ()) -> list[str]:
        """A container's command line: `entrypoint` as given, else the image's own with `default` before `arguments`."""
        if not entrypoint:
            return [*self.command, *default, *arguments]
        if self.is_python and self._means_python(entrypoint[0]):
            return [*self.command, *entrypoint[1:], *arguments]
        return [*entrypoint, *arguments]

    def environment(self, env: dict[str, str]) -> dict[str, str]:
        """`env` with the image's programs first in PATH."""
        if not self.is_python or not os.path.isabs(self.command[0]):
            return env
        return {**env, "PATH": os.pathsep.join((os.path.dirname(self.command[0]), env.get("PATH", os.defpath)))}

    @staticmethod
    def _means_python(program: str) -> bool:
        # the image's own /opt/venv/bin/python does not exist here
        return bool(_PYTHON.fullmatch(os.path.basename(program))) and (
            "/" not in program or not os.path.exists(program)
        )


def register_image(store: Store, pattern: str, command: str | Sequence[str]) -> None:
    """Remembers what stands in for images whose address matches `pattern` (as in a shell: `*`, `?`, `[…]`)."""
    if isinstance(command, str):
        import shlex

        try:
            command = shlex.split(command)
        except ValueError as exc:
            raise DarkroomError(f"--image {pattern}={command}: {exc}", "quote the command as for a shell") from exc
    if not pattern or not command:
        raise DarkroomError(f"--image {pattern}={' '.join(command)}: needs a pattern and a command", _hint(pattern))
    program = command[0]
    if "/" in program and not os.path.isabs(program):  # found from where it was said, not from where the runner is
        program = os.path.abspath(program)
    store.put(KIND, pattern, {"Pattern": pattern, "Command": [program, *command[1:]]})


def command_for(store: Store, uri: str, step: str = "") -> Image:
    """What stands in for an image: the very address, else the longest pattern. DarkroomError says what to type."""
    records = store.list(KIND)
    matching = [record for record in records if record.name == uri or fnmatchcase(uri, record.name)]
    if not matching:
        where = f"step {step}: " if step else ""
        known = ", ".join(sorted(record.name for record in records)) or "none"
        raise DarkroomError(f"{where}no command stands in for image {uri!r} (known patterns: {known})", _hint(uri))
    best = max(matching, key=lambda record: (record.name == uri, len(record.name)))
    return Image(uri, best.body["Command"])


def _found(program: str) -> str:
    if "/" in program:
        return program
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    return program


def _hint(uri: str) -> str:
    repository = uri.rpartition("/")[2].partition(":")[0] or "my-image"
    return f"say what to run for it: --image '*{repository}*=COMMAND', e.g. --image '*{repository}*=python'"
