"""S3's object calls over the local folders, called by boto3 as it is; and by callers that they must refuse."""

from __future__ import annotations

import hashlib
import http.client
import os
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from over_http import raw, refusal

from pipeline.local.server import LoopbackServer
from pipeline.local.storage import Storage

MIB = 1 << 20
KEY = "a folder/ä+b c&<d>.txt"


def test_an_object_comes_back_with_its_type_and_metadata(s3: Any) -> None:
    put = s3.put_object(Bucket="bucket", Key=KEY, Body=b"hello", ContentType="text/plain", Metadata={"color": "red"})
    got = s3.get_object(Bucket="bucket", Key=KEY)
    assert got["Body"].read() == b"hello"
    assert (got["ContentType"], got["Metadata"], got["ContentLength"]) == ("text/plain", {"color": "red"}, 5)
    assert got["ETag"] == put["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert s3.head_object(Bucket="bucket", Key=KEY)["ETag"] == put["ETag"]


def test_objects_are_those_of_the_local_storage(s3: Any, server: LoopbackServer) -> None:
    storage = Storage(server.home)
    s3.put_object(Bucket="bucket", Key="ours", Body=b"1")
    storage.put_bytes("s3://bucket/theirs", b"2")
    assert storage.get_bytes("s3://bucket/ours") == b"1"
    assert s3.get_object(Bucket="bucket", Key="theirs")["Body"].read() == b"2"


def test_metadata_does_not_outlive_its_content(s3: Any, server: LoopbackServer) -> None:
    s3.put_object(Bucket="bucket", Key="k", Body=b"old", Metadata={"of": "old"})
    Storage(server.home).put_bytes("s3://bucket/k", b"other")
    got = s3.head_object(Bucket="bucket", Key="k")
    assert (got["Metadata"], got["ETag"]) == ({}, f'"{hashlib.md5(b"other").hexdigest()}"')


@pytest.mark.parametrize(
    ("asked", "content", "shown"),
    [("bytes=1-2", b"12", "bytes 1-2/5"), ("bytes=3-", b"34", "bytes 3-4/5"), ("bytes=-2", b"34", "bytes 3-4/5"),
     ("bytes=1-99", b"1234", "bytes 1-4/5"), ("bytes=-99", b"01234", "bytes 0-4/5")],
)  # fmt: skip
def test_a_range_is_cut_out(s3: Any, asked: str, content: bytes, shown: str) -> None:
    s3.put_object(Bucket="bucket", Key="k", Body=b"01234")
    got = s3.get_object(Bucket="bucket", Key="k", Range=asked)
    assert (got["Body"].read(), got["ContentRange"]) == (content, shown)


def test_a_range_behind_the_end_is_refused(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="k", Body=b"01234")
    with refusal("InvalidRange"):
        s3.get_object(Bucket="bucket", Key="k", Range="bytes=5-")


def test_an_object_that_is_not_there_is_boto3s_own_exception(s3: Any) -> None:
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="bucket", Key="none")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.get_object(Bucket="no-such-bucket", Key="none")
    with refusal("404"):
        s3.head_object(Bucket="bucket", Key="none")


def test_a_folder_is_no_object(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="folder/file", Body=b"")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="bucket", Key="folder")


def test_empty_objects_and_climbing_keys_stay_what_they_are(s3: Any, server: LoopbackServer) -> None:
    keys = ["empty", "../../outside", "a//b", "folder/", ".hidden", "%2e%2e"]
    for key in keys:
        s3.put_object(Bucket="bucket", Key=key, Body=b"")
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket")["Contents"]]
    assert sorted(listed) == sorted(keys)
    assert not (Path(server.home).parent / "outside").exists()


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_pages_of_a_list_hold_every_key_once(s3: Any, operation: str) -> None:
    keys = sorted(f"p/{number:02d} ü" for number in range(7))
    for key in [*keys, "other"]:
        s3.put_object(Bucket="bucket", Key=key, Body=b"x")
    pages = list(s3.get_paginator(operation).paginate(Bucket="bucket", Prefix="p/", PaginationConfig={"PageSize": 3}))
    assert [entry["Key"] for page in pages for entry in page["Contents"]] == keys
    assert [len(page["Contents"]) for page in pages] == [3, 3, 1]


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_a_delimiter_folds_keys_into_prefixes(s3: Any, operation: str) -> None:
    for key in ("a/1", "a/2", "b/c/3", "d", "b-4"):
        s3.put_object(Bucket="bucket", Key=key, Body=b"x")
    pages = list(s3.get_paginator(operation).paginate(Bucket="bucket", Delimiter="/", PaginationConfig={"PageSize": 1}))
    assert [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ())] == ["a/", "b/"]
    assert [each["Key"] for page in pages for each in page.get("Contents", ())] == ["b-4", "d"]


