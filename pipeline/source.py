"""A program of entrypoints/ → the files it needs → deterministic archives, named by their content."""

from __future__ import annotations

import ast
import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pipeline.errors import DarkroomError

SHIPS = "SHIPS"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def program_files(root: Path, program: str, *, ships: bool = True) -> dict[str, bytes]:
    """`program` and everything below `root` that it imports or (`ships`) names in SHIPS, by relative path, sorted."""
    found: dict[str, bytes] = {}
    waiting = [_inside(root, program, f"the program {program!r}")]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = (root / name).read_bytes()
        if name.endswith(".py"):
            waiting.extend(_needs(root, name, found[name], ships))
    return dict(sorted(found.items()))


def digest(files: Mapping[str, bytes]) -> str:
    """16 hex digits that depend on names and contents alone, never on an archive's compression."""
    total = hashlib.sha256()
    for name, body in sorted(files.items()):
        total.update(f"{len(name.encode())} {name} {len(body)} ".encode())
        total.update(body)
    return total.hexdigest()[:16]


def archive(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz without times, owners or modes of this machine."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, body in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), 0o644
            tar.addfile(entry, io.BytesIO(body))
    return gzip.compress(raw.getvalue(), mtime=0)


def zip_archive(files: Mapping[str, bytes]) -> bytes:
    """The same for Lambda, which takes zip files."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as target:
        for name, body in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, body)
    return raw.getvalue()


def _needs(root: Path, name: str, body: bytes, ships: bool) -> list[str]:
    modules, shipped = _named(name, body, root.name, ships)
    needed = [path for module in modules for path in _module_files(root, module)]
    return needed + [_inside(root, entry, f"{name}: SHIPS names {entry!r}, which") for entry in shipped]


@lru_cache(maxsize=1000)  # programs share most of their modules, and reading those is nearly all that a build takes
def _named(name: str, body: bytes, folder: str, ships: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The modules that it imports, each once, and the files that it ships."""
    tree = _parsed(name, body, folder)
    return tuple(dict.fromkeys(imported(tree, name))), tuple(_shipped(tree, name)) if ships else ()


def _parsed(name: str, body: bytes, folder: str) -> ast.Module:
    try:
        return ast.parse(body, filename=name)
    except SyntaxError as exc:
        line = f"{name}:{exc.lineno}" if exc.lineno else name
        raise DarkroomError(f"{line}: {exc.msg}", f"mend {folder}/{name}, then run the command again") from exc
    except (ValueError, RecursionError, MemoryError) as exc:  # the last: brackets nested too deep
        raise DarkroomError(
            f"{name}: is not Python source: {exc or 'nested too deep'}", f"mend {folder}/{name}"
        ) from exc


def imported(tree: ast.Module, name: str) -> Iterator[str]:
    """Every module that an import statement may mean, wherever it stands, packages spelt with dots."""
    package = PurePosixPath(name).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            yield from filter(None, [base])
            # `from package import x`: x may be a module of its own.
            yield from (".".join(filter(None, (base, alias.name))) for alias in node.names)


def _module_files(root: Path, module: str) -> Iterator[str]:
    """The files of `module` and of the packages around it, as far as they lie in `root`."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        stem = "/".join(parts[:depth])
        # Python prefers a package to a module of the same name.
        candidates = (f"{stem}/__init__.py", f"{stem}.py")
        yield from [path for path in candidates if os.path.isfile(f"{root}/{path}")][:1]
        if not os.path.isdir(f"{root}/{stem}"):
            return


def _shipped(tree: ast.Module, name: str) -> Iterator[str]:
    for node in tree.body:
        value = _assigned(node)
        if value is None:
            continue
        entries = value.elts if isinstance(value, ast.Tuple) else [value]
        for entry in entries:
            if not (isinstance(value, ast.Tuple) and isinstance(entry, ast.Constant) and isinstance(entry.value, str)):
                message = f"{name}:{value.lineno}: SHIPS has to be a tuple of literal file names"
                raise DarkroomError(message, 'write it like SHIPS = ("serve.py",)')
            yield entry.value


def _assigned(node: ast.stmt) -> ast.expr | None:
    """What a top-level statement assigns to SHIPS."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    named = any(isinstance(target, ast.Name) and target.id == SHIPS for target in targets)
    return node.value if named and isinstance(node, ast.Assign | ast.AnnAssign) else None


def _inside(root: Path, name: str, subject: str) -> str:
    """`name` in its plain form, once it is known to be a file below `root`."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise DarkroomError(f"{subject} lies outside {root.name}/", f"move the file into {root.name}/")
    if not (root / path).is_file():
        raise DarkroomError(f"{subject} is not a file in {root.name}/", f"add {root.name}/{path}, or correct the name")
    if not (root / path).resolve().is_relative_to(root.resolve()):
        raise DarkroomError(f"{subject} leads outside {root.name}/", "replace the link by the file")
    return path.as_posix()
