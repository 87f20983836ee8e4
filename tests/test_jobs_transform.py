"""Batch transform: splitting, assembling, and a model server that answers or does not."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import pytest
from local_jobs import IMAGE, Outcome, put_archive, put_program, run_job

from pipeline.local.jobs import JobFailed
from pipeline.local.jobs.batches import Batching
from pipeline.local.storage import Storage
from pipeline.local.store import Store

SERVE = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Model(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = f"{self.headers['Content-Type']}>{self.headers.get('Accept')} {os.environ.get('SAGEMAKER_BATCH')} "
        self.answer(418 if b"bad" in body else 200, kind.encode() + body.upper())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Model).serve_forever()
"""


def request(home: Path, **source: str) -> dict[str, Any]:
    put_archive(home, "s3://b/model.tar.gz", {"code/serve.py": SERVE})
    store = Store(str(home))
    if not store.find("model", "net"):
        container = {"Image": IMAGE, "ModelDataUrl": "s3://b/model.tar.gz"}
        store.add("model", "net", {"ModelName": "net", "PrimaryContainer": container, "containers": [container]})
    store.close()
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in/"}}
    return {
        "ModelName": "net",
        "TransformInput": {"DataSource": data, "ContentType": "text/csv", **source},
        "TransformOutput": {"S3OutputPath": "s3://b/out", "Accept": "text/plain"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }


def transform(home: Path, body: dict[str, Any], **options: Any) -> Outcome:
    return run_job(home, "Transform", body, command=sys.executable, **options)


def test_each_object_is_posted_and_answered_under_its_name(tmp_path: Path) -> None:
    put_program(tmp_path, "s3://b/in/a.csv", "one")
    put_program(tmp_path, "s3://b/in/sub/b.csv", "two")
    done = transform(tmp_path, request(tmp_path))
    assert done.status == "Completed", done.error
    storage = Storage(str(tmp_path))
    assert storage.get_bytes("s3://b/out/a.csv.out") == b"text/csv>text/plain true ONE"
    assert storage.get_bytes("s3://b/out/sub/b.csv.out").endswith(b"TWO")
    assert done.body["TransformEndTime"] >= done.body["TransformStartTime"]
    assert list((tmp_path / "work/e1").iterdir()) == []


def test_an_error_of_the_model_fails_the_job_and_names_the_object(tmp_path: Path) -> None:
    put_program(tmp_path, "s3://b/in/a.csv", "bad")
    done = transform(tmp_path, request(tmp_path))
    assert "s3://b/in/a.csv" in done.error and "418" in done.error and done.status == "Failed"


def test_what_one_object_is_refused_for_keeps_no_other_from_its_answer(tmp_path: Path) -> None:
    """As the service does. Requests at once are shared out over objects and lines; answers keep their order."""
    for number in range(6):
        text = "bad\n" if number in (2, 4) else "".join(f"{number}.{line}\n" for line in range(5))
        put_program(tmp_path, f"s3://b/in/{number}.csv", text)
    body = request(tmp_path, SplitType="Line") | {"BatchStrategy": "SingleRecord", "MaxConcurrentTransforms": 4}
    done = transform(tmp_path, body)
    assert done.status == "Failed"
    assert "s3://b/in/2.csv: Bad HTTP status received from algorithm: 418" in done.error
    assert done.error.endswith("(and 1 more of 6 objects)")
    storage = Storage(str(tmp_path))
    there = sorted(entry.uri for entry in storage.list("s3://b/out/"))
    assert there == [f"s3://b/out/{number}.csv.out" for number in (0, 1, 3, 5)]
    answers = storage.get_bytes("s3://b/out/3.csv.out").decode().splitlines()
    assert [line.rpartition(" ")[2] for line in answers] == [f"3.{line}" for line in range(5)]


def test_a_server_that_cannot_start_fails_the_job(tmp_path: Path) -> None:
    put_program(tmp_path, "s3://b/in/a.csv", "one")
    body = request(tmp_path)
    put_archive(tmp_path, "s3://b/model.tar.gz", {"code/serve.py": "raise SystemExit(3)"})
    assert "ended with exit code 3" in transform(tmp_path, body).error


def test_an_unknown_model_and_an_empty_input_are_named(tmp_path: Path) -> None:
    body = request(tmp_path)
    assert "no S3 objects found under S3 URL 's3://b/in/'" in transform(tmp_path, body, job_name="one").error
    put_program(tmp_path, "s3://b/in/a.csv", "one")
    assert "could not find model 'other'" in transform(tmp_path, {**body, "ModelName": "other"}, job_name="two").error


@pytest.mark.parametrize(
    ("sizes", "together"),
    [({"MaxConcurrentTransforms": 4, "MaxPayloadInMB": 26}, 104), ({"MaxConcurrentTransforms": 17}, 102)],
)
def test_more_at_once_than_sagemaker_takes_fails_the_step_before_anything_starts(
    tmp_path: Path, sizes: dict[str, int], together: int
) -> None:
    put_program(tmp_path, "s3://b/in/a.csv", "one")
    done = transform(tmp_path, request(tmp_path) | sizes)
    assert done.status == "Failed"
    assert f"MaxConcurrentTransforms * MaxPayloadInMB is {together} MB; it cannot exceed 100 MB" in done.error
    assert "TransformStartTime" not in done.body


def test_a_size_that_is_no_number_fails_the_step_with_its_text(tmp_path: Path) -> None:
    put_program(tmp_path, "s3://b/in/a.csv", "one")
    done = transform(tmp_path, request(tmp_path) | {"MaxPayloadInMB": "4.5"})
    assert done.status == "Failed" and "MaxPayloadInMB" in done.error and "'4.5'" in done.error


def batching(**changes: Any) -> Batching:
    source = {key: changes.pop(key) for key in ("SplitType", "CompressionType") if key in changes}
    target = {key: changes.pop(key) for key in ("AssembleWith",) if key in changes}
    return Batching({"TransformInput": source, "TransformOutput": target, **changes})


def test_lines_are_sent_one_by_one_or_as_many_as_fit() -> None:
    data = b"1\n2\n3"
    assert list(batching(SplitType="Line", BatchStrategy="SingleRecord").payloads(data, "x")) == [b"1\n", b"2\n", b"3"]
    assert list(batching(SplitType="Line").payloads(data, "x")) == [data]
    lines = b"".join(bytes([65 + n]) * ((400 << 10) - 1) + b"\n" for n in range(3))
    sizes = [len(part) for part in batching(SplitType="Line", MaxPayloadInMB=1).payloads(lines, "x")]
    assert sizes == [800 << 10, 400 << 10]


def test_answers_are_joined_as_asked() -> None:
    assert batching().assembled([b"a", b"b\n"]) == b"ab\n"
    assert batching(AssembleWith="Line").assembled([b"a", b"b\n"]) == b"a\nb\n"


def test_gzip_is_unpacked_and_must_be_gzip() -> None:
    packed = batching(CompressionType="Gzip")
    assert list(packed.payloads(gzip.compress(b"plain"), "x")) == [b"plain"]
    for data in (b"plain", gzip.compress(b"plain")[:-4]):
        with pytest.raises(JobFailed, match="x: "):
            list(packed.payloads(data, "x"))


def test_a_record_larger_than_a_payload_is_refused() -> None:
    with pytest.raises(JobFailed, match="MaxPayloadInMB=1"):
        list(batching(MaxPayloadInMB=1).payloads(bytes((1 << 20) + 1), "x"))
    assert len(list(batching(MaxPayloadInMB=0).payloads(bytes(9 << 20), "x"))) == 1


def test_what_this_machine_cannot_split_is_said() -> None:
    with pytest.raises(JobFailed, match="SplitType is 'RecordIO'"):
        batching(SplitType="RecordIO")