def test_a_list_begins_after_a_key(s3: Any) -> None:
    for key in "abc":
        s3.put_object(Bucket="bucket", Key=key, Body=b"x")
    page = s3.list_objects_v2(Bucket="bucket", StartAfter="a", MaxKeys=1)
    assert ([each["Key"] for each in page["Contents"]], page["KeyCount"], page["IsTruncated"]) == (["b"], 1, True)


def test_deleting_is_idempotent_and_takes_many_at_once(s3: Any) -> None:
    for key in ("a", "b & c", "d"):
        s3.put_object(Bucket="bucket", Key=key, Body=b"x")
    s3.delete_object(Bucket="bucket", Key="d")
    s3.delete_object(Bucket="bucket", Key="d")
    done = s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "a"}, {"Key": "b & c"}, {"Key": "none"}]})
    assert [each["Key"] for each in done["Deleted"]] == ["a", "b & c", "none"]
    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_a_copy_takes_metadata_along_or_gets_its_own(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key=KEY, Body=b"x", Metadata={"a": "1"})
    source = {"Bucket": "bucket", "Key": KEY}
    s3.copy_object(Bucket="bucket", Key="same", CopySource=source)
    s3.copy_object(Bucket="bucket", Key="own", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"})
    assert s3.head_object(Bucket="bucket", Key="same")["Metadata"] == {"a": "1"}
    assert s3.head_object(Bucket="bucket", Key="own")["Metadata"] == {"b": "2"}
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.copy_object(Bucket="bucket", Key="x", CopySource={"Bucket": "bucket", "Key": "none"})


def test_a_condition_that_does_not_hold_is_refused(s3: Any) -> None:
    etag = s3.put_object(Bucket="bucket", Key="k", Body=b"x", IfNoneMatch="*")["ETag"]
    with refusal("PreconditionFailed"):
        s3.put_object(Bucket="bucket", Key="k", Body=b"y", IfNoneMatch="*")
    with refusal("PreconditionFailed"):
        s3.get_object(Bucket="bucket", Key="k", IfMatch='"other"')
    with refusal("304"):
        s3.get_object(Bucket="bucket", Key="k", IfNoneMatch=etag)
    assert s3.get_object(Bucket="bucket", Key="k", IfMatch=etag)["Body"].read() == b"x"


def test_buckets_are_made_listed_and_deleted(s3: Any) -> None:
    s3.create_bucket(Bucket="another")
    s3.head_bucket(Bucket="another")
    assert "another" in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket="another")["LocationConstraint"] is None
    s3.put_object(Bucket="another", Key="k", Body=b"")
    with refusal("BucketNotEmpty"):
        s3.delete_bucket(Bucket="another")
    s3.delete_object(Bucket="another", Key="k")
    s3.head_bucket(Bucket="another")
    s3.delete_bucket(Bucket="another")
    with refusal("404"):
        s3.head_bucket(Bucket="another")


def test_large_files_go_and_come_in_parts(s3: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(11 * MIB + 3))
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_file(str(source), "bucket", "large", ExtraArgs={"Metadata": {"a": "1"}}, Config=config)
    s3.copy({"Bucket": "bucket", "Key": "large"}, "bucket", "copy", Config=config)
    s3.download_file("bucket", "copy", str(target), Config=config)
    assert source.read_bytes() == target.read_bytes()
    head = s3.head_object(Bucket="bucket", Key="large")
    assert head["ETag"].endswith('-3"')
    assert head["Metadata"] == {"a": "1"}
    assert s3.list_multipart_uploads(Bucket="bucket").get("Uploads", []) == []


def test_a_multipart_upload_can_be_listed_corrected_and_aborted(s3: Any, server: LoopbackServer) -> None:
    upload = {"Bucket": "bucket", "Key": "k"}
    upload["UploadId"] = s3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    s3.upload_part(**upload, PartNumber=1, Body=b"wrong")
    s3.upload_part(**upload, PartNumber=1, Body=b"right")
    assert [(part["PartNumber"], part["Size"]) for part in s3.list_parts(**upload)["Parts"]] == [(1, 5)]
    s3.abort_multipart_upload(**upload)
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.abort_multipart_upload(**upload)
    assert not os.path.exists(os.path.join(server.home, "uploads", upload["UploadId"]))


