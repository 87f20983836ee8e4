"""S3's object calls over the folders of the local service: path-style addresses, as boto3 writes them for loopback."""

from __future__ import annotations

import os
import re
from email.utils import formatdate

from pipeline.errors import ServiceError, StorageError
from pipeline.local import s3_list, s3_multipart, s3_objects
from pipeline.local.messages import Answer
from pipeline.local.s3_objects import uri_of
from pipeline.local.s3_xml import document, elements, render, to_xml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.local.messages import Request
    from pipeline.local.service import LocalSageMaker

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MOST_DELETES = 1000
_STATUS = {
    "NoSuchKey": 404,
    "NoSuchBucket": 404,
    "NoSuchUpload": 404,
    "AccessDeniedException": 403,
    "UnrecognizedClientException": 403,
    "BucketNotEmpty": 409,
    "PreconditionFailed": 412,
    "RequestEntityTooLarge": 413,
    "InvalidRange": 416,
    "MethodNotAllowed": 405,
    "NotImplemented": 501,
    "InternalError": 500,
}
_NAMES = {"AccessDeniedException": "AccessDenied", "UnrecognizedClientException": "InvalidAccessKeyId"}
# what stands in a query without asking for another operation
_PLAIN = re.compile(
    r"x-id|x-amz-.*|response-.*|awsaccesskeyid|signature|expires|versionid|prefix|delimiter|max-keys|marker"
    r"|encoding-type|list-type|start-after|continuation-token|fetch-owner",
    re.IGNORECASE,
)


def answer(request: Request, service: LocalSageMaker) -> Answer:
    """Raises ServiceError with S3's codes."""
    bucket, _, key = request.path.lstrip("/").partition("/")
    if not bucket:
        return _list_buckets(service) if request.method == "GET" else _not_allowed(request)
    if not _BUCKET.fullmatch(bucket):
        raise ServiceError("InvalidBucketName", f"{bucket!r} is not a bucket's name")
    if key:
        s3_objects.check_key(service, bucket, key, written=request.method in ("PUT", "POST"))
    asked = [name for name in request.query if not _PLAIN.fullmatch(name)]
    return _object(request, service, bucket, key, asked) if key else _bucket(request, service, bucket, asked)


def refusal(request: Request, exc: ServiceError) -> Answer:
    if exc.code == "NotModified":
        return Answer(304, {})
    code = _NAMES.get(exc.code, exc.code)
    message = exc.message + (f" ({exc.hint})" if exc.hint else "")
    body = document("Error", {"Code": code, "Message": message, "Resource": request.path})
    return Answer(_STATUS.get(exc.code, 400), {"Content-Type": "application/xml"}, body)


def _bucket(request: Request, service: LocalSageMaker, bucket: str, asked: list[str]) -> Answer:
    match request.method, asked:
        case "GET", []:
            _check_bucket(service, bucket)
            return render("ListBucketResult", s3_list.page(service.storage, bucket, request.query))
        case "GET", ["location"]:
            _check_bucket(service, bucket)
            return render("LocationConstraint", {})
        case "HEAD", []:
            _check_bucket(service, bucket)
            return Answer(200, {"x-amz-bucket-region": "us-east-1"})
        case "PUT", []:
            os.makedirs(_folder(service, bucket), exist_ok=True)
            service.store.put("bucket", bucket, {})
            return Answer(200, {"Location": f"/{bucket}"})
        case "DELETE", []:
            return _delete_bucket(service, bucket)
        case "POST", ["delete"]:
            return _delete_objects(request, service, bucket)
        case "GET", ["uploads"]:
            return render("ListMultipartUploadsResult", s3_multipart.uploads(service, bucket))
    return _not_allowed(request)


def _object(request: Request, service: LocalSageMaker, bucket: str, key: str, asked: list[str]) -> Answer:
    uri = uri_of(bucket, key)
    copy = "x-amz-copy-source" in request.headers
    match request.method, sorted(asked):
        case "GET" | "HEAD", []:
            return _read(request, service, bucket, uri)
        case "PUT", []:
            return s3_objects.copy(request, service, uri) if copy else s3_objects.put(request, service, uri)
        case "DELETE", []:
            s3_objects.delete(service, uri)
            return Answer(204, {})
        case "POST", ["uploads"]:
            return s3_multipart.create(request, service, uri)
        case "PUT", ["partNumber", "uploadId"]:
            return (
                s3_multipart.copy_part(request, service, uri) if copy else s3_multipart.put_part(request, service, uri)
            )
        case "POST", ["uploadId"]:
            return s3_multipart.complete(request, service, uri)
        case "DELETE", ["uploadId"]:
            return s3_multipart.abort(request, service, uri)
        case "GET", ["uploadId"]:
            return s3_multipart.parts(request, service, uri)
    return _not_allowed(request)


def _read(request: Request, service: LocalSageMaker, bucket: str, uri: str) -> Answer:
    try:
        return s3_objects.get(request, service, uri)
    except ServiceError as exc:
        if exc.code == "NoSuchKey":
            _check_bucket(service, bucket)
        raise


def _not_allowed(request: Request) -> Answer:
    subject = f"{request.method} {request.path} {sorted(request.query)}"
    raise ServiceError("NotImplemented", f"the local S3 does not answer {subject}: objects and buckets only")


def _list_buckets(service: LocalSageMaker) -> Answer:
    buckets = []
    root = service.storage.root
    for name in sorted(os.listdir(root)) if os.path.isdir(root) else ():
        created = formatdate(os.stat(os.path.join(root, name)).st_ctime, usegmt=True)
        buckets.append(to_xml("Bucket", {"Name": name, "CreationDate": created}))
    return render("ListAllMyBucketsResult", {"Owner": {"ID": "darkroom"}, "Buckets": buckets})


def _folder(service: LocalSageMaker, bucket: str) -> str:
    return os.path.dirname(service.storage.path(uri_of(bucket, "x")))


def _check_bucket(service: LocalSageMaker, bucket: str) -> None:
    """A bucket is there once it was created or something was put into it: nobody has to create one first here."""
    if not os.path.isdir(_folder(service, bucket)) and not service.store.find("bucket", bucket):
        raise ServiceError("NoSuchBucket", f"The specified bucket does not exist: {bucket}")


def _delete_bucket(service: LocalSageMaker, bucket: str) -> Answer:
    _check_bucket(service, bucket)
    if next(service.storage.list(f"s3://{bucket}/"), None) is not None:
        raise ServiceError("BucketNotEmpty", f"The bucket you tried to delete is not empty: {bucket}")
    folder = _folder(service, bucket)
    if os.path.isdir(folder):
        os.rmdir(folder)
    if service.store.find("bucket", bucket):
        service.store.remove("bucket", bucket)
    return Answer(204, {})


def _delete_objects(request: Request, service: LocalSageMaker, bucket: str) -> Answer:
    keys = [entry.get("Key", "") for entry in elements(request, "Object")]
    if not keys or len(keys) > _MOST_DELETES or not all(keys):
        raise ServiceError("MalformedXML", f"name 1 to {_MOST_DELETES} objects, each by its Key")
    results = []
    for key in keys:
        try:
            s3_objects.delete(service, uri_of(bucket, key))
            results.append(to_xml("Deleted", {"Key": key}))
        except StorageError as exc:
            results.append(to_xml("Error", {"Key": key, "Code": "InternalError", "Message": exc.message}))
    return render("DeleteResult", {"": results})
