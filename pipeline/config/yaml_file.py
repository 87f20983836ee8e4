"""Reading YAML that may be hostile: bounded size and depth, no aliases, no duplicate keys, no surprising types."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import ConfigError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
HINT = "darkroom config --schema prints every key; the shipped pipeline.yaml explains each of them"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in `path`; ConfigError when it is not one plain YAML mapping."""
    document = _parse(path.name, _read(path))
    if document is None:
        raise ConfigError(path.name, ["(file): is empty; the sections of a pipeline are expected"], HINT)
    if not isinstance(document, dict):
        found = f"(file): holds {_kind(document)}; sections such as `training:` are expected"
        raise ConfigError(path.name, [found], HINT)
    return document


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            body = file.read(MAX_BYTES + 1)
    except OSError as exc:
        hint = "name the file with -c, or run darkroom in the folder that holds pipeline.yaml"
        raise ConfigError(path.name, [f"(file): {path} cannot be read: {exc.strerror}"], hint) from exc
    if len(body) > MAX_BYTES:
        raise ConfigError(path.name, [f"(file): is larger than {MAX_BYTES // 1024} KiB; a configuration is not"], HINT)
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(path.name, [f"(file): byte {exc.start} is not UTF-8; save the file as UTF-8"], HINT) from exc


def _parse(name: str, text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        problem = " ".join(filter(None, (exc.context, exc.problem)))
        raise ConfigError(name, [f"{_place(exc.problem_mark)}: {problem}"], HINT) from exc
    except yaml.YAMLError as exc:
        raise ConfigError(name, [f"(file): {' '.join(str(exc).split())}"], HINT) from exc


def _place(mark: yaml.Mark | None) -> str:
    return "(file)" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else f"only the value {value!r:.40}"


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's few implicit types: `on` and `12:30` stay text, `1e-3` is a number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        # An alias can multiply itself into gigabytes ("billion laughs"); a configuration of this size needs none.
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(None, None, "anchors and aliases are refused; write it out", event.start_mark)
        if self.depth >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(None, None, f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise yaml.MarkedYAMLError(None, None, f"the key {name!r:.40} is not text", key.start_mark)
            if name in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {name!r} stands here a second time", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)
