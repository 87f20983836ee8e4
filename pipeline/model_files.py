"""model.weights and model.warm_start: files on this machine that training starts from, read before they are named."""

from __future__ import annotations

import os
import time
from collections import namedtuple

from pipeline.content import RACY_NS, file_at, folder_name, sha256, stamp
from pipeline.errors import ConfigError, DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# `key`: weights or warm_start; `digest`: of name and content; `stamp`: size and time when it was read
ModelFile = namedtuple("ModelFile", "key source digest stamp")


def read(sources: Mapping[str, str], config: str) -> list[ModelFile]:
    """The files behind `sources` (key of the section model → path as the file `config` names it), read to the end.

    Raises ConfigError for what is not there, DarkroomError for what cannot be read.
    """
    folder, name = os.path.split(config)
    problems = [
        f'model.{key}: "{source}" {_wrong(located(source, config))}'
        for key, source in sources.items()
        if not os.path.isfile(located(source, config))
    ]
    if problems:
        raise ConfigError(name, problems, f"name a file or an s3:// address; a relative path starts at {folder}")
    return [_read(key, source, located(source, config)) for key, source in sources.items()]


def located(source: str, config: str) -> str:
    return os.path.normpath(os.path.join(os.path.dirname(config), os.path.expanduser(source)))


def unchanged(known: Mapping[str, Any], config: str) -> bool:
    """Whether a file is still the one that was read, as far as size and time tell."""
    try:
        return stamp(located(known["source"], config)) == list(known["stamp"])
    except OSError:
        return False


def _wrong(path: str) -> str:
    return "is a folder, not a file" if os.path.isdir(path) else f"does not exist; looked for {path}"


def _read(key: str, source: str, path: str) -> ModelFile:
    name = os.path.basename(path)
    seen = _settled(path)
    digest = folder_name({name: sha256(path)})
    if stamp(path) != seen:
        raise DarkroomError(f"{path} changed while it was being read", "run again when nothing writes there")
    return ModelFile(key, source, digest, seen)


def _settled(path: str) -> list[int]:
    """The stamp; after two seconds at most a further write would show in it, and only then does it tell anything."""
    found: list[int] = file_at(path, path).stamp
    age = time.time_ns() - found[1]
    if 0 <= age < RACY_NS:
        time.sleep((RACY_NS - age) / 1e9)
        found = file_at(path, path).stamp
    return found
