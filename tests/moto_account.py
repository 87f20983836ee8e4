"""An AWS account out of moto over HTTP, sound for the shipped pipeline, with faults, and with what moto lacks.

moto has no policy simulator and no quotas of SageMaker, and lets every account see every bucket: the front answers
these; the simulator judges the very policies that moto was given.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import boto3
import pytest
from api_actions import actions_of
from botocore.config import Config as BotoConfig
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from permitted import allows
from rendered import ENTRYPOINTS, ROOT
from werkzeug.serving import WSGIRequestHandler, make_server

from pipeline.config import Config, load_config
from pipeline.definition import Definition
from pipeline.iam import policies
from pipeline.infra.functions import SECONDS
from pipeline.infra.packaging import packages
from pipeline.plan import values
from pipeline.preflight.setting import Setting

ACCOUNT, REGION = DEFAULT_ACCOUNT_ID, "us-east-1"
AWS_IMAGES = "763104351884"
THROTTLED, BROKEN, LOST, DENIED = FAULTS = ("throttled", "broken", "lost", "denied")
EXPIRED, PAGE_OF_PROXY = "expired", "page of a proxy"
_REFUSALS = {
    THROTTLED: (400, "ThrottlingException"),
    BROKEN: (500, "InternalFailure"),
    DENIED: (403, "AccessDenied"),
    EXPIRED: (403, "ExpiredToken"),
}
_QUERY = ("iam", "sts", "cloudformation")
_S3 = {
    "location": "GetBucketLocation",
    "publicAccessBlock": "GetPublicAccessBlock",
    "encryption": "GetBucketEncryption",
    "versioning": "GetBucketVersioning",
    "policy": "GetBucketPolicy",
    "list-type": "ListObjectsV2",
}
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PAGE = 3  # quotas; small, so that there are several pages
QUOTAS = {
    "Number of instances across all processing jobs": 4.0,
    "Number of instances across all training jobs": 4.0,
    "Number of instances across active endpoints": 9.0,  # staging scaled to three, its second fleet, production
    "ml.m5.large for endpoint usage": 9.0,
    "ml.m5.xlarge for processing job usage": 2.0,
    "ml.m5.xlarge for training job usage": 2.0,
}

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Front:
    """`faults(operation, number)` says what happens to the number-th call; `calls` are (service, operation) so far."""

    def __init__(self, behind: Wsgi) -> None:
        self._behind = behind
        self.calls: list[tuple[str, str]] = []
        self.faults: Callable[[str, int], str] = lambda operation, number: ""
        self.quotas: dict[str, float] = {}
        self.defaults: dict[str, float] = {}
        self.foreign: set[str] = set()  # buckets of others
        self.shared: set[str] = set()  # images of AWS's account, repository:tag
        self.closed: set[str] = set()  # regions
        self.bounded: set[str] = set()  # actions that a permissions boundary takes away

    def begin(self, faults: Callable[[str, int], str] = lambda operation, number: "") -> None:
        self.calls.clear()
        self.faults = faults

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        service, operation = _called(environ, body)
        self.calls.append((service, operation))
        fault = self.faults(operation, len(self.calls))
        if fault == LOST:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionError("as injected")
        if fault == PAGE_OF_PROXY:
            return _answered(start, "<!doctype html><html lang=en><h1>Blocked", "html", "502 Bad Gateway")
        if fault:
            action = next(iter(actions_of(service, operation)), f"{service}:{operation}")
            denied = f"User: u is not authorized to perform: {action} because no identity-based policy allows it"
            status, code = _REFUSALS[fault]
            return _refused(start, service, status, code, denied if fault == DENIED else "as injected")
        answer = self._own(service, operation, environ, body)
        if answer is None:
            return self._behind(environ, start)
        return answer(start)

    def _own(self, service: str, operation: str, environ: dict[str, Any], body: bytes) -> Any:
        if service == "servicequotas":
            table = self.quotas if operation == "ListServiceQuotas" else self.defaults
            return lambda start: _answered(start, json.dumps(_quota_page(table, json.loads(body))), "x-amz-json-1.1")
        if operation == "SimulatePrincipalPolicy":
            return self._simulated(dict(parse_qsl(body.decode())))
        if service == "ecr" and operation == "BatchGetImage":
            request = json.loads(body)
            tag = f"{request['repositoryName']}:{request['imageIds'][0]['imageTag']}"
            found = {"images": [{"imageManifest": "{}"}], "failures": []}
            absent = {"images": [], "failures": [{"imageId": request["imageIds"][0], "failureCode": "ImageNotFound"}]}
            shown = found if tag in self.shared else absent
            return lambda start: _answered(start, json.dumps(shown), "x-amz-json-1.1")
        if operation == "DescribeRegions" and (closed := self.closed & set(parse_qs(body.decode())["RegionName.1"])):
            item = f"<item><regionName>{closed.pop()}</regionName><optInStatus>not-opted-in</optInStatus></item>"
            text = f"<DescribeRegionsResponse><regionInfo>{item}</regionInfo></DescribeRegionsResponse>"
            return lambda start: _answered(start, text, "xml")
        bucket = environ["PATH_INFO"].split("/")[1] if service == "s3" else ""
        if bucket in self.foreign and "HTTP_X_AMZ_EXPECTED_BUCKET_OWNER" in environ:
            return lambda start: _refused(start, "s3", 403, "AccessDenied", "Access Denied")
        return None

    def _simulated(self, request: dict[str, str]) -> Any:
        documents = _documents(request["PolicySourceArn"])
        if documents is None:
            return lambda start: _refused(start, "iam", 404, "NoSuchEntity", "The role cannot be found.")
        context = {
            value: request[key.replace("ContextKeyName", "ContextKeyValues.member.1")]
            for key, value in request.items()
            if key.endswith("ContextKeyName")
        }
        results = []
        for action in _members(request, "ActionNames"):
            bounded = action in self.bounded
            each = [
                (resource, not bounded and any(allows(document, action, resource, context) for document in documents))
                for resource in _members(request, "ResourceArns")
            ]
            results.append((action, each, bounded))
        return lambda start: _answered(start, _simulation(results), "xml")


def _called(environ: dict[str, Any], body: bytes) -> tuple[str, str]:
    """(service as it signs, operation): out of what travels."""
    signed = re.search(r"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    service = signed[1] if signed else ""
    if target := environ.get("HTTP_X_AMZ_TARGET", ""):
        return service, target.rpartition(".")[2]
    if service in (*_QUERY, "ec2", "monitoring", "sns"):
        return service, parse_qs(body.decode())["Action"][0]
    if service == "lambda":
        return service, "GetFunctionConfiguration" if environ["REQUEST_METHOD"] == "GET" else "CreateFunction"
    asked = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    named = next((operation for key, operation in _S3.items() if key in asked), "HeadBucket")
    return service, named if environ["REQUEST_METHOD"] in ("GET", "HEAD") else f"{environ['REQUEST_METHOD']}Bucket"


def _answered(start: Callable[..., Any], text: str, kind: str, status: str = "200 OK") -> list[bytes]:
    data = text.encode()
    start(status, [("Content-Type", f"application/{kind}"), ("Content-Length", str(len(data)))])
    return [data]


def _refused(start: Callable[..., Any], service: str, status: int, code: str, message: str) -> list[bytes]:
    """As each protocol has it; a HEAD has no body, and its status has to do."""
    inner = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    if service == "s3" and code == "ThrottlingException":
        status, code = 503, "SlowDown"
    line = f"{status} Refused"
    if service in _QUERY:
        return _answered(start, f"<ErrorResponse>{inner}</ErrorResponse>", "xml", line)
    if service == "ec2":
        return _answered(start, f"<Response><Errors>{inner}</Errors></Response>", "xml", line)
    if service == "s3":
        return _answered(start, inner, "xml", line)
    data = json.dumps({"__type": code, "message": message}).encode()
    start(line, [("Content-Type", "application/json"), ("x-amzn-errortype", code), ("Content-Length", str(len(data)))])
    return [data]


def _quota_page(table: dict[str, float], request: dict[str, Any]) -> dict[str, Any]:
    assert request["ServiceCode"] == "sagemaker"
    rows = [
        {"QuotaName": name, "QuotaCode": f"L-{number:08X}", "Value": value, "Adjustable": True}
        for number, (name, value) in enumerate(sorted(table.items()))
    ]
    first = int(request.get("NextToken", 0))
    more = {"NextToken": str(first + PAGE)} if first + PAGE < len(rows) else {}
    return {"Quotas": rows[first : first + PAGE], **more}


def _members(request: dict[str, str], name: str) -> list[str]:
    return [value for key, value in request.items() if key.startswith(f"{name}.member.")]


def _documents(arn: str) -> list[dict[str, Any]] | None:
    """The inline policies that moto's IAM has of a role or a user."""
    iam = get_backend("iam")[ACCOUNT]["aws"]
    kind, name = arn.split(":")[5].split("/")[0], arn.rpartition("/")[2]
    known = {each.name: each for each in (iam.roles.values() if kind == "role" else iam.users.values())}
    if name not in known:
        return None
    found = known[name].policies
    texts = found.values() if isinstance(found, dict) else found
    return [json.loads(text) for text in texts]


