"""Steps that write records: RegisterModel, Model, EndpointConfig, Endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hosted import ask, processes, remove, serve_stub, soon
from local_drivers import run_here
from local_jobs import BOTH, put_archive, run_job

from pipeline.local.jobs import SERVICE_FAULT, JobFailed
from pipeline.local.service import LocalSageMaker, connect

DATA = "s3://bucket/model.tar.gz"
CONTAINER = {"Image": "image:1", "ModelDataUrl": DATA}


@pytest.fixture
def sagemaker(tmp_path: Path) -> LocalSageMaker:
    service = connect(str(tmp_path))
    service.storage.put_bytes(DATA, b"archive")
    return service


def make_model(home: Path) -> Any:
    return run_here(home, "model", {"ModelName": "wished-for", "PrimaryContainer": CONTAINER})


def make_config(home: Path, **request: Any) -> Any:
    variant = {"VariantName": "A", "ModelName": make_model(home).body["ModelName"]}
    return run_here(home, "endpointconfig", {"ProductionVariants": [variant], **request})


def test_registering_makes_the_group_and_waits_for_approval(sagemaker: LocalSageMaker, tmp_path: Path) -> None:
    request = {"ModelPackageGroupName": "group", "InferenceSpecification": {"Containers": [CONTAINER]}}
    done = run_here(tmp_path, "registermodel", request)
    arn = done.body["ModelPackageArn"]
    assert arn.endswith(":model-package/group/1")
    assert done.announced == [{"RegisterModel": {"Arn": arn}}]
    assert sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "PendingManualApproval"
    assert (
        sagemaker.describe_model_package_group(ModelPackageGroupName="group")["ModelPackageGroupStatus"] == "Completed"
    )


def test_every_run_registers_another_version(tmp_path: Path) -> None:
    request = {"ModelPackageGroupName": "group", "ModelApprovalStatus": "Approved"}
    bodies = [run_here(tmp_path, "registermodel", request).body for _ in range(2)]
    assert [body["ModelPackageVersion"] for body in bodies] == [1, 2]
    assert [body["ModelApprovalStatus"] for body in bodies] == ["Approved", "Approved"]


def test_a_refused_request_fails_the_step_with_the_services_code(tmp_path: Path) -> None:
    request = {"ModelPackageGroupName": "group", "Tags": [{"Key": "a", "Value": "b"}]}
    with pytest.raises(JobFailed, match="ValidationException: .*Tags") as caught:
        run_here(tmp_path, "registermodel", request)
    assert caught.value.exception_type == SERVICE_FAULT


def test_a_model_has_a_name_of_its_execution(sagemaker: LocalSageMaker, tmp_path: Path) -> None:
    done = make_model(tmp_path)
    assert done.body["ModelName"].startswith("pipelines-e1-Step")
    assert done.announced == [{"Model": {"Arn": done.body["ModelArn"]}}]
    assert sagemaker.describe_model(ModelName=done.body["ModelName"])["PrimaryContainer"] == CONTAINER


def test_a_model_without_data_fails_the_step(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="Could not find model data"):
        make_model(tmp_path)


@pytest.mark.usefixtures("sagemaker")
def test_a_configuration_keeps_the_name_that_it_was_given(tmp_path: Path) -> None:
    done = make_config(tmp_path, EndpointConfigName="mine")
    assert done.body["EndpointConfigName"] == "mine"
    assert done.announced == [{"EndpointConfig": {"Arn": done.body["EndpointConfigArn"]}}]


@pytest.mark.parametrize("isolation", BOTH)
def test_an_endpoint_is_created_then_updated(sagemaker: LocalSageMaker, tmp_path: Path, isolation: str) -> None:
    serve_stub(sagemaker.store, CONTAINER["Image"], tmp_path)
    put_archive(Path(sagemaker.home), CONTAINER["ModelDataUrl"], {"text": "model"})
    config = make_config(tmp_path).body["EndpointConfigName"]
    request = {"EndpointName": "e", "EndpointConfigName": config, "Tags": [{"Key": "a", "Value": "b"}]}
    created = run_job(tmp_path, "Endpoint", request, isolation=isolation, job_name="e")
    assert created.error == "" and created.body["EndpointStatus"] == "InService"
    assert soon(lambda: processes(sagemaker) == [])  # they end with the run, and the endpoint wakes
    assert ask(sagemaker) == "model ?"
    variant = {"VariantName": "A", "ModelName": sagemaker.list_models()["Models"][0]["ModelName"]}
    sagemaker.create_endpoint_config(EndpointConfigName="next", ProductionVariants=[variant])
    updated = run_job(
        tmp_path, "Endpoint", {**request, "EndpointConfigName": "next"}, isolation=isolation, job_name="e"
    )
    assert created.body["EndpointArn"] == updated.body["EndpointArn"]
    assert sagemaker.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "next"
    assert updated.body["ProductionVariants"][0]["VariantName"] == "A"
    assert "Endpoint" in updated.parity
    remove(sagemaker, "e")


def test_an_endpoint_without_configuration_fails_the_step(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="Could not find endpoint configuration"):
        run_here(tmp_path, "endpoint", {"EndpointName": "e", "EndpointConfigName": "none"})
