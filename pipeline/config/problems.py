"""A wrong value → one line: path in the file, the value, and what is allowed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]
_WORDS = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}


class Problem(NamedTuple):
    """`path` leads to the key in the file; `says` quotes the value and tells what is allowed."""

    path: Path
    says: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.says}"


def dotted(path: Path) -> str:
    """`("tuning", "ranges", "lr", "values", 0)` as `tuning.ranges.lr.values[0]`."""
    text = ""
    for part in path:
        plain = part if isinstance(part, int) or part.isprintable() else json.dumps(part)
        text += f"[{plain}]" if isinstance(plain, int) else f".{plain}" if text else plain
    return text


def quoted(value: object) -> str:
    """The value as it would stand in the file, shortened."""
    words = {None: "null", True: "true", False: "false"}
    known = words.get(value) if value is None or isinstance(value, bool) else None
    shown = known or (json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value))
    return shown if len(shown) <= 60 else shown[:57] + "..."


def problems_of(error: ValidationError, document: dict[str, Any], schema: dict[str, Any]) -> Iterator[Problem]:
    """Each wrong key once, although pydantic reports every member of a union on its own."""
    seen: set[Path] = set()
    for detail in error.errors(include_url=False):
        path = _path_in(document, detail["loc"])
        if path not in seen:
            seen.add(path)
            kind = "key" if detail["loc"][-1] == "[key]" else detail["type"]
            says = _own_words(detail) or _says(path, kind, document, schema)
            yield Problem(path, says)


def _own_words(detail: ErrorDetails) -> str:
    """The text of a check of ours, which tells what is allowed better than a schema can."""
    problem = detail.get("ctx", {}).get("error")
    return f"{quoted(detail['input'])}: {problem}" if isinstance(problem, ValueError) else ""


def _says(path: Path, kind: str, document: dict[str, Any], schema: dict[str, Any]) -> str:
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), _node(schema, path[:-1]))
    if kind == "key":
        return f"is not allowed as a name; {_node(schema, path[:-1]).get('description', '')}"
    allowed = allowed_by(schema, path)
    return f"{quoted(_at(document, path))} is not allowed; allowed: {allowed}"


def _unknown(key: str, parent: dict[str, Any]) -> str:
    known = sorted(parent.get("properties", {}))
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"is not a key here; did you mean `{near[0]}`?" if near else f"is not a key here; known: {', '.join(known)}"


def _path_in(document: Any, loc: Path) -> Path:
    """`loc` without the union members that pydantic appends to it."""
    path: list[str | int] = []
    for part in loc:
        inside = (
            part in document if isinstance(document, dict) else isinstance(document, list) and isinstance(part, int)
        )
        if not inside:
            return tuple(path)
        path.append(part)
        document = document[part]
    return tuple(path)


def _at(document: Any, path: Path) -> object:
    for part in path:
        document = document[part]
    return document


def allowed_by(schema: dict[str, Any], path: Path) -> str:
    """What the JSON Schema allows at `path`, in words."""
    return _in_words(_node(schema, path), schema)


def _node(schema: dict[str, Any], path: Path) -> dict[str, Any]:
    node = _resolved(schema, schema)
    for part in path:
        by_pattern = next(iter(node.get("patternProperties", {}).values()), None)
        inner = (
            node.get("properties", {}).get(part) or by_pattern or node.get("additionalProperties") or node.get("items")
        )
        if not isinstance(inner, dict):
            return {}
        node = _resolved(inner, schema)
    return node


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follows `$ref`; of a nullable node the part that is not null, when that is just one."""
    if "$ref" in node:
        return _resolved({**schema["$defs"][node["$ref"].rsplit("/", 1)[-1]], **_notes(node)}, schema)
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        nullable = {"nullable": True} if len(options) < len(node["anyOf"]) else {}
        return _resolved({**options[0], **_notes(node), **nullable}, schema)
    return node


def _notes(node: dict[str, Any]) -> dict[str, Any]:
    return {key: node[key] for key in ("description", "nullable") if key in node}


def _in_words(node: dict[str, Any], schema: dict[str, Any]) -> str:
    or_null = " or null" if node.get("nullable") else ""
    about = f" ({node['description'].rstrip('.')})" if "pattern" in node and "description" in node else ""
    return _core(node, schema) + or_null + about


def _core(node: dict[str, Any], schema: dict[str, Any]) -> str:
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(_core(_resolved(option, schema), schema) for option in node["anyOf"]))
    if "enum" in node or "const" in node:
        return "one of " + ", ".join(map(str, node.get("enum", [node.get("const")])))
    match node.get("type"):
        case "object":
            return "keys and values: " + (", ".join(node["properties"]) if "properties" in node else "name: value")
        case "array":
            return f"a list{_size(node, 'minItems', 'maxItems', 'entries')}"
        case "null":
            return "null"
        case "string":
            return "text" + _size(node, "minLength", "maxLength", "characters") + _shape(node)
        case kind:
            return _WORDS.get(str(kind), "another value") + _interval(node)


def _shape(node: dict[str, Any]) -> str:
    return f" such as {node['examples'][0]}" if "examples" in node else ""


def _size(node: dict[str, Any], low: str, high: str, noun: str) -> str:
    bounds = [f"{word} {node[key]}" for word, key in (("at least", low), ("at most", high)) if node.get(key)]
    return f" of {' and '.join(bounds)} {noun}" if bounds else ""


def _interval(node: dict[str, Any]) -> str:
    words = (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"), ("exclusiveMaximum", "below"))
    bounds = [f"{word} {node[key]}" for key, word in words if key in node]
    return f" {' '.join(bounds)}" if bounds else ""
