"""Where state lives, and how the user has to spell the next command."""

from __future__ import annotations

import os
import sys

from pipeline.errors import DarkroomError

CONFIG = "pipeline.yaml"
FOLDER = ".darkroom"


def home(config: str = "") -> str:
    """DARKROOM_HOME, else .darkroom/ beside pipeline.yaml.

    Looked for from the configuration's folder (or the current one) upwards, so that commands work in any folder of a
    project, and so that `-c examples/other.yaml` shares the project's state.
    """
    if moved := os.environ.get("DARKROOM_HOME"):
        return os.path.abspath(moved)
    begin = os.path.dirname(os.path.abspath(config)) if config else os.getcwd()
    folder = begin
    while True:
        if any(os.path.exists(os.path.join(folder, name)) for name in (FOLDER, CONFIG)):
            return os.path.join(folder, FOLDER)
        parent = os.path.dirname(folder)
        if parent == folder:
            return os.path.join(begin, FOLDER)
        folder = parent


def has_state() -> bool:
    """Whether anything was done here: who only looks leaves nothing behind, not even in a folder that he has made."""
    try:
        os.stat(os.path.join(home(), "store.sqlite3"))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # there may be: whoever opens it says what is wrong
    return True


def used_home() -> str:
    """home(), for commands about what is there. Raises DarkroomError where nothing ever was."""
    if not has_state():
        raise DarkroomError("nothing has been executed yet", "darkroom run")
    return home()


def darkroom() -> str:
    """What to type for `darkroom` here: after `make run` its environment is not active, `darkroom` not on the PATH."""
    script = os.path.join(os.path.dirname(sys.executable), "darkroom")
    found = _on_path("darkroom")
    if found and os.path.exists(script) and os.path.samefile(found, script):
        return "darkroom"
    if os.path.exists(script):
        return shown(script)
    return f"{shown(sys.executable)} -m pipeline"


def _on_path(program: str) -> str:
    """As shutil.which, whose import takes 2 ms: the end of each `start --wait` asks here."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def shown(path: str) -> str:
    """Relative where that is shorter: what people copy should not be longer than needed."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else path
