"""Finds smdebug, which no image of AWS's holds any more: imported as it is, or installed into a folder of its own.

What it needs of protobuf is older than what anybody else in the process may want, so it keeps a protobuf to itself.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

PINNED = {
    "smdebug==1.0.34": "cf468938aa8e502888060b1508b7c78220074da23cd6c9e663e939057784b3f8",
    "protobuf==3.20.3": "a7ca6d488aa8ff7f329d4c545b2dbad8ac31464f1d8b1c87ad1346717731e4db",
}
SECONDS = 120  # for pip
MODULES = ("smdebug.pytorch", "smdebug.core.json_config", "smdebug.core.config_validator")
OTHERWISE = (
    "let the job reach a package index (network isolation off, a NAT gateway in a VPC), or use an image that holds "
    f"{' and '.join(PINNED)}, or set health.managed to false"
)
LEVEL = "SMDEBUG_LOG_LEVEL"


class Absent(Exception):
    """There is no smdebug; the message says why, and what to do."""


def found() -> str:
    """Its version; from now on `import smdebug.pytorch` works. Raises Absent."""
    if "smdebug.pytorch" not in sys.modules:
        why = _import(None) if importlib.util.find_spec("smdebug") else "smdebug is not in this image"
        if why:
            again = _import(_installed(why))
            if again:
                raise Absent(f"{why}; and the one that was installed for this job: {again}: {OTHERWISE}")
    logging.getLogger("smdebug").setLevel(logging.WARNING)
    return str(importlib.import_module("smdebug").__version__)


def _import(folder: Path | None) -> str:
    """Why it cannot be, if so: whatever a broken or half-installed package raises."""
    try:
        with _quiet(), _stand_ins(), _own_protobuf(folder):
            for name in MODULES:
                importlib.import_module(name)
    except Exception as error:  # of somebody else's package: anything
        for name in [name for name in sys.modules if name.partition(".")[0] == "smdebug"]:
            del sys.modules[name]
        return f"smdebug cannot be imported ({type(error).__name__}: {error}".splitlines()[0][:300] + ")"
    finally:
        # pyinstrument's copy of six looks for modules in a way that Python 3.11 warns of, at each one that is missing
        sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return ""


def _installed(why: str) -> Path:
    """Both wheels, and nothing that they ask for: the image has the rest. Raises Absent; `why` it is needed."""
    folder = Path(tempfile.mkdtemp(prefix="darkroom-smdebug-"))
    wanted = folder / "requirements.txt"
    wanted.write_text("".join(f"{name} --hash=sha256:{digest}\n" for name, digest in PINNED.items()))
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--platform", "any", "--no-compile"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    try:
        ran = subprocess.run(
            [*command, *options, "--retries", "1", "--target", str(folder / "site"), "-r", str(wanted)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
        said = [line for line in ran.stderr.splitlines() if line.strip()]
        failure = "" if ran.returncode == 0 else said[-1] if said else f"pip ended with {ran.returncode}"
    except subprocess.TimeoutExpired:
        failure = f"pip took more than {SECONDS} s"
    except OSError as error:
        failure = str(error)
    if failure:
        raise Absent(f"{why}, and smdebug could not be installed ({failure[:300]}): {OTHERWISE}")
    return folder / "site"


@contextlib.contextmanager
def _own_protobuf(folder: Path | None) -> Iterator[None]:
    """With `folder` first while smdebug is imported, and last from then on; whoever imports protobuf later on, or has
    done so before, has the image's own."""
    if folder is None:
        yield
        return
    before = {name: sys.modules.pop(name) for name in _protobuf()}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.path.append(str(folder))
        for name in _protobuf():
            sys.modules.pop(name, None)
        sys.modules.update(before)


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """For what smdebug's profiler alone uses, where it is missing: nothing here starts that."""
    missing = [name for name in STAND_INS if importlib.util.find_spec(name.partition(".")[0]) is None]
    for name in missing:
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(STAND_INS[name])
    try:
        yield
    finally:
        for name in missing:
            sys.modules.pop(name, None)


def _truth(text: str) -> int:
    """distutils.util.strtobool, which Python 3.12 no longer has."""
    return int(text.lower() in ("y", "yes", "t", "true", "on", "1"))


def _protobuf() -> list[str]:
    return [name for name in sys.modules if name == "google" or name.startswith("google.protobuf")]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """It warns of itself two hundred times, and logs before anybody can ask it not to."""
    before = os.environ.get(LEVEL)
    os.environ.setdefault(LEVEL, "warning")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if before is None:
            del os.environ[LEVEL]


STAND_INS: dict[str, dict[str, object]] = {
    "pyinstrument": {"Profiler": object},
    "pyinstrument.renderers": {"JSONRenderer": object},
    "distutils": {},
    "distutils.util": {"strtobool": _truth},
}
