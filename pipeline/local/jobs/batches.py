"""How batch transform cuts an object into requests and puts the answers together again."""

from __future__ import annotations

from pipeline.local.jobs import JobFailed
from pipeline.request_sizes import DEFAULT_PAYLOAD_MB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_MB = 1 << 20
_MOST_UNPACKED = 4 << 30


class Batching:
    """SplitType, BatchStrategy, CompressionType, AssembleWith and MaxPayloadInMB of one transform job."""

    __slots__ = ("_assemble", "_gzip", "_limit", "_line", "_single")

    def __init__(self, request: dict[str, Any]) -> None:
        """Raises JobFailed for what this machine does not do."""
        source, target = request["TransformInput"], request["TransformOutput"]
        split = source.get("SplitType") or "None"
        compression = source.get("CompressionType") or "None"
        strategy = request.get("BatchStrategy") or "MultiRecord"
        assemble = target.get("AssembleWith") or "None"
        for name, value, known in (
            ("SplitType", split, ("None", "Line")),
            ("CompressionType", compression, ("None", "Gzip")),
            ("BatchStrategy", strategy, ("MultiRecord", "SingleRecord")),
            ("AssembleWith", assemble, ("None", "Line")),
        ):
            if value not in known:
                raise JobFailed(f"ClientError: {name} is {value!r}; on this machine it can be {' or '.join(known)}")
        self._line = split == "Line"
        self._single = strategy == "SingleRecord"
        self._gzip = compression == "Gzip"
        self._assemble = assemble == "Line"
        limit = request.get("MaxPayloadInMB")
        self._limit = (DEFAULT_PAYLOAD_MB if limit is None else int(limit)) * _MB  # 0: none

    def payloads(self, data: bytes, what: str) -> Iterator[bytes]:
        """The request bodies for one object. Raises JobFailed when a record is larger than a payload may be."""
        if self._gzip:
            data = _unpacked(data, what)
        if not self._line:
            yield self._checked(data, what)
            return
        batch = b""
        for line in data.splitlines(keepends=True):
            self._checked(line, what)
            if batch and (self._single or (self._limit and len(batch) + len(line) > self._limit)):
                yield batch
                batch = b""
            batch += line
        if batch:
            yield batch

    def _checked(self, record: bytes, what: str) -> bytes:
        if self._limit and len(record) > self._limit:
            raise JobFailed(
                f"ClientError: {what}: a record of {len(record)} bytes exceeds MaxPayloadInMB={self._limit // _MB}"
            )
        return record

    def assembled(self, answers: Sequence[bytes]) -> bytes:
        """The content of the `.out` object."""
        if not self._assemble:
            return b"".join(answers)
        return b"".join(answer if answer.endswith(b"\n") else answer + b"\n" for answer in answers)


def _unpacked(data: bytes, what: str) -> bytes:
    import zlib

    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, _MOST_UNPACKED)
    except zlib.error as exc:
        raise JobFailed(f"ClientError: {what}: CompressionType is Gzip, and this is none: {exc}") from exc
    if not unpacker.eof:
        raise JobFailed(
            f"ClientError: {what}: its gzip data is cut off, or unpacks to more than {_MOST_UNPACKED} bytes"
        )
    return plain
