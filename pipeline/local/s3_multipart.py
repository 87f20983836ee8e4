"""Multipart uploads: parts wait in <home>/uploads/<id>/ until they are put together."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil

from pipeline.errors import ServiceError
from pipeline.local.messages import BLOCK, Answer
from pipeline.local.s3_objects import Upload, described, iso, keep, kept_headers, received, source_of
from pipeline.local.s3_xml import elements, render, to_xml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.messages import Request
    from pipeline.local.service import LocalSageMaker

_SMALLEST_PART = 5 << 20  # bytes, of every part but the last
_LAST_PART = 10_000
_ID = re.compile(r"[0-9a-f]{32}")
_RANGE = re.compile("bytes=([0-9]{1,15})-([0-9]{1,15})")
_NUMBER = re.compile("[0-9]{1,9}")


def create(request: Request, service: LocalSageMaker, uri: str) -> Answer:
    upload = os.urandom(16).hex()
    folder = os.path.join(service.home, "uploads", upload)
    os.makedirs(folder)
    with open(os.path.join(folder, "upload.json"), "w", encoding="utf-8") as file:
        json.dump({"uri": uri, "headers": kept_headers(request)}, file)
    return render("InitiateMultipartUploadResult", {**_names(uri), "UploadId": upload})


def put_part(request: Request, service: LocalSageMaker, uri: str) -> Answer:
    folder, number = _folder(request, service, uri), _number(request)
    with received(request, service) as (path, upload):
        etag = _keep_part(folder, number, path, upload)
    return Answer(200, {"ETag": f'"{etag}"'})


def copy_part(request: Request, service: LocalSageMaker, uri: str) -> Answer:
    folder, number = _folder(request, service, uri), _number(request)
    source, size, *_ = described(service, source_of(request, service))
    first, last = 0, size - 1
    if text := request.headers.get("x-amz-copy-source-range", ""):
        match = _RANGE.fullmatch(text)
        if not match or int(match[2]) >= size or int(match[1]) > int(match[2]):
            raise ServiceError("InvalidRange", f"x-amz-copy-source-range {text!r} does not lie in {size} bytes")
        first, last = int(match[1]), int(match[2])
    temporary = os.path.join(folder, f"copy-{os.urandom(8).hex()}")
    upload = Upload()
    with open(source, "rb") as given, open(temporary, "wb") as taken:
        given.seek(first)
        left = last - first + 1
        while left and (data := given.read(min(BLOCK, left))):
            upload.add(data)
            taken.write(data)
            left -= len(data)
    etag = _keep_part(folder, number, temporary, upload)
    return render("CopyPartResult", {"ETag": f'"{etag}"', "LastModified": iso(os.stat(source).st_mtime)})


def complete(request: Request, service: LocalSageMaker, uri: str) -> Answer:
    """The parts that the caller lists: in ascending order, with the ETags that were given back to him."""
    folder = _folder(request, service, uri)
    chosen = _chosen(elements(request, "Part"), folder)
    temporary = os.path.join(folder, "whole")
    digests = b""
    with open(temporary, "wb") as whole:
        for path, etag in chosen:
            digests += bytes.fromhex(etag)
            with open(path, "rb") as part:
                shutil.copyfileobj(part, whole, BLOCK)
    etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(chosen)}"
    keep(service, uri, temporary, etag, _upload(folder)["headers"])
    shutil.rmtree(folder, ignore_errors=True)
    return render("CompleteMultipartUploadResult", {"Location": uri, **_names(uri), "ETag": f'"{etag}"'})


def abort(request: Request, service: LocalSageMaker, uri: str) -> Answer:
    shutil.rmtree(_folder(request, service, uri), ignore_errors=True)
    return Answer(204, {})


def parts(request: Request, service: LocalSageMaker, uri: str) -> Answer:
    folder = _folder(request, service, uri)
    listed = [
        to_xml("Part", {"PartNumber": number, "ETag": f'"{etag}"', "Size": os.path.getsize(path)})
        for number, (path, etag) in sorted(_parts(folder).items())
    ]
    body = {**_names(uri), "UploadId": os.path.basename(folder), "IsTruncated": False, "": listed}
    return render("ListPartsResult", body)


def uploads(service: LocalSageMaker, bucket: str) -> dict[str, Any]:
    """The body of ListMultipartUploadsResult."""
    top = os.path.join(service.home, "uploads")
    found = []
    for name in sorted(os.listdir(top)) if os.path.isdir(top) else ():
        if _ID.fullmatch(name):
            uri = _upload(os.path.join(top, name))["uri"]
            if uri.startswith(f"s3://{bucket}/"):
                found.append(to_xml("Upload", {"Key": _names(uri)["Key"], "UploadId": name}))
    return {"Bucket": bucket, "IsTruncated": False, "": found}


def _names(uri: str) -> dict[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


def _folder(request: Request, service: LocalSageMaker, uri: str) -> str:
    """Raises ServiceError NoSuchUpload for an unknown id, and for one that belongs to another object."""
    upload = request.query["uploadId"]
    folder = os.path.join(service.home, "uploads", upload)
    if not _ID.fullmatch(upload) or not os.path.isdir(folder) or _upload(folder)["uri"] != uri:
        raise ServiceError("NoSuchUpload", f"The specified upload does not exist: {upload}")
    return folder


def _upload(folder: str) -> dict[str, Any]:
    with open(os.path.join(folder, "upload.json"), encoding="utf-8") as file:
        upload: dict[str, Any] = json.load(file)
    return upload


def _number(request: Request) -> int:
    text = request.query["partNumber"]
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= _LAST_PART:
        raise ServiceError("InvalidArgument", f"partNumber {text!r} is not a number from 1 to {_LAST_PART}")
    return int(text)


def _keep_part(folder: str, number: int, path: str, upload: Upload) -> str:
    """A part's file is named by its number and its ETag; the last one put under a number counts."""
    etag = upload.md5.hexdigest()
    for _, (old, _) in ((n, part) for n, part in _parts(folder).items() if n == number):
        os.remove(old)
    os.replace(path, os.path.join(folder, f"{number:05d}.{etag}"))
    return etag


def _parts(folder: str) -> dict[int, tuple[str, str]]:
    """Number → (path, ETag)."""
    found = {}
    for name in os.listdir(folder):
        number, dot, etag = name.partition(".")
        if dot and number.isdigit():
            found[int(number)] = (os.path.join(folder, name), etag)
    return found


def _chosen(listed: list[dict[str, str]], folder: str) -> list[tuple[str, str]]:
    known = _parts(folder)
    numbers = []
    for entry in listed:
        text, etag = entry.get("PartNumber", ""), entry.get("ETag", "").strip('"')
        if not _NUMBER.fullmatch(text) or known.get(int(text), ("", ""))[1] != etag:
            raise ServiceError("InvalidPart", f"part {text} with ETag {etag!r} was not uploaded")
        numbers.append(int(text))
    if not numbers:
        raise ServiceError("MalformedXML", "name at least one part")
    if numbers != sorted(set(numbers)):
        raise ServiceError("InvalidPartOrder", "The list of parts was not in ascending order.")
    for number in numbers[:-1]:
        if os.path.getsize(known[number][0]) < _SMALLEST_PART:
            message = (
                f"Your proposed upload is smaller than the minimum allowed size: part {number}, {_SMALLEST_PART} bytes"
            )
            raise ServiceError("EntityTooSmall", message)
    return [known[number] for number in numbers]