def _simulation(results: list[tuple[str, list[tuple[str, bool]], bool]]) -> str:
    """One result for each action, and in it one for each resource."""
    members = []
    for action, each, bounded in results:
        specific = "".join(
            f"<member><EvalResourceName>{resource}</EvalResourceName><EvalResourceDecision>{_decision(may)}"
            "</EvalResourceDecision></member>"
            for resource, may in each
        )
        within = f"<AllowedByPermissionsBoundary>{str(not bounded).lower()}</AllowedByPermissionsBoundary>"
        members.append(
            f"<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{each[0][0]}</EvalResourceName>"
            f"<EvalDecision>{_decision(all(may for _, may in each))}</EvalDecision>"
            f"<ResourceSpecificResults>{specific}</ResourceSpecificResults>"
            f"<PermissionsBoundaryDecisionDetail>{within}</PermissionsBoundaryDecisionDetail></member>"
        )
    inner = f"<EvaluationResults>{''.join(members)}</EvaluationResults><IsTruncated>false</IsTruncated>"
    result = f"<SimulatePrincipalPolicyResult>{inner}</SimulatePrincipalPolicyResult>"
    return f"<SimulatePrincipalPolicyResponse>{result}</SimulatePrincipalPolicyResponse>"


def _decision(may: bool) -> str:
    return "allowed" if may else "implicitDeny"


