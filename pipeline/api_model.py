"""botocore's own models of AWS's APIs, as small typed shapes: members, enums, patterns, minima and maxima."""

from __future__ import annotations

import functools
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCALARS = frozenset({"string", "integer", "long", "float", "double", "boolean", "timestamp", "blob"})

# The model's patterns are Java's. Unicode classes become a superset: all above ASCII passes for a letter or a sign.
UNICODE_CLASSES = {
    r"\p{L}": r"a-zA-Z\u00aa-\U0010ffff",
    r"\p{N}": r"0-9\u00b2-\U0010ffff",
    r"\p{Z}": r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\p{M}": r"\u0300-\U0010ffff",
    r"\p{P}": r"!-/:-@\[-`{-~\u00a1-\U0010ffff",
    r"\p{S}": r"$+<=>^`|~\u00a2-\U0010ffff",
    r"\p{Alnum}": r"a-zA-Z0-9",
}
# "([…]*)${1,256}" is in the model; Java reads it as "the end, at least once"
QUANTIFIED_END = re.compile(r"\$\{\d+,\d+\}$")


class Shape:
    """One shape. Neighbours are looked up when first asked for: the model is cyclic, and most of it is never needed."""

    def __init__(self, service: str, name: str, raw: dict[str, Any]) -> None:
        self.name = name
        self.type: str = raw["type"]
        self.required: frozenset[str] = frozenset(raw.get("required", ()))
        self.enum: frozenset[str] = frozenset(raw.get("enum", ()))
        self.minimum: float | None = raw.get("min")
        self.maximum: float | None = raw.get("max")
        self.source: str = raw.get("pattern", "")
        self._raw = raw
        self._service = service

    @functools.cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """None where the model has none, or one that says nothing, or one that Python cannot read."""
        return _pattern(self.source) if self.source not in ("", ".*") else None

    @functools.cached_property
    def members(self) -> dict[str, Shape]:
        return {key: shape(self._service, member["shape"]) for key, member in self._raw.get("members", {}).items()}

    @functools.cached_property
    def item(self) -> Shape:
        """What a list holds, or the values of a map."""
        return shape(self._service, self._raw["member" if self.type == "list" else "value"]["shape"])

    @functools.cached_property
    def map_key(self) -> Shape:
        return shape(self._service, self._raw["key"]["shape"])


def request(service: str, operation: str) -> Shape | None:
    """What an operation takes; None for one that takes nothing. Raises KeyError for an unknown one."""
    given = model(service)["operations"][operation].get("input")
    return shape(service, given["shape"]) if given else None


def response(service: str, operation: str) -> Shape | None:
    given = model(service)["operations"][operation].get("output")
    return shape(service, given["shape"]) if given else None


@functools.cache
def model(service: str) -> dict[str, Any]:
    """`service` as boto3 names it."""
    from botocore.loaders import Loader

    found: dict[str, Any] = Loader().load_service_model(service, "service-2")
    return found


@functools.cache
def shape(service: str, name: str) -> Shape:
    return Shape(service, name, model(service)["shapes"][name])


@functools.cache
def _pattern(source: str) -> re.Pattern[str] | None:
    text = QUANTIFIED_END.sub("", source)
    for java, python in UNICODE_CLASSES.items():
        text = text.replace(java, python)
    try:
        return re.compile(text, re.ASCII)
    except re.error:
        return None  # surrogate pairs written as two escapes (AthenaCatalog): nothing that a pipeline step needs