@pytest.mark.parametrize(
    ("numbers", "code"), [([1, 2], "EntityTooSmall"), ([2, 1], "InvalidPartOrder"), ([3], "InvalidPart")]
)
def test_parts_that_do_not_fit_together_are_refused(s3: Any, numbers: list[int], code: str) -> None:
    upload = {"Bucket": "bucket", "Key": "k"}
    upload["UploadId"] = s3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    tags = {number: s3.upload_part(**upload, PartNumber=number, Body=b"x")["ETag"] for number in (1, 2)}
    parts = [{"PartNumber": number, "ETag": tags.get(number, '"none"')} for number in numbers]
    with refusal(code):
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def test_an_upload_id_belongs_to_its_key(s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    for key, wrong in (("other", upload), ("k", "../../x"), ("k", "0" * 32)):
        with pytest.raises(ClientError, match="NoSuchUpload"):
            s3.upload_part(Bucket="bucket", Key=key, UploadId=wrong, PartNumber=1, Body=b"")


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_a_checksum_that_does_not_match_is_refused(s3: Any, algorithm: str) -> None:
    with refusal("BadDigest"):
        s3.put_object(Bucket="bucket", Key="k", Body=b"x", **{f"Checksum{algorithm}": b64encode(bytes(20)).decode()})
    s3.put_object(Bucket="bucket", Key="k", Body=b"x", ChecksumAlgorithm=algorithm)


def aws_chunked(data: bytes, checksum: int, size: int = 3) -> bytes:
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    body = b"".join(b"%x;chunk-signature=abc\r\n%s\r\n" % (len(block), block) for block in blocks)
    return body + b"0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % b64encode(checksum.to_bytes(4, "big"))


CHUNKED = {
    "x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "Content_Encoding": "aws-chunked",
    "X_Amz_Trailer": "x-amz-checksum-crc32",
    "X_Amz_Decoded_Content_Length": "10",
}


def test_an_aws_chunked_body_is_decoded_and_checked(s3: Any, server: LoopbackServer) -> None:
    data = b"0123\r\n6789"
    status, _ = raw(server, "PUT", "/bucket/k", aws_chunked(data, zlib.crc32(data)), **CHUNKED)
    got = s3.get_object(Bucket="bucket", Key="k")
    assert (status, got["Body"].read()) == (200, data)
    assert "ContentEncoding" not in got


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (aws_chunked(b"0123456789", 7), b"BadDigest"),
        (aws_chunked(b"012345678", zlib.crc32(b"012345678")), b"IncompleteBody"),
        (b"5\r\n012", b"IncompleteBody"),
        (b"zz\r\n", b"InvalidRequest"),
        (b"", b"InvalidRequest"),
    ],
)
def test_a_broken_aws_chunked_body_changes_nothing(s3: Any, server: LoopbackServer, body: bytes, code: bytes) -> None:
    status, answer = raw(server, "PUT", "/bucket/k", body, **CHUNKED)
    assert status == 400
    assert code in answer
    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0
    assert [name for name in os.listdir(os.path.join(server.home, "uploads")) if name.startswith("put-")] == []


def test_a_body_in_http_chunks_is_taken(s3: Any, server: LoopbackServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.request(
        "PUT", "/bucket/k", iter([b"01234", b"56789"]), {"Transfer-Encoding": "chunked"}, encode_chunked=True
    )
    assert connection.getresponse().read() == b""
    connection.request("GET", "/bucket/k")
    assert connection.getresponse().read() == b"0123456789"
    connection.close()


def test_a_body_that_ends_early_leaves_no_object(s3: Any, server: LoopbackServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.putrequest("PUT", "/bucket/k")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"half")
    connection.sock.shutdown(1)
    assert connection.getresponse().status == 400
    connection.close()
    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/Bad_Bucket/k", b"InvalidBucketName"),
        ("GET", "/bucket/" + "k" * 1025, b"KeyTooLongError"),
        ("GET", "/bucket/a%00b", b"InvalidArgument"),
        ("PUT", "/bucket/k?acl", b"NotImplemented"),
        ("GET", "/bucket?versioning", b"NotImplemented"),
        ("PUT", "/bucket/k?partNumber=0&uploadId=x", b"NoSuchUpload"),
        ("POST", "/bucket?delete", b"MalformedXML"),
        ("GET", "/bucket?list-type=2&continuation-token=%C3%A9", b"InvalidArgument"),
        ("GET", "/bucket?max-keys=many", b"InvalidArgument"),
    ],
)  # fmt: skip
def test_a_call_that_s3_refuses_or_this_one_lacks_is_refused(
    s3: Any, server: LoopbackServer, method: str, path: str, code: bytes
) -> None:
    status, answer = raw(server, method, path)
    assert status >= 400
    assert b"<Code>" + code in answer


def test_entities_in_xml_are_refused(s3: Any, server: LoopbackServer) -> None:
    bomb = b'<!DOCTYPE d [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>'
    assert b"MalformedXML" in raw(server, "POST", "/bucket?delete", bomb)[1]


def test_a_presigned_address_works(s3: Any) -> None:
    from urllib.request import urlopen

    s3.put_object(Bucket="bucket", Key=KEY, Body=b"x")
    with urlopen(s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": KEY})) as answer:
        assert answer.read() == b"x"
