"""CBOR (RFC 8949) as AWS's RPC v2 protocol has it, both ways: what boto3 speaks with CloudWatch."""

from __future__ import annotations

import struct

from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEEPEST = 100
_INDEFINITE = 31
_EPOCH_SECONDS = 1  # the tag of a time
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_BREAK = object()


def load(data: bytes) -> Any:
    """A time is its seconds since 1970. Raises ServiceError SerializationException."""
    reader = _Reader(data)
    try:
        value = reader.value(0)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError) as exc:
        raise ServiceError("SerializationException", f"the request is not CBOR: {exc}") from exc
    if value is _BREAK or reader.position != len(data):
        raise ServiceError("SerializationException", "the request is not one CBOR value")
    return value


def dump(value: Any) -> bytes:
    """datetime becomes a time; what CBOR has no place for raises TypeError."""
    match value:
        case bool():
            return b"\xf5" if value else b"\xf4"
        case None:
            return b"\xf6"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return _head(3, len(text)) + text
        case bytes():
            return _head(2, len(value)) + value
        case list() | tuple():
            return _head(4, len(value)) + b"".join(dump(item) for item in value)
        case dict():
            return _head(5, len(value)) + b"".join(dump(key) + dump(item) for key, item in value.items())
    if hasattr(value, "timestamp"):
        return _head(6, _EPOCH_SECONDS) + dump(float(value.timestamp()))
    raise TypeError(f"{value!r} has no place in CBOR")


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for code, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if argument < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | code]) + struct.pack(form, argument)
    raise TypeError(f"{argument} has no place in CBOR")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ServiceError("SerializationException", f"the request nests more than {_DEEPEST} deep")
        first = self._data[self.position]
        self.position += 1
        major, code = first >> 5, first & 31
        if major == 7:
            return self._simple(code)
        if code == _INDEFINITE:
            return self._indefinite(major, depth)
        argument = self._argument(code)
        match major:
            case 0:
                return argument
            case 1:
                return -1 - argument
            case 2:
                return self._bytes(argument)
            case 3:
                return self._bytes(argument).decode()
            case 4:
                self._bounded(argument)
                return [self.value(depth + 1) for _ in range(argument)]
            case 5:
                self._bounded(argument)
                return dict(self._pair(depth) for _ in range(argument))
        return self.value(depth + 1)  # a tag: of those that AWS uses only the time's, whose value is a number

    def _pair(self, depth: int) -> tuple[Any, Any]:
        return self._key(self.value(depth + 1)), self.value(depth + 1)

    @staticmethod
    def _key(key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError("a key is no text")
        return key

    def _bounded(self, count: int) -> None:
        """Each element takes a byte at least: a count beyond that is a lie about memory."""
        if count > len(self._data) - self.position:
            raise IndexError("more elements than bytes")

    def _bytes(self, size: int) -> bytes:
        self._bounded(size)
        self.position += size
        return self._data[self.position - size : self.position]

    def _argument(self, code: int) -> int:
        if code < 24:
            return code
        form = {24: ">B", 25: ">H", 26: ">I", 27: ">Q"}.get(code)
        if form is None:
            raise TypeError(f"a head of kind {code}")
        return int(struct.unpack(form, self._bytes(struct.calcsize(form)))[0])

    def _simple(self, code: int) -> Any:
        if code in _FLOATS:
            return struct.unpack(_FLOATS[code], self._bytes(struct.calcsize(_FLOATS[code])))[0]
        if code == _INDEFINITE:
            return _BREAK
        if code not in _SIMPLE:
            raise TypeError(f"a simple value {code}")
        return _SIMPLE[code]

    def _indefinite(self, major: int, depth: int) -> Any:
        items: list[Any] = []
        while (item := self.value(depth + 1)) is not _BREAK:
            items.append(item)
        match major:
            case 2:
                return b"".join(items)
            case 3:
                return "".join(items)
            case 4:
                return items
            case 5 if len(items) % 2 == 0:
                return {self._key(key): member for key, member in zip(items[::2], items[1::2], strict=True)}
        raise TypeError("a value without end")
