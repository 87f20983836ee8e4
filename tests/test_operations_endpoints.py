"""Models, endpoint configurations, endpoints as records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ServiceError
from pipeline.local import endpoint_record
from pipeline.local.guard import MARK
from pipeline.local.operations.scaling import Scaling
from pipeline.local.service import LocalSageMaker, connect

DATA = "s3://bucket/model.tar.gz"
CONTAINER = {"Image": "image:1", "ModelDataUrl": DATA}
VARIANT = {"VariantName": "AllTraffic", "ModelName": "model", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large"}
SERVERLESS = {
    "VariantName": "AllTraffic",
    "ModelName": "model",
    "ServerlessConfig": {"MemorySizeInMB": 3072, "MaxConcurrency": 1},
}


@pytest.fixture
def sagemaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalSageMaker:
    """Inside a run, as it were: CreateEndpoint starts no process there."""
    monkeypatch.setenv(MARK, "execution")
    service = connect(str(tmp_path))
    service.storage.put_bytes(DATA, b"archive")
    return service


@pytest.fixture
def configured(sagemaker: LocalSageMaker) -> LocalSageMaker:
    sagemaker.create_model(ModelName="model", PrimaryContainer=CONTAINER)
    sagemaker.create_endpoint_config(EndpointConfigName="config", ProductionVariants=[VARIANT])
    return sagemaker


def refused(code: str, match: str = ".") -> Any:
    return pytest.raises(ServiceError, match=match, check=lambda exc: exc.code == code)


def packaged(service: LocalSageMaker, status: str) -> str:
    service.create_model_package_group(ModelPackageGroupName="group")
    container = {**CONTAINER, "Environment": {"A": "package", "B": "package"}}
    answer = service.create_model_package(
        ModelPackageGroupName="group",
        InferenceSpecification={"Containers": [container]},
        ModelApprovalStatus=status,
    )
    return str(answer["ModelPackageArn"])


def test_a_model_is_described_as_it_was_asked_for(configured: LocalSageMaker) -> None:
    model = configured.describe_model(ModelName="model")
    assert model["PrimaryContainer"] == CONTAINER
    assert model["ModelArn"].endswith(":model/model")
    assert "containers" not in model


def test_a_model_from_an_approved_package_takes_image_and_archive_from_it(sagemaker: LocalSageMaker) -> None:
    arn = packaged(sagemaker, "Approved")
    sagemaker.create_model(ModelName="m", PrimaryContainer={"ModelPackageName": arn, "Environment": {"B": "model"}})
    [container] = sagemaker.store.get("model", "m").body["containers"]
    assert container == {**CONTAINER, "Environment": {"A": "package", "B": "model"}}


@pytest.mark.parametrize("status", ["PendingManualApproval", "Rejected"])
def test_a_model_from_a_package_that_is_not_approved_is_refused(sagemaker: LocalSageMaker, status: str) -> None:
    arn = packaged(sagemaker, status)
    with refused("ValidationException", f"ModelApprovalStatus is {status}, not Approved"):
        sagemaker.create_model(ModelName="m", PrimaryContainer={"ModelPackageName": arn})


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        ({}, "PrimaryContainer or Containers"),
        ({"PrimaryContainer": CONTAINER, "Containers": [CONTAINER]}, "PrimaryContainer or Containers"),
        ({"PrimaryContainer": {"ModelDataUrl": DATA}}, "needs an Image"),
        ({"PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://bucket/none"}}, "Could not find model data at"),
        ({"PrimaryContainer": {"ModelPackageName": "none/1"}}, "model-package/none/1 does not exist"),
    ],
)
def test_a_model_that_the_service_refuses_is_refused(
    sagemaker: LocalSageMaker, request_: dict[str, Any], match: str
) -> None:
    with refused("ValidationException", match):
        sagemaker.create_model(ModelName="m", **request_)


def test_a_second_model_of_a_name_is_refused(configured: LocalSageMaker) -> None:
    with refused("ValidationException", 'Cannot create already existing model "arn:.*/model"'):
        configured.create_model(ModelName="model", PrimaryContainer=CONTAINER)


@pytest.mark.parametrize(
    ("variants", "match"),
    [
        ([], "at least one variant"),
        ([VARIANT, VARIANT], "a name of its own"),
        ([{**VARIANT, "ModelName": "none"}], 'Could not find model "arn:.*/none"'),
        ([{**SERVERLESS, "ServerlessConfig": {"MemorySizeInMB": 3000, "MaxConcurrency": 1}}], "3000 is none of 1024"),
    ],
)
def test_a_configuration_that_the_service_refuses_is_refused(
    configured: LocalSageMaker, variants: list[dict[str, Any]], match: str
) -> None:
    with refused("ValidationException", match):
        configured.create_endpoint_config(EndpointConfigName="c", ProductionVariants=variants)


def in_service(service: LocalSageMaker, config: str = "config") -> None:
    """Without a server."""
    service.create_endpoint(EndpointName="e", EndpointConfigName=config, Tags=[{"Key": "a", "Value": "b"}])
    service.store.change("endpoint", "e", {"pending": None}, status="InService")


def test_an_endpoint_in_service_shows_its_variants(configured: LocalSageMaker) -> None:
    in_service(configured)
    answer = configured.describe_endpoint(EndpointName="e")
    assert answer["EndpointStatus"] == "InService"
    [variant] = answer["ProductionVariants"]
    assert (variant["VariantName"], variant["CurrentInstanceCount"], variant["CurrentWeight"]) == ("AllTraffic", 2, 1.0)
    assert variant["DeployedImages"] == [{"SpecifiedImage": "image:1"}]
    assert configured.list_tags(ResourceArn=answer["EndpointArn"])["Tags"] == [{"Key": "a", "Value": "b"}]
    assert set(answer).isdisjoint({"variants", "revision", "Tags", "PendingDeploymentSummary", "FailureReason"})


def test_in_a_run_a_sleeping_endpoint_is_at_once_what_is_asked_for(configured: LocalSageMaker) -> None:
    configured.create_endpoint(EndpointName="e", EndpointConfigName="config")
    assert configured.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"
    configured.create_endpoint_config(EndpointConfigName="next", ProductionVariants=[VARIANT])
    configured.update_endpoint(EndpointName="e", EndpointConfigName="next")
    described = configured.describe_endpoint(EndpointName="e")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "next")
    assert "PendingDeploymentSummary" not in described


def test_an_endpoint_that_is_being_created_shows_what_is_pending(configured: LocalSageMaker) -> None:
    configured.wakes = False
    configured.create_endpoint(EndpointName="e", EndpointConfigName="config")
    assert configured.store.get("endpoint", "e").status == "Creating"
    pending = endpoint_record.described(configured.store.get("endpoint", "e"))["PendingDeploymentSummary"]
    assert pending["EndpointConfigName"] == "config"
    [variant] = pending["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (0, 2)


def test_an_endpoint_outlives_its_configuration_and_model(configured: LocalSageMaker) -> None:
    in_service(configured)
    configured.delete_endpoint_config(EndpointConfigName="config")
    configured.delete_model(ModelName="model")
    assert configured.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "config"


def test_an_update_waits_for_its_supervisor_with_the_old_configuration_in_place(configured: LocalSageMaker) -> None:
    in_service(configured)
    configured.wakes = False
    configured.create_endpoint_config(EndpointConfigName="next", ProductionVariants=[{**VARIANT, "ModelName": "model"}])
    configured.update_endpoint(EndpointName="e", EndpointConfigName="next", RetainAllVariantProperties=True)
    record = configured.store.get("endpoint", "e")
    assert (record.status, record.body["EndpointConfigName"]) == ("Updating", "config")
    assert record.body["pending"]["EndpointConfigName"] == "next"
    assert record.body["pending"]["revision"] != record.body["revision"]


def test_a_scaled_variant_keeps_its_instance_type(configured: LocalSageMaker) -> None:
    in_service(configured)
    resource = {
        "ResourceId": "endpoint/e/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling = Scaling(configured.store, configured.storage)
    scaling.register_scalable_target(ServiceNamespace="sagemaker", **resource, MinCapacity=1, MaxCapacity=3)
    larger = {**VARIANT, "InstanceType": "ml.m5.xlarge"}
    configured.create_endpoint_config(EndpointConfigName="next", ProductionVariants=[larger])
    with refused("ValidationException", "instance type of variant AllTraffic cannot change.*deregister it first"):
        configured.update_endpoint(EndpointName="e", EndpointConfigName="next")


@pytest.mark.parametrize(
    ("operation", "request_", "match"),
    [
        (
            "create_endpoint",
            {"EndpointName": "e", "EndpointConfigName": "none"},
            "Could not find endpoint configuration",
        ),
        ("update_endpoint", {"EndpointName": "e", "EndpointConfigName": "config"}, 'Could not find endpoint "arn'),
        ("describe_endpoint", {"EndpointName": "e"}, "Could not find endpoint"),
        ("delete_endpoint", {"EndpointName": "e"}, "Could not find endpoint"),
        ("describe_endpoint_config", {"EndpointConfigName": "none"}, "Could not find endpoint configuration"),
        ("describe_model", {"ModelName": "none"}, "Could not find model"),
        ("delete_model", {"ModelName": "none"}, "Could not find model"),
    ],
)
def test_what_is_not_there_is_refused_in_the_services_words(
    configured: LocalSageMaker, operation: str, request_: dict[str, Any], match: str
) -> None:
    with refused("ValidationException", match):
        getattr(configured, operation)(**request_)


def test_lists_hold_names_and_times_newest_first(configured: LocalSageMaker) -> None:
    for name in ("e-1", "e-2"):
        configured.create_endpoint(EndpointName=name, EndpointConfigName="config")
        configured.store.change("endpoint", name, {"pending": None}, status="InService")
    assert [each["EndpointName"] for each in configured.list_endpoints()["Endpoints"]] == ["e-2", "e-1"]
    assert [each["ModelName"] for each in configured.list_models()["Models"]] == ["model"]
    assert [each["EndpointConfigName"] for each in configured.list_endpoint_configs()["EndpointConfigs"]] == ["config"]
    assert configured.list_endpoints(StatusEquals="Failed")["Endpoints"] == []


def test_a_deleted_endpoint_is_gone_with_its_tags(configured: LocalSageMaker) -> None:
    in_service(configured)
    arn = configured.store.get("endpoint", "e").arn
    configured.delete_endpoint(EndpointName="e")
    assert configured.list_endpoints()["Endpoints"] == []
    assert configured.store.find("tags", arn) == []


def test_an_invocation_of_no_endpoint_is_refused(sagemaker: LocalSageMaker) -> None:
    with refused("ValidationError", "Endpoint none of account 111122223333 not found"):
        sagemaker.invoke_endpoint(EndpointName="none", Body=b"")


def test_a_body_above_the_services_limit_is_refused_before_anything_starts(configured: LocalSageMaker) -> None:
    in_service(configured)
    with refused("ValidationError", "6291457 bytes"):
        configured.invoke_endpoint(EndpointName="e", Body=bytes(6_291_457))


def test_a_serverless_endpoint_takes_less_and_stays_what_it_is(configured: LocalSageMaker) -> None:
    configured.create_endpoint_config(EndpointConfigName="serverless", ProductionVariants=[SERVERLESS])
    in_service(configured, "serverless")
    with refused("ValidationError", "4194305 bytes; endpoint e takes 4194304"):
        configured.invoke_endpoint(EndpointName="e", Body=bytes(4_194_305))
    with refused("ValidationException", "is serverless, and cannot become another kind"):
        configured.update_endpoint(EndpointName="e", EndpointConfigName="config")
