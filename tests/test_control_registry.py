"""Approving, rejecting, deploying and asking models, over a client."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hosted import deploy_package

from pipeline.client import Clients, local_client
from pipeline.control import endpoints, registry
from pipeline.errors import DarkroomError, EndpointError, ServiceError
from pipeline.local.guard import MARK


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clients:
    """Inside a run, as it were: CreateEndpoint starts no process there."""
    monkeypatch.setenv(MARK, "execution")
    return local_client(str(tmp_path / "home"))


def fake(sagemaker: Any, home: str = "/nowhere") -> Clients:
    return Clients(sagemaker, sagemaker, None, home)


def register(clients: Clients, group: str = "digits", status: str = "PendingManualApproval") -> dict[str, Any]:
    service = clients.sagemaker
    known = {
        row["ModelPackageGroupName"] for row in service.list_model_package_groups()["ModelPackageGroupSummaryList"]
    }
    if group not in known:
        service.create_model_package_group(ModelPackageGroupName=group)
    clients.storage.put_bytes("s3://bucket/model.tar.gz", b"model")
    statistics = {"ContentType": "application/json", "S3Uri": "s3://bucket/e.json"}
    container = {"Image": "serve:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}
    created = service.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus=status,
        InferenceSpecification={
            "Containers": [container],
            "SupportedRealtimeInferenceInstanceTypes": ["ml.c5.large"],
            "SupportedContentTypes": ["image/png"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        ModelMetrics={"ModelQuality": {"Statistics": statistics}},
    )
    described: dict[str, Any] = service.describe_model_package(ModelPackageName=created["ModelPackageArn"])
    return described


def test_a_decision_is_kept_with_its_reason(clients: Clients) -> None:
    package = register(clients)
    registry.decide(clients, package, registry.REJECTED, "confuses 3 and 8")
    found = registry.find(clients, 1)
    assert (found["ModelApprovalStatus"], found["ApprovalDescription"]) == ("Rejected", "confuses 3 and 8")


def test_a_version_that_several_groups_have_needs_the_group(clients: Clients) -> None:
    register(clients, "digits")
    register(clients, "dogs")
    with pytest.raises(DarkroomError, match="several groups have a version 1"):
        registry.find(clients, 1)
    assert registry.find(clients, 1, "dogs")["ModelPackageGroupName"] == "dogs"


def test_an_unknown_version_is_answered_with_the_known_ones(clients: Clients) -> None:
    register(clients)
    register(clients)
    with pytest.raises(DarkroomError, match="no model with version 7; there is: 2, 1"):
        registry.find(clients, 7)


def test_the_newest_approved_model_is_deployed_by_default(clients: Clients) -> None:
    register(clients, status="Approved")
    register(clients)
    assert registry.newest_approved(clients)["ModelPackageVersion"] == 1


def test_without_an_approved_model_the_hint_is_to_approve(clients: Clients) -> None:
    register(clients)
    with pytest.raises(DarkroomError) as caught:
        registry.newest_approved(clients)
    assert caught.value.hint == "darkroom approve 1, then darkroom deploy"


def test_the_accuracy_of_a_package_is_read_from_its_evaluation(clients: Clients) -> None:
    package = register(clients)
    assert registry.accuracy(clients, package) is None
    report = {"multiclass_classification_metrics": {"accuracy": {"value": 0.98}}}
    clients.storage.put_bytes("s3://bucket/e.json", json.dumps(report).encode())
    assert registry.accuracy(clients, package) == 0.98


def test_the_production_endpoint_is_asked_by_default(clients: Clients) -> None:
    arn = register(clients, status="Approved")["ModelPackageArn"]
    for name in ("digits-production", "digits-staging"):
        deploy_package(clients.sagemaker, arn, name)
    assert endpoints.find(clients) == "digits-production"
    with pytest.raises(DarkroomError, match="no endpoint 'x'; there is: digits-staging, digits-production"):
        endpoints.find(clients, "x")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"predictions": []}', b"[1]"])
def test_an_answer_that_is_no_prediction_is_quoted(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    service = SimpleNamespace(invoke_endpoint=lambda **request: {"Body": io.BytesIO(body)})
    with pytest.raises(EndpointError, match="does not answer with predictions"):
        endpoints.predict(fake(service), "e", str(tmp_path / "a.png"))


def test_what_the_server_says_of_a_picture_is_taken_out_of_its_wrapping(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    wrapped = 'Received client error (415) from primary with message "{"error":"the body is no picture"}". See the log'

    def invoke(**request: Any) -> None:
        raise ServiceError("ModelError", wrapped, "InvokeEndpoint")

    with pytest.raises(EndpointError, match=r"a.png: the body is no picture \(status 415\)$"):
        endpoints.predict(fake(SimpleNamespace(invoke_endpoint=invoke)), "e", str(tmp_path / "a.png"))


def test_a_refusal_is_told_to_whoever_may_not_look_at_the_endpoint(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")

    def invoke(**request: Any) -> None:
        raise ServiceError("ValidationError", "variant B was not found", "InvokeEndpoint")

    def describe(**request: Any) -> None:
        raise ServiceError("AccessDeniedException", "not authorized to DescribeEndpoint", "DescribeEndpoint")

    service = SimpleNamespace(invoke_endpoint=invoke, describe_endpoint=describe)
    with pytest.raises(EndpointError, match=r"a.png: variant B was not found$"):
        endpoints.predict(fake(service), "e", str(tmp_path / "a.png"))


def test_a_picture_that_is_not_there_is_named() -> None:
    with pytest.raises(DarkroomError, match="cannot read /nowhere/a.png: No such file"):
        endpoints.predict(fake(None), "e", "/nowhere/a.png")
