"""One object: put, get, copy, delete, with checksums, ranges and conditions.

The object is a plain file; its ETag, content type and user metadata lie in the store, and count only while the
file is the one that they were written for (size and modification time): jobs write the same files without this server.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from base64 import b64encode
from contextlib import contextmanager, suppress
from email.utils import formatdate
from urllib.parse import unquote

from pipeline.errors import ServiceError
from pipeline.local.messages import BLOCK, Answer, aws_chunks
from pipeline.local.s3_xml import render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.local.messages import Request
    from pipeline.local.service import LocalSageMaker

_LARGEST_PUT = 5 << 30  # bytes, as on S3
_LONGEST_KEY = 1024  # bytes, as on S3
_LONGEST_PART = 255  # bytes between two slashes, of nearly every file system
_KEPT = ("Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control", "Expires")
_RANGE = re.compile("bytes=([0-9]{0,15})-([0-9]{0,15})")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Upload:
    """A body on its way to a file: its digests and size."""

    def __init__(self) -> None:
        self.size = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._crc32 = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self.md5.update(data)
        self._sha1.update(data)
        self._sha256.update(data)
        self._crc32 = zlib.crc32(data, self._crc32)

    def check(self, headers: Mapping[str, str], trailers: Mapping[str, str]) -> None:
        """Raises ServiceError BadDigest. CRC32C and CRC64NVME are taken as they come: Python has neither."""
        known = {
            "content-md5": self.md5.digest(),
            "x-amz-checksum-sha1": self._sha1.digest(),
            "x-amz-checksum-sha256": self._sha256.digest(),
            "x-amz-checksum-crc32": self._crc32.to_bytes(4, "big"),
        }
        for name, digest in known.items():
            given = trailers.get(name) or headers.get(name)
            if given and given != b64encode(digest).decode():
                raise ServiceError("BadDigest", f"The {name} you specified did not match the calculated checksum.")
        signed = headers.get("x-amz-content-sha256", "")
        if _DIGEST.fullmatch(signed) and signed != self._sha256.hexdigest():
            raise ServiceError("XAmzContentSHA256Mismatch", "x-amz-content-sha256 does not match what was received.")


@contextmanager
def received(request: Request, service: LocalSageMaker) -> Iterator[tuple[str, Upload]]:
    """The request's body as a file of this machine, checked; removed afterwards unless it was moved away."""
    folder = os.path.join(service.home, "uploads")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"put-{os.urandom(8).hex()}")
    try:
        upload = Upload()
        trailers: dict[str, str] = {}
        with open(path, "wb") as file:
            for data in _blocks(request, trailers):
                upload.add(data)
                if upload.size > _LARGEST_PUT:
                    raise ServiceError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size: 5 GiB")
                file.write(data)
        upload.check(request.headers, trailers)
        yield path, upload
    finally:
        with suppress(FileNotFoundError):
            os.remove(path)


def _blocks(request: Request, trailers: dict[str, str]) -> Iterator[bytes]:
    streaming = request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
    if streaming or "aws-chunked" in request.headers.get("Content-Encoding", ""):
        announced = request.headers.get("X-Amz-Decoded-Content-Length", "")
        size = 0
        for data in aws_chunks(request.body, trailers):
            size += len(data)
            yield data
        if announced.isdecimal() and announced.lstrip("0") != (str(size) if size else ""):
            raise ServiceError("IncompleteBody", f"{size} bytes came, {announced} were announced")
    else:
        while data := request.body.read(BLOCK):
            yield data


def put(request: Request, service: LocalSageMaker, uri: str) -> Answer:
    _check_conditions(request, service, uri)
    with received(request, service) as (path, upload):
        etag = upload.md5.hexdigest()
        keep(service, uri, path, etag, kept_headers(request))
    return Answer(200, {"ETag": f'"{etag}"'})


def keep(service: LocalSageMaker, uri: str, path: str, etag: str, headers: Mapping[str, str]) -> None:
    """Moves a file into its object's place, and remembers what belongs to it."""
    stat = os.stat(path)
    service.storage.put_file(uri, path, move=True)
    body = {"etag": etag, "headers": dict(headers), "size": stat.st_size, "modified": stat.st_mtime_ns}
    service.store.put("s3-object", uri, body)


def kept_headers(request: Request) -> dict[str, str]:
    """What comes back with the object: content type and the like, user metadata. aws-chunked was of the way only."""
    kept = {name: request.headers[name] for name in _KEPT if name in request.headers}
    encodings = [word.strip() for word in kept.pop("Content-Encoding", "").split(",")]
    if encoding := ", ".join(word for word in encodings if word not in ("", "aws-chunked")):
        kept["Content-Encoding"] = encoding
    user = {name.lower(): value for name, value in request.headers.items() if name.lower().startswith("x-amz-meta-")}
    return kept | user


