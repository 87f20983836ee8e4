"""Lambda functions on this machine: an ARN → the code that a Lambda step runs.

The code is copied to <home>/functions/<digest>/, so that what is registered does not change when its source does.
"""

from __future__ import annotations

import os

from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.local.store import Record, Store

KIND = "function"
LONGEST_S = 600  # a Lambda step ends after 10 minutes, whatever the function's own limit is
LARGEST_UNPACKED = 262_144_000  # bytes; Lambda's own limit for an unpacked function
_USUAL = ("lambda_function.lambda_handler", "index.handler")
_NAMES = ("handler", "lambda_handler")
_IGNORED = ("__pycache__", ".git")


def register_function(
    store: Store,
    arn: str,
    path: str,
    handler: str = "",
    *,
    timeout_s: int = LONGEST_S,
    environment: Mapping[str, str] | None = None,
) -> Record:
    """`path` is a zip archive, a folder or one .py file; `handler` as Lambda writes it: module.function.

    Without a handler the usual names are tried, then the only top-level module with a function `handler` or
    `lambda_handler`. Raises DarkroomError that says what is wrong with the code.
    """
    _check_arn(arn)
    files = dict(_files(path))
    handler = _checked_handler(handler, files, arn) if handler else _found_handler(files, arn, path)
    folder = _keep(store.home, files)
    body = {"folder": folder, "handler": handler, "timeout": timeout_s, "environment": dict(environment or {})}
    store.put(KIND, arn, {**body, "source": os.path.abspath(path)}, arn=arn)
    return store.get(KIND, arn)


def find_function(store: Store, arn: str) -> Record:
    """With a version or alias behind the ARN, the function itself serves where that one is not registered."""
    unqualified = ":".join(arn.split(":")[:7])
    for name in dict.fromkeys((arn, unqualified)):
        for record in store.find(KIND, name):
            return record
    raise DarkroomError(
        f"no code is registered for the Lambda function {arn}",
        f"say what it runs: darkroom start definition.json --function {arn}=ZIP-OR-FOLDER",
    )


def _check_arn(arn: str) -> None:
    parts = arn.split(":")
    if len(parts) not in (7, 8) or parts[0] != "arn" or parts[2] != "lambda" or parts[5] != "function":
        example = "arn:aws:lambda:us-east-1:111122223333:function:NAME"
        raise DarkroomError(f"{arn!r} is not the ARN of a Lambda function", f"write it as {example}")


def _files(path: str) -> Iterator[tuple[str, bytes]]:
    """Relative path with '/' → content. Raises DarkroomError for what is neither archive, folder nor module."""
    if os.path.isdir(path):
        yield from _files_of_folder(path)
    elif path.endswith(".py") and os.path.isfile(path):
        yield os.path.basename(path), _read(path)
    elif os.path.isfile(path):
        yield from _files_of_archive(path)
    else:
        raise DarkroomError(f"there is no function code at {path!r}", "give a zip archive, a folder or a .py file")


def _files_of_folder(path: str) -> Iterator[tuple[str, bytes]]:
    total = 0
    for where, folders, names in os.walk(path):
        folders[:] = sorted(folder for folder in folders if folder not in _IGNORED)
        for name in sorted(names):
            source = os.path.join(where, name)
            content = _read(source)
            total = _within_limit(total + len(content), path)
            yield os.path.relpath(source, path).replace(os.sep, "/"), content


def _files_of_archive(path: str) -> Iterator[tuple[str, bytes]]:
    """Nothing is written by names from the archive before they are known to stay inside; links are refused."""
    import stat
    import zipfile

    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                if stat.S_ISLNK(entry.external_attr >> 16):
                    raise DarkroomError(f"{path}: {entry.filename!r} is a symbolic link", "pack the file itself")
                total = _within_limit(total + entry.file_size, path)
                yield _inside(entry.filename, path), archive.read(entry)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as exc:
        raise DarkroomError(f"{path} is not a zip archive that can be read: {exc}", "zip -r function.zip .") from exc


def _inside(name: str, path: str) -> str:
    parts = name.replace("\\", "/").split("/")
    if name.startswith("/") or ":" in parts[0] or ".." in parts or "\0" in name:
        raise DarkroomError(f"{path}: the entry {name!r} leads out of the archive", "pack relative names only")
    return "/".join(part for part in parts if part not in ("", "."))


def _within_limit(total: int, path: str) -> int:
    if total > LARGEST_UNPACKED:
        limit = f"{LARGEST_UNPACKED // 2**20} MiB, what Lambda takes"
        raise DarkroomError(f"{path} unpacks to more than {limit}", "leave data and libraries out")
    return total


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as exc:
        raise DarkroomError(
            f"cannot read {path}: {exc.strerror}", "give a zip archive, a folder or a .py file"
        ) from exc


def _checked_handler(handler: str, files: Mapping[str, bytes], arn: str) -> str:
    module, dot, function = handler.rpartition(".")
    base = module.replace(".", "/")
    if not dot or not function.isidentifier():
        raise DarkroomError(f"{arn}: the handler {handler!r} is not of the form module.function")
    if f"{base}.py" not in files and f"{base}/__init__.py" not in files:
        modules = ", ".join(sorted(name for name in files if name.endswith(".py"))[:10]) or "no module at all"
        raise DarkroomError(f"{arn}: the handler {handler!r} names {base}.py; the code holds {modules}")
    return handler


def _found_handler(files: Mapping[str, bytes], arn: str, path: str) -> str:
    found = [
        f"{name.removesuffix('.py')}.{function}"
        for name in sorted(files)
        if name.endswith(".py") and "/" not in name
        for function in _functions(files[name], f"{path}: {name}")
        if function in _NAMES
    ]
    for usual in _USUAL:
        if usual in found:
            return usual
    if len(found) == 1:
        return found[0]
    several = f"several functions could be the handler: {', '.join(found)}" if found else "no module defines a handler"
    raise DarkroomError(f"{arn}: {path}: {several}", "name it lambda_function.lambda_handler, or give the handler")


def _functions(source: bytes, where: str) -> list[str]:
    import ast

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as exc:
        raise DarkroomError(f"{where} cannot be parsed: {exc}") from exc
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def _keep(home: str, files: Mapping[str, bytes]) -> str:
    """Writes the files below <home>/functions/<digest>/, all at once by a rename; returns the folder."""
    import hashlib
    import shutil

    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    folder = os.path.join(home, "functions", digest.hexdigest()[:32])
    if os.path.isdir(folder):
        return folder
    temporary = f"{folder}.{os.urandom(4).hex()}"
    try:
        for name, content in files.items():
            target = os.path.join(temporary, *name.split("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(content)
        os.rename(temporary, folder)
    except OSError as exc:
        shutil.rmtree(temporary, ignore_errors=True)
        if os.path.isdir(folder):  # somebody else registered the same code meanwhile
            return folder
        raise DarkroomError(
            f"cannot keep the function's code in {folder}: {exc.strerror}", "free some disk space"
        ) from exc
    return folder
