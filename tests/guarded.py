"""IAM in front of an account: the policies of one role judge, and deny, each request that a command sends.

The call is taken from what travels, as AWS takes it: boto3's clients are those of the command, unmodified.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from api_actions import actions_of
from golden_roles import Golden
from permitted import may

from pipeline.local.messages import Body

_SERVICES = {"SageMaker": "sagemaker", "Logs_20140328": "logs"}
_NAMED = {
    "PipelineName": "pipeline",
    "ProcessingJobName": "processing-job",
    "TrainingJobName": "training-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    "EndpointName": "endpoint",
}
_ARNS = ("PipelineExecutionArn", "PipelineArn", "ResourceArn", "ModelPackageName")
_OWN_HEADERS = ("host", "content-length", "transfer-encoding", "connection", "expect", "date", "server")


class Asked(NamedTuple):
    """What a request needs: one action on one resource, and what conditions see of it."""

    action: str
    resource: str
    context: dict[str, str]


class Guard(ThreadingHTTPServer):
    """`asked` is all that was, `denied` what the role may not."""

    daemon_threads = True

    def __init__(self, behind: str, found: Golden, kind: str) -> None:
        self.behind = urlsplit(behind)
        self.found, self.role = found, found.arn(kind)
        self.asked: list[Asked] = []
        self.denied: list[Asked] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def judge(self, asked: list[Asked]) -> list[Asked]:
        self.asked += asked
        denied = [each for each in asked if not may(self.found.roles, self.role, *each)]
        self.denied += denied
        return denied

    @property
    def actions(self) -> set[str]:
        return {each.action for each in self.asked}


@contextmanager
def guarded(behind: str, found: Golden, kind: str) -> Iterator[Guard]:
    running = Guard(behind, found, kind)
    threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield running
    finally:
        running.shutdown()
        running.server_close()


def of_json(service: str, operation: str, request: dict[str, Any], found: Golden) -> list[Asked]:
    """The account of the local service's ARNs is nobody's; the role's stands in for it."""
    where = found.config.pipeline
    front = f"arn:aws:{service}:{where.region}:{where.account}"
    resource = "*"
    for member, kind in _NAMED.items():
        if member in request and not operation.startswith("ListPipelines"):
            resource = f"{front}:{kind}/{request[member]}"
    for member in _ARNS:
        if member in request:
            resource = f"{front}:{request[member].split(':', 5)[5]}"
    if "logGroupName" in request:
        stream = f":log-stream:{request['logStreamName']}" if "logStreamName" in request else ""
        resource = f"{front}:log-group:{request['logGroupName']}{stream}"
    asked = [Asked(action, resource, {}) for action in actions_of(service, operation)]
    if "RoleArn" in request:
        asked.append(Asked("iam:PassRole", request["RoleArn"], {"iam:PassedToService": "sagemaker.amazonaws.com"}))
    if "Tags" in request:
        asked.append(Asked("sagemaker:AddTags", resource, {}))
    if "PipelineDefinitionS3Location" in request:
        place = request["PipelineDefinitionS3Location"]
        asked.append(Asked("s3:GetObject", f"arn:aws:s3:::{place['Bucket']}/{place['ObjectKey']}", {}))
    return asked


def of_s3(method: str, path: str, query: dict[str, str]) -> list[Asked]:
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    if not key:
        operation = {"GET": "ListObjectsV2", "HEAD": "HeadBucket"}[method]
        context = {"s3:prefix": query.get("prefix", "")}
        return [Asked(action, f"arn:aws:s3:::{bucket}", context) for action in actions_of("s3", operation)]
    posted = "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    put = "UploadPart" if "uploadId" in query else "PutObject"
    deleted = "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    operation = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": put, "POST": posted, "DELETE": deleted}[method]
    asked = [Asked(action, f"arn:aws:s3:::{bucket}/{key}", {}) for action in actions_of("s3", operation)]
    if method in ("GET", "HEAD"):  # what is absent is 404 only to who may list it, with its key as s3:prefix; else 403
        asked.append(Asked("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": key}))
    return asked


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Guard

    def do_POST(self) -> None:
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        stream: Any = self.rfile
        body = Body(stream, int(self.headers.get("Content-Length", "0")), chunked).all(64 << 20)
        denied = self.server.judge(self._asked(body))
        if denied:
            self._deny(denied[0])
        else:
            self._forward(body)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST

    def _asked(self, body: bytes) -> list[Asked]:
        target = self.headers.get("X-Amz-Target", "")
        if target:
            service, _, operation = target.partition(".")
            return of_json(_SERVICES[service], operation, json.loads(body), self.server.found)
        split = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(split.query, keep_blank_values=True).items()}
        return of_s3(self.command, split.path, query)

    def _deny(self, asked: Asked) -> None:
        message = (
            f"User: {self.server.role} is not authorized to perform: {asked.action} on resource: {asked.resource} "
            f"because no identity-based policy allows the {asked.action} action"
        )
        if self.headers.get("X-Amz-Target"):
            self._send(400, json.dumps({"__type": "AccessDeniedException", "message": message}).encode(), [])
        else:
            text = f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
            self._send(403, b"" if self.command == "HEAD" else text.encode(), [("Content-Type", "application/xml")])

    def _forward(self, body: bytes) -> None:
        host, port = str(self.server.behind.hostname), self.server.behind.port
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN_HEADERS}
        connection = http.client.HTTPConnection(host, port)
        connection.request(
            self.command, self.path, body, {**headers, "Host": f"{host}:{port}", "Content-Length": str(len(body))}
        )
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _OWN_HEADERS]
        self._send(answer.status, data, kept, answer.getheader("Content-Length") if self.command == "HEAD" else None)

    def _send(self, status: int, data: bytes, headers: list[tuple[str, str]], length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""