def get(request: Request, service: LocalSageMaker, uri: str) -> Answer:
    """GET and HEAD. Raises ServiceError NoSuchKey, PreconditionFailed, NotModified or InvalidRange."""
    path, size, modified, etag, kept = described(service, uri)
    _check_conditions(request, service, uri, etag)
    headers = {"Content-Type": "binary/octet-stream", **kept, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
    headers["Last-Modified"] = formatdate(modified, usegmt=True)
    first, length = _range(request.headers.get("Range", ""), size)
    status = 200
    if length >= 0:
        status = 206
        headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{size}"
    else:
        length = size
    headers["Content-Length"] = str(length)
    return Answer(status, headers, b"", (path, first, length))


def described(service: LocalSageMaker, uri: str) -> tuple[str, int, float, str, dict[str, str]]:
    """(path, size, time of modification, ETag, headers). Raises ServiceError NoSuchKey."""
    path = service.storage.path(uri)
    try:
        stat = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ServiceError("NoSuchKey", f"The specified key does not exist: {uri}") from exc
    if os.path.isdir(path):
        raise ServiceError("NoSuchKey", f"The specified key does not exist: {uri}")
    for record in service.store.find("s3-object", uri):
        if (record.body["size"], record.body["modified"]) == (stat.st_size, stat.st_mtime_ns):
            return path, stat.st_size, stat.st_mtime, record.body["etag"], record.body["headers"]
    return path, stat.st_size, stat.st_mtime, etag_of_file(path), {}


def etag_of_file(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _range(text: str, size: int) -> tuple[int, int]:
    """(first byte, length); length -1 for the whole object. As S3, a range that cannot be read is ignored."""
    match = _RANGE.fullmatch(text.strip())
    if not match or match.group(1) == match.group(2) == "":
        return 0, -1
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        length = min(int(last) if last else size - 1, size - 1) - start + 1
        if last and int(last) < start:
            return 0, -1
    if length <= 0:
        raise ServiceError("InvalidRange", f"The requested range is not satisfiable: {text} of {size} bytes")
    return start, length


def _check_conditions(request: Request, service: LocalSageMaker, uri: str, etag: str = "") -> None:
    wanted, unwanted = request.headers.get("If-Match", ""), request.headers.get("If-None-Match", "")
    if not wanted and not unwanted:
        return
    if not etag and service.storage.exists(uri):
        etag = described(service, uri)[3]
    if wanted and (not etag or wanted.strip('"') not in ("*", etag)):
        raise ServiceError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
    if unwanted and etag and unwanted.strip('"') in ("*", etag):
        if request.method in ("GET", "HEAD"):
            raise ServiceError("NotModified", "")
        raise ServiceError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")


def copy(request: Request, service: LocalSageMaker, uri: str) -> Answer:
    path, _, _, etag, kept = described(service, source_of(request, service))
    if request.headers.get("x-amz-metadata-directive", "COPY") == "REPLACE":
        kept = kept_headers(request)
    service.storage.put_file(uri, path)
    stat = os.stat(service.storage.path(uri))
    body = {"etag": etag, "headers": kept, "size": stat.st_size, "modified": stat.st_mtime_ns}
    service.store.put("s3-object", uri, body)
    return render("CopyObjectResult", {"ETag": f'"{etag}"', "LastModified": iso(stat.st_mtime)})


def source_of(request: Request, service: LocalSageMaker) -> str:
    """x-amz-copy-source: [/]bucket/key, percent-encoded."""
    source = unquote(request.headers["x-amz-copy-source"].partition("?versionId=")[0]).lstrip("/")
    bucket, _, key = source.partition("/")
    if not bucket or not key:
        raise ServiceError("InvalidArgument", f"x-amz-copy-source {source!r} is not of the form bucket/key")
    check_key(service, bucket, key, written=False)
    return uri_of(bucket, key)


def check_key(service: LocalSageMaker, bucket: str, key: str, written: bool) -> None:
    """Raises ServiceError for what S3 refuses, and for what S3 holds and folders do not: docs/local.md names both."""
    if len(key.encode()) > _LONGEST_KEY:
        raise ServiceError("KeyTooLongError", f"the key has {len(key.encode())} bytes; S3 takes {_LONGEST_KEY}")
    if "\0" in bucket + key:
        raise ServiceError("InvalidArgument", "the key holds a NUL character")
    path = service.storage.path(uri_of(bucket, key))
    if max(len(os.fsencode(part)) for part in path.split(os.sep)) > _LONGEST_PART:
        message = f"a part of the key is longer than {_LONGEST_PART} bytes: objects are files on this machine"
        raise ServiceError("KeyTooLongError", message)
    parent = os.path.dirname(path)
    while written and not os.path.exists(parent):
        parent = os.path.dirname(parent)
    if written and (os.path.isfile(parent) or os.path.isdir(path)):
        message = f"{key!r} and another object cannot both be: objects are files on this machine, folders hold others"
        raise ServiceError("InvalidRequest", message)


def delete(service: LocalSageMaker, uri: str) -> None:
    service.storage.delete(uri)
    for record in service.store.find("s3-object", uri):
        service.store.remove("s3-object", record.name)


def uri_of(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"


def iso(moment: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
