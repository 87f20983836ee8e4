"""Compiles pipeline.yaml in a child process and remembers the result by the digest of all that goes into it.

The SDK takes two to three seconds to import; this module takes none: it imports neither it nor pydantic nor yaml.
"""

from __future__ import annotations

import json
import os
import sys

from pipeline.compiled import CompiledOnDisk
from pipeline.errors import ConfigError, DarkroomError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

__all__ = ["CompiledOnDisk", "compile_digest", "compile_pipeline", "entrypoints_root"]

FORMAT = "1"
EXPECTED = 3  # exit code of the child for an error that its last line of stdout describes
KEPT = 20  # compiled pipelines below one home
_OLD = ".old-"
_HERE = os.path.dirname(os.path.abspath(__file__))
_HOME = os.path.dirname(_HERE)
# Sources and packages that decide what a configuration compiles to.
_MODULES = (
    *("builder", "source", "compile", "compiled", "dataset_source", "content", "model_files"),
    *("own_network", "own_rules", "infra/packaging"),
)
SOURCES = ("pipeline/config", "steps", *(f"pipeline/{name}.py" for name in _MODULES))
_NO_SPACE = "free some space, or set DARKROOM_HOME to a folder that can be written"
_PACKAGES = ("sagemaker", "botocore", "pydantic", "pyyaml")


def compile_pipeline(config_path: str, home: str, begun: Callable[[], None] = lambda: None) -> CompiledOnDisk:
    """The compiled pipeline below `<home>/compiled/`; compiles only what was not compiled before, after `begun()`.

    Raises ConfigError or DarkroomError as the builder does, and StorageError when `home` cannot be written.
    """
    config_path = os.path.abspath(config_path)
    root = entrypoints_root(config_path)
    while True:
        parent, digest = os.path.join(os.path.abspath(home), "compiled"), compile_digest(config_path, root)
        if compiled := _current(parent, digest, config_path):
            _touch(compiled.folder)
            return compiled
        begun()
        _compile_into(parent, digest, config_path, root)


def remembered(config_path: str, home: str) -> CompiledOnDisk | None:
    """What was compiled below `home` before; compiles and writes nothing. Raises ConfigError, StorageError."""
    config_path = os.path.abspath(config_path)
    digest = compile_digest(config_path, entrypoints_root(config_path))
    return _current(os.path.join(os.path.abspath(home), "compiled"), digest, config_path)


def _current(parent: str, digest: str, config_path: str) -> CompiledOnDisk | None:
    found = (CompiledOnDisk(folder, config_path) for folder in _known(parent, digest))
    return next((compiled for compiled in found if compiled.is_current()), None)


def _known(parent: str, digest: str) -> list[str]:
    """What was compiled of these sources: one folder, or one for each state of what configurations name beside them."""
    if os.path.isdir(os.path.join(parent, digest)):
        return [os.path.join(parent, digest)]
    try:
        names = os.listdir(parent)
    except OSError:
        return []  # whoever compiles says what is wrong
    return [os.path.join(parent, name) for name in names if name.startswith(f"{digest}-")]


def entrypoints_root(config_path: str) -> str:
    """`entrypoints/` beside pipeline.yaml if there is one, else the one that comes with darkroom."""
    beside = os.path.join(os.path.dirname(config_path), "entrypoints")
    return beside if os.path.isdir(beside) else os.path.join(_HOME, "entrypoints")


def compile_digest(config_path: str, root: str) -> str:
    """32 hex digits of the configuration, the entry points, our own sources and the versions behind them."""
    import hashlib

    total = hashlib.sha256(FORMAT.encode())
    parts = [("config", _config_bytes(config_path)), *_files(root, "")]
    for source in SOURCES:
        path = os.path.join(_HOME, source)
        parts += _files(path, source, ".py") if os.path.isdir(path) else [(source, _bytes(path))]
    parts += [(name, b"") for name in _versions()]
    for name, body in parts:
        total.update(f"{len(name)} {name} {len(body)} ".encode())
        total.update(body)
    return total.hexdigest()[:32]


def _config_bytes(path: str) -> bytes:
    try:
        return _bytes(path)
    except OSError as exc:
        hint = "name the file with -c, or run darkroom in the folder that holds pipeline.yaml"
        raise ConfigError(os.path.basename(path), [f"(file): {path} cannot be read: {exc.strerror}"], hint) from exc


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _files(folder: str, label: str, ending: str = "") -> list[tuple[str, bytes]]:
    """(label/relative path, content) of every file below `folder` but caches and hidden ones, sorted."""
    found = []
    for here, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each != "__pycache__" and not each.startswith(".")]
        for name in files:
            if name.endswith(ending) and not name.startswith("."):
                path = os.path.join(here, name)
                found.append((f"{label}/{os.path.relpath(path, folder)}", _readable(path)))
    return sorted(found)


def _readable(path: str) -> bytes:
    try:
        return _bytes(path)
    except OSError as exc:
        raise StorageError(f"{path} cannot be read: {exc.strerror}", "mend it, or remove it") from exc


def _versions() -> Iterator[str]:
    """Folder names such as sagemaker-3.27.0.dist-info: importlib.metadata would take longer to import."""
    yield "python-{}.{}".format(*sys.version_info)
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue  # sys.path may name archives and folders that do not exist
        yield from sorted(name for name in names if name.endswith(".dist-info") and _package(name) in _PACKAGES)