class Account:
    """`client("iam")` is boto3's, to build with and to break."""

    def __init__(self, front: Front, url: str, config: Config, definition: Definition, root: Path) -> None:
        self.front, self.url, self.config, self.definition, self.root = front, url, config, definition, root
        self.client = cache(self._client)

    def _client(self, service: str) -> Any:
        plain = BotoConfig(retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": "dummy", "aws_secret_access_key": "dummy"}
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, config=plain, **keys)

    def setting(self, service: Callable[[str], Any], given: dict[str, str] | None = None, **sections: Any) -> Setting:
        """`sections`: keys of the configuration that are other than in the account's."""
        changed = {key: getattr(self.config, key).model_copy(update=each) for key, each in sections.items()}
        config = self.config.model_copy(update=changed)
        return Setting(
            config,
            self.definition,
            values.typed(self.definition, given or {}),
            policies.roles(config, self.definition),
            packages(config, self.root),
            service,
            REGION,
        )

    def build(self) -> None:
        """What infra/template.yaml makes, as far as the preflight looks at it."""
        self._build_quotas()
        self._build_bucket()
        self._build_roles()
        self._build_functions()
        self._build_images()
        group = self.config.package_group
        self.client("sagemaker").create_model_package_group(ModelPackageGroupName=group)
        for name in ("ProcessingJobs", "TrainingJobs"):
            self.client("logs").create_log_group(logGroupName=f"/aws/sagemaker/{name}")
            self.client("logs").create_log_stream(logGroupName=f"/aws/sagemaker/{name}", logStreamName="job/algo-1-1")
        template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
        self.client("cloudformation").create_stack(
            StackName=self.config.pipeline.name, TemplateBody=json.dumps(template)
        )
        pattern = {"source": ["aws.sagemaker"], "detail": {"ModelPackageGroupName": [group]}}
        self.client("events").put_rule(Name="approved", EventPattern=json.dumps(pattern))
        self.client("events").put_targets(
            Rule="approved", Targets=[{"Id": "deploy", "Arn": self.config.deploy_function}]
        )

    def _build_quotas(self) -> None:
        self.front.quotas.update(QUOTAS)

    def _build_bucket(self) -> None:
        s3, bucket = self.client("s3"), self.config.pipeline.bucket_name
        s3.create_bucket(Bucket=bucket)
        everything = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={key: True for key in everything})
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        plain = {"Bool": {"aws:SecureTransport": "false"}}
        deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": plain}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))

    def _build_roles(self) -> None:
        iam = self.client("iam")
        for role in policies.roles(self.config, self.definition):
            if role.kind == "ci-deploy":  # its rights are those of the user who checks
                iam.create_user(UserName="ann")
                iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=json.dumps(role.document()))
            elif role.trust is not None:  # those that services take
                iam.create_role(RoleName=role.name, AssumeRolePolicyDocument=json.dumps(role.trust))
                iam.put_role_policy(RoleName=role.name, PolicyName="p", PolicyDocument=json.dumps(role.document()))

    def keys_of_user(self) -> tuple[str, str]:
        key = self.client("iam").create_access_key(UserName="ann")["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def _build_functions(self) -> None:
        arns = {role.kind: role.arn for role in policies.roles(self.config, self.definition)}
        for package in packages(self.config, self.root):
            kind = f"{package.program.removesuffix('.py').removeprefix('lambda_')}-lambda"
            self.client("lambda").create_function(
                FunctionName=package.function,
                Runtime="python3.12",
                Role=arns[kind],
                Handler=package.handler,
                Code={"ZipFile": package.body},
                Timeout=SECONDS[package.program],
            )

    def _build_images(self) -> None:
        ecr = self.client("ecr")
        repository, _, tag = self.config.serving_image.partition("/")[2].partition(":")
        ecr.create_repository(repositoryName=repository)
        config = {"digest": f"sha256:{'0' * 64}"}
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": []}
        ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag)
        text = json.dumps(self.definition.document)
        self.front.shared.update(re.findall(rf"{AWS_IMAGES}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/([^\"]+)", text))


