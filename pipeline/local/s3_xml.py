"""S3's XML, both ways: nested dicts out, a flat list of elements in."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import escape

from pipeline.errors import ServiceError
from pipeline.local.messages import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.messages import Request

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_LARGEST = 2 << 20  # bytes; 10,000 parts or 1,000 keys fit


def render(name: str, body: Mapping[str, Any]) -> Answer:
    return Answer(200, {"Content-Type": "application/xml"}, document(name, body, f' xmlns="{_NAMESPACE}"'))


def document(name: str, body: Mapping[str, Any], attributes: str = "") -> bytes:
    """Errors have no namespace, everything else has S3's."""
    inner = "".join(to_xml(key, value) for key, value in body.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}{attributes}>{inner}</{name}>'.encode()


def to_xml(name: str, value: Any) -> str:
    """A list holds finished elements; without a name they stand beside the others."""
    if isinstance(value, list):
        inner = "".join(value)
    elif isinstance(value, dict):
        inner = "".join(to_xml(key, member) for key, member in value.items())
    elif isinstance(value, bool):
        inner = "true" if value else "false"
    else:
        # a carriage return would be read as a line feed
        inner = escape(str(value), {"\r": "&#13;"})
    return f"<{name}>{inner}</{name}>" if name else inner


def elements(request: Request, name: str) -> list[dict[str, str]]:
    """Every <name> of the request's body as child → text. Raises ServiceError MalformedXML."""
    data = request.body.all(_LARGEST)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ServiceError("MalformedXML", "the XML declares entities")
    try:
        # whatever it says of its encoding: in another one the look for entities would have been in vain
        root = ElementTree.fromstring(data, ElementTree.XMLParser(encoding="utf-8"))
    except (ElementTree.ParseError, ValueError) as exc:
        raise ServiceError("MalformedXML", f"the XML cannot be read: {exc}") from exc
    return [
        {_local(child.tag): child.text or "" for child in element} for element in root if _local(element.tag) == name
    ]


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
