"""Imports the Python files that lie beside somebody's own network, and knows which ones they were."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType


def look_beside(file: Path) -> None:
    """From now on imports find what lies beside `file`; modules that lie beside an earlier one are forgotten."""
    forget()
    sys.meta_path.insert(0, _Beside(file))


def forget() -> None:
    """As before the first look: what is built next is no network of somebody's own."""
    for earlier in [finder for finder in sys.meta_path if isinstance(finder, _Beside)]:
        sys.meta_path.remove(earlier)
        for name in earlier.found:
            sys.modules.pop(name, None)


def files() -> dict[str, Path]:
    """The file that was last looked beside, and what it imported so far: path below its folder → file."""
    for finder in sys.meta_path:
        if isinstance(finder, _Beside):
            paths = {finder.file, *finder.found.values()}
            return {path.relative_to(finder.folder).as_posix(): path for path in sorted(paths)}
    return {}


class _Beside(MetaPathFinder):
    """What is imported already comes first, so that no neighbour takes the place of a module of ours or of torch."""

    def __init__(self, file: Path) -> None:
        self.file = file.absolute()
        self.folder = self.file.parent
        self.found: dict[str, Path] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None and fullname.partition(".")[0] not in self.found:
            return None
        where = str(self.folder) if path is None else list(path)[0]
        spec = FileFinder(where, (_Unkept, [".py"])).find_spec(fullname)
        if spec is None or spec.origin is None:  # a folder without __init__.py: the folders of data look like that
            return None
        self.found[fullname] = Path(spec.origin)
        return spec


class _Unkept(SourceFileLoader):
    """Without __pycache__: our archives hold no times by which an old one could be told."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code
