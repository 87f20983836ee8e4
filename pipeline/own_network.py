"""model.file: somebody's own network and the files that it imports from its folder, looked at without running them."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager

from pipeline.errors import ConfigError, DarkroomError
from pipeline.model_files import located

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Of AWS's image: a file of such a name beside the network would be passed over for it.
IMAGE = {"torch", "torchvision", "numpy", "PIL", "scipy", "sklearn", "pandas", "pyarrow", "cv2"}
LONGEST = 96  # bytes: a tar entry's name has 100, of which own/ takes 4
_HINT = "the file has a function build(num_classes) that returns a torch.nn.Module; a relative path starts at {folder}"


def read(source: str | None, config: str, root: str) -> dict[str, bytes]:
    """The file `source`, as the file `config` names it, and what it imports from beside it: relative path → content.

    Nothing without a `source`. `root`: the folder of the entry points, whose modules no import may mean. Raises
    ConfigError with every reason why the file cannot be sent to train.py, each with its line.
    """
    if source is None:
        return {}
    with quiet():
        files = _closure(source, config)
        problems = [f'model.file: "{source}": {says}' for says in _problems(files, os.path.basename(source), root)]
    if problems:
        raise _error(problems, config)
    return files


def digest(files: Mapping[str, bytes]) -> str | None:
    """None without files."""
    from pipeline import source

    return source.digest(files) if files else None


def unchanged(source: str, known: str, config: str) -> bool:
    """Whether the file, and what it imports from beside it today, is what was read. No time of a file is trusted: one
    that was missing may have come, too."""
    try:
        with quiet():
            return digest(_closure(source, config)) == known
    except DarkroomError:
        return False  # whoever compiles says what is wrong


def tried(source: str, config: str, root: str, image_size: int) -> str | None:
    """What train.py would say before it trains, with 10 classes: the file is run, in a child process, and as in a job
    with what travels along and nothing else beside it.

    None where there is no torch, or where the entry points are others than ours. Raises DarkroomError.
    """
    import shlex
    import subprocess
    from importlib.util import find_spec
    from tempfile import TemporaryDirectory

    program = os.path.join(root, "custom.py")
    if not os.path.isfile(program) or find_spec("torch") is None:
        return None
    files, path = _closure(source, config), located(source, config)
    with TemporaryDirectory() as copy:
        _put(files, copy)
        command = [sys.executable, "-B", program, os.path.join(copy, os.path.basename(path))]
        command += ["--image_size", str(image_size)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    said = done.stdout.strip().splitlines()
    if done.returncode or not said:
        last = (done.stderr.strip().splitlines() or [f"it ended with exit code {done.returncode}"])[-1]
        last = last.removeprefix("error: ").replace(copy, os.path.dirname(path))
        command[2:4] = [program, path]
        hint = f"it ran as in a job, where only {', '.join(files)} will be; where it lies: {shlex.join(command)}"
        raise DarkroomError(f"model.file: {last}", hint)
    return said[-1]


def _put(files: Mapping[str, bytes], folder: str) -> None:
    for name, body in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(body)


@contextmanager
def quiet() -> Iterator[None]:
    """What Python thinks of somebody's style is told where the file is run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _closure(source: str, config: str) -> dict[str, bytes]:
    from pathlib import Path

    from pipeline.source import program_files

    path = Path(located(source, config))
    if not path.is_file():
        says = "is a folder, not a file" if path.is_dir() else f"does not exist; looked for {path}"
        raise _error([f'model.file: "{source}" {says}'], config)
    try:
        files = program_files(path.parent, path.name, ships=False)
        for name, body in files.items():
            compile_source(name, body)
        return files
    except DarkroomError as exc:
        raise _error([f'model.file: "{source}": {exc.message}'], config) from exc
    except OSError as exc:
        raise _error([f'model.file: "{source}": {exc.filename} cannot be read: {exc.strerror}'], config) from exc


def compile_source(name: str, body: bytes) -> None:
    """Finds what a parser lets pass, such as `return` outside a function. Raises DarkroomError; runs nothing."""
    try:
        compile(body, name, "exec", dont_inherit=True)
    except SyntaxError as exc:
        raise DarkroomError(f"{name}:{exc.lineno}: {exc.msg}") from exc
    except (ValueError, RecursionError, MemoryError) as exc:
        raise DarkroomError(f"{name}: is not Python source: {exc}") from exc


def _problems(files: Mapping[str, bytes], name: str, root: str) -> Iterator[str]:
    import symtable
    from importlib.util import decode_source

    table = symtable.symtable(decode_source(files[name]), name, "exec")
    found = table.lookup("build") if "build" in table.get_identifiers() else None
    if found is None or not (found.is_assigned() or found.is_imported()):
        yield f"{name} has no function build: write def build(num_classes: int) -> torch.nn.Module"
    for path in sorted(files.keys() - {name}):
        package = f"{os.path.dirname(path)}/__init__.py"
        if "/" in path and package not in files:
            yield f"{path}: its folder is no package: add an empty {package}"
        top = path.split("/")[0].removesuffix(".py")
        if top in sys.stdlib_module_names or top in IMAGE:
            yield f"{path} beside it has the name of a module of Python or of AWS's image: rename it"
    ours = modules(root)
    for path, body in files.items():
        if len(path.encode()) > LONGEST:
            yield f"{path}: the name is too long for train.py's archive: {LONGEST} bytes at most, folders included"
        yield from _imports(path, body, ours)


def _imports(path: str, body: bytes, ours: set[str]) -> Iterator[str]:
    import ast

    from pipeline.source import imported

    if not path.endswith(".py"):
        return
    tree = ast.parse(body)
    if "/" not in path:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                yield f"{path}:{node.lineno}: its folder is no package: write the import without the dot"
    for top in sorted({module.partition(".")[0] for module in imported(tree, path)} & ours):
        yield f"{path} imports {top}, which is a module of train.py's own: rename yours, or do without it"


def modules(root: str) -> set[str]:
    """Of train.py's own."""
    return {name.removesuffix(".py") for name in os.listdir(root) if not name.startswith((".", "__"))}


def _error(problems: list[str], config: str) -> ConfigError:
    folder, name = os.path.split(config)
    return ConfigError(name, problems, _HINT.format(folder=folder))