class _Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing: a test that goes wrong says so by itself."""


@contextmanager
def moto_account(
    config: Config | None = None, definition: Definition | None = None, root: Path = ENTRYPOINTS
) -> Iterator[Account]:
    """The account over HTTP, and the environment in which boto3 finds it."""
    front = Front(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, front, threaded=True, request_handler=_Silent)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    made = Account(front, url, config or shipped_config(), definition or shipped_definition(), root)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (("AWS_ENDPOINT_URL", url), ("AWS_REGION", REGION), ("AWS_MAX_ATTEMPTS", "1")):
            environment.setenv(name, value)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            environment.setenv(name, os.devnull)
        reset()
        try:
            made.build()
            key, secret = made.keys_of_user()
            environment.setenv("AWS_ACCESS_KEY_ID", key)
            environment.setenv("AWS_SECRET_ACCESS_KEY", secret)
            yield made
        finally:
            reset()
            server.shutdown()
            server.server_close()


def reset() -> None:
    """moto keeps its accounts in the process."""
    import moto.backends as backends
    from moto.core.base_backend import BackendDict

    for name in ("iam", "s3", "sts", "ec2", "ecr", "kms", "logs", "events", "cloudformation", "sagemaker", "sns"):
        backend: BackendDict[Any] = backends.get_backend(name)  # type: ignore[call-overload]  # by a name of a list
        backend.reset()
    backends.get_backend("lambda").reset()


@cache
def shipped_config() -> Config:
    config = load_config(ROOT / "pipeline.yaml")
    return config.model_copy(update={"pipeline": config.pipeline.model_copy(update={"account": ACCOUNT})})


@cache
def shipped_definition() -> Definition:
    text = (ROOT / "tests/data/golden/shipped.json").read_text(encoding="utf-8")
    return Definition.parse(text.replace("111122223333", ACCOUNT))
