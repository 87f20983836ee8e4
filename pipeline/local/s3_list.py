"""ListObjects and ListObjectsV2: prefix, delimiter, pages."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from urllib.parse import quote

from pipeline.errors import ServiceError
from pipeline.local.s3_objects import etag_of_file
from pipeline.local.s3_xml import to_xml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from pipeline.local.storage import Storage
    from pipeline.objects import Object

_LARGEST_PAGE = 1000
_NUMBER = re.compile("[0-9]{1,9}")


def page(storage: Storage, bucket: str, query: Mapping[str, str]) -> dict[str, Any]:
    """The body of ListBucketResult, of either version."""
    second = query.get("list-type") == "2"
    size = _size(query.get("max-keys", str(_LARGEST_PAGE)))
    encode = quote if query.get("encoding-type") == "url" else str
    entries, last, more = _entries(storage, bucket, query, _start(query, second), size)
    contents = [_contents(key, entry, encode) for key, entry in entries if entry is not None]
    prefixes = [to_xml("CommonPrefixes", {"Prefix": encode(key)}) for key, entry in entries if entry is None]
    body: dict[str, Any] = {"Name": bucket, "Prefix": encode(query.get("prefix", "")), "MaxKeys": size}
    if "delimiter" in query:
        body["Delimiter"] = encode(query["delimiter"])
    if "encoding-type" in query:
        body["EncodingType"] = query["encoding-type"]
    body["IsTruncated"] = more
    if second:
        body["KeyCount"] = len(entries)
        body |= {"NextContinuationToken": urlsafe_b64encode(last.encode()).decode()} if more else {}
    else:
        body["Marker"] = encode(query.get("marker", ""))
        body |= {"NextMarker": encode(last)} if more else {}
    return body | {"": contents + prefixes}


def _size(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ServiceError("InvalidArgument", f"max-keys {text!r} is not a number")
    return min(int(text), _LARGEST_PAGE)


def _start(query: Mapping[str, str], second: bool) -> str:
    """The key after which the page begins."""
    if not second:
        return query.get("marker", "")
    if "continuation-token" not in query:
        return query.get("start-after", "")
    try:
        return urlsafe_b64decode(query["continuation-token"]).decode()
    except ValueError as exc:
        raise ServiceError("InvalidArgument", "the continuation token provided is incorrect") from exc


def _entries(
    storage: Storage, bucket: str, query: Mapping[str, str], start: str, size: int
) -> tuple[list[tuple[str, Object | None]], str, bool]:
    """(key, object) or (common prefix, None) in order; the last one; whether more follow."""
    entries: list[tuple[str, Object | None]] = []
    for key, entry in _grouped(storage, bucket, query.get("prefix", ""), query.get("delimiter", "")):
        if key <= start:
            continue
        if len(entries) == size:
            return entries, entries[-1][0] if entries else start, bool(size)
        entries.append((key, entry))
    return entries, "", False


def _grouped(storage: Storage, bucket: str, prefix: str, delimiter: str) -> Iterator[tuple[str, Object | None]]:
    cut = len(f"s3://{bucket}/")
    group = ""
    for entry in storage.list(f"s3://{bucket}/{prefix}"):
        key = entry.uri[cut:]
        position = key.find(delimiter, len(prefix)) if delimiter else -1
        if position < 0:
            yield key, entry
        elif key[: position + len(delimiter)] != group:
            group = key[: position + len(delimiter)]
            yield group, None


def _contents(key: str, entry: Object, encode: Any) -> str:
    modified = datetime.fromtimestamp(entry.modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    tag = etag_of_file(entry.path)
    body = {"Key": encode(key), "LastModified": modified, "ETag": f'"{tag}"', "Size": entry.size}
    return to_xml("Contents", {**body, "StorageClass": "STANDARD"})