def _package(dist_info: str) -> str:
    return dist_info.split("-", 1)[0].lower()


def _compile_into(parent: str, digest: str, config_path: str, root: str) -> None:
    """Everything appears at once, or not at all: written aside, then renamed."""
    import shutil
    import tempfile

    try:
        os.makedirs(parent, exist_ok=True)
        aside = tempfile.mkdtemp(prefix=".new-", dir=parent)
    except OSError as exc:
        raise _unwritable(parent, exc) from exc
    try:
        _run_child(config_path, root, aside)
        # A file that was saved meanwhile must not be remembered under the digest of the earlier one.
        if compile_digest(config_path, root) == digest:
            _appear(aside, os.path.join(parent, digest + _suffix(aside, config_path)))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _suffix(aside: str, config_path: str) -> str:
    """Names the state of the files that the configuration names; nothing where there are none."""
    import hashlib

    manifest = CompiledOnDisk(aside, config_path).manifest
    known = [*manifest["model_files"], *filter(None, [manifest["own_network"], manifest["own_rules"]])]
    return f"-{hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]}" if known else ""


def _appear(aside: str, folder: str) -> None:
    try:
        os.rename(aside, folder)
    except OSError as exc:
        # Unless somebody else compiled the same at the same time: theirs is as good.
        if not os.path.isdir(folder):
            raise _unwritable(os.path.dirname(folder), exc) from exc
    _touch(folder)
    _prune(os.path.dirname(folder))


def _unwritable(parent: str, exc: OSError) -> StorageError:
    return StorageError(f"{parent} cannot be written: {exc.strerror}", _NO_SPACE)


def _touch(folder: str) -> None:
    """Used now: pruning leaves it alone."""
    from contextlib import suppress

    with suppress(OSError):  # a home that can only be read: nothing is pruned there either
        os.utime(folder)


def _prune(parent: str) -> None:
    """Keeps those that were used last. One goes out of sight before its files do: whoever finds a folder finds all."""
    import shutil
    from contextlib import suppress

    found = []
    for name in os.listdir(parent):
        with suppress(FileNotFoundError):  # another process prunes too
            found.append((os.stat(os.path.join(parent, name)).st_mtime_ns, name))
    visible = sorted(((used, name) for used, name in found if not name.startswith(".")), reverse=True)
    for _, name in visible[KEPT:]:
        with suppress(OSError):
            os.rename(os.path.join(parent, name), os.path.join(parent, f"{_OLD}{name}"))
    for name in os.listdir(parent):
        if name.startswith(_OLD):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)


def _run_child(config_path: str, root: str, target: str) -> None:
    import subprocess

    # Without the AWS settings of this machine: a profile that does not exist would end the SDK's import.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_"))}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (_HOME, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-m", "pipeline.compile", config_path, root, target]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 0:
        return
    if done.returncode == EXPECTED:
        raise _error(json.loads(done.stdout.splitlines()[-1]))
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise DarkroomError(
        f"compiling {config_path} failed: {last}", f"for the whole text: {' '.join(command[:-1])} DIRECTORY"
    )


def _error(report: dict[str, Any]) -> DarkroomError:
    """The child's error, as if it had been raised here."""
    if report["problems"]:
        return ConfigError(report["source"], report["problems"], report["hint"])
    kind = StorageError if report["storage"] else DarkroomError
    return kind(report["message"], report["hint"])


def main(arguments: list[str]) -> int:
    """The child: compiles `arguments` = [configuration, entry points, folder to write to]."""
    import gc
    from pathlib import Path

    # The SDK's import makes millions of objects that stay: without the collector 1.3 s of CPU instead of 1.8
    # (EPYC, Python 3.11, n=3 each).
    gc.disable()

    try:
        _compile(*map(Path, arguments))
    except DarkroomError as exc:
        # On stdout, not in a file: the disk may be full.
        print(json.dumps(_report(exc, os.path.basename(arguments[0]))))
        return EXPECTED
    return 0


def _compile(config_path: Path, root: Path, target: Path) -> None:
    from pipeline import compiled, model_files, own_network, own_rules
    from pipeline.builder import build
    from pipeline.config import load_config

    config = load_config(config_path)
    network = own_network.read(config.model.file, str(config_path), str(root))
    rules = own_rules.read([each.file for each in config.health.own], str(config_path), str(root))
    files = model_files.read(config.model.local_files, str(config_path))
    built = build(config, root, {each.key: each.digest for each in files}, own_rules.beside(network, rules))
    own = compiled.Own(files, own_network.digest(network), own_rules.digests(rules) or None)
    try:
        compiled.write(built, config, own, target)
    except OSError as exc:
        raise StorageError(f"{target.parent} cannot be written: {exc.strerror}", _NO_SPACE) from exc


def _report(exc: DarkroomError, source: str) -> dict[str, Any]:
    problems = list(exc.problems) if isinstance(exc, ConfigError) else []
    storage = isinstance(exc, StorageError)
    return {"message": exc.message, "hint": exc.hint, "problems": problems, "source": source, "storage": storage}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
