"""The model registry: versions, approval, lists, tags."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session

from pipeline.errors import ServiceError
from pipeline.local.operations import requests
from pipeline.local.operations.registry import Registry
from pipeline.local.service import LocalSageMaker, connect
from pipeline.local.storage import Storage
from pipeline.local.store import Store

GROUP = "digits"
ARN = "arn:aws:sagemaker:us-east-1:111122223333:model-package/digits"


@pytest.fixture
def sagemaker(tmp_path: Path) -> LocalSageMaker:
    service = connect(str(tmp_path))
    service.create_model_package_group(ModelPackageGroupName=GROUP, ModelPackageGroupDescription="numbers")
    return service


def register(service: LocalSageMaker, **request: Any) -> str:
    return str(service.create_model_package(ModelPackageGroupName=GROUP, **request)["ModelPackageArn"])


def refused(code: str, match: str = ".") -> Any:
    return pytest.raises(ServiceError, match=match, check=lambda exc: exc.code == code)


def test_every_member_that_an_operation_takes_is_one_that_botocore_knows() -> None:
    models = [get_session().get_service_model(name) for name in ("sagemaker", "sagemaker-runtime")]
    for operation in requests._MEMBERS:
        model = next(each for each in models if operation in each.operation_names)
        shape = model.operation_model(operation).input_shape
        assert set(requests.names(operation)) <= set(shape.members), operation
        assert set(requests.required(operation)) == set(shape.required_members), operation


def test_families_of_operations_do_not_hide_each_others_methods() -> None:
    seen: dict[str, str] = {}
    for family in LocalSageMaker.__mro__[1:-1]:
        for name in vars(family):
            if not name.startswith("__"):
                assert name not in seen, f"{name}: {seen.get(name)} and {family.__name__}"
                seen[name] = family.__name__


def test_versions_count_up_in_their_group(sagemaker: LocalSageMaker) -> None:
    assert [register(sagemaker), register(sagemaker)] == [f"{ARN}/1", f"{ARN}/2"]


def test_the_version_of_a_deleted_package_never_comes_again(sagemaker: LocalSageMaker) -> None:
    sagemaker.delete_model_package(ModelPackageName=register(sagemaker))
    assert register(sagemaker) == f"{ARN}/2"


def test_versions_stay_unique_when_two_stores_register_in_turns(sagemaker: LocalSageMaker) -> None:
    other = Registry(Store(sagemaker.home), Storage(sagemaker.home))
    arns = [register(sagemaker), other.create_model_package(ModelPackageGroupName=GROUP)["ModelPackageArn"]]
    assert len(set(arns)) == 2


def test_a_description_holds_the_request_and_what_the_service_adds(sagemaker: LocalSageMaker) -> None:
    inference = {"Containers": [{"Image": "image:1"}]}
    arn = register(sagemaker, InferenceSpecification=inference, ModelPackageDescription="first")
    body = sagemaker.describe_model_package(ModelPackageName=arn)
    assert body["ModelPackageVersion"] == 1
    assert body["ModelPackageStatus"] == "Completed"
    assert body["ModelApprovalStatus"] == "PendingManualApproval"
    assert body["InferenceSpecification"] == inference
    assert body["ModelPackageDescription"] == "first"
    assert abs(body["CreationTime"] - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_package_is_found_by_arn_and_by_name(sagemaker: LocalSageMaker) -> None:
    arn = register(sagemaker)
    assert sagemaker.describe_model_package(ModelPackageName="digits/1")["ModelPackageArn"] == arn


def test_approval_is_recorded_with_its_description(sagemaker: LocalSageMaker) -> None:
    arn = register(sagemaker)
    sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="looks right"
    )
    body = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (body["ModelApprovalStatus"], body["ApprovalDescription"]) == ("Approved", "looks right")
    assert body["LastModifiedTime"] >= body["CreationTime"]


def test_metadata_is_merged_and_removed_by_key(sagemaker: LocalSageMaker) -> None:
    arn = register(sagemaker, CustomerMetadataProperties={"a": "1", "b": "2"})
    sagemaker.update_model_package(
        ModelPackageArn=arn, CustomerMetadataProperties={"c": "3"}, CustomerMetadataPropertiesToRemove=["a"]
    )
    body = sagemaker.describe_model_package(ModelPackageName=arn)
    assert body["CustomerMetadataProperties"] == {"b": "2", "c": "3"}


def test_a_fifty_first_metadata_entry_is_refused(sagemaker: LocalSageMaker) -> None:
    arn = register(sagemaker, CustomerMetadataProperties={str(n): "x" for n in range(50)})
    with refused("ValidationException", "51 entries"):
        sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"one more": "x"})


@pytest.mark.parametrize("status", ["approved", "", None])
def test_an_unknown_approval_status_is_refused(sagemaker: LocalSageMaker, status: Any) -> None:
    with refused("ValidationException", "Approved, Rejected, PendingManualApproval"):
        register(sagemaker, ModelApprovalStatus=status)


def test_a_list_is_filtered_by_approval_and_sorted_newest_first(sagemaker: LocalSageMaker) -> None:
    arns = [register(sagemaker) for _ in range(3)]
    sagemaker.update_model_package(ModelPackageArn=arns[0], ModelApprovalStatus="Approved")
    approved = sagemaker.list_model_packages(ModelPackageGroupName=GROUP, ModelApprovalStatus="Approved")
    newest = sagemaker.list_model_packages(ModelPackageGroupName=GROUP, SortOrder="Descending", MaxResults=1)
    assert [each["ModelPackageArn"] for each in approved["ModelPackageSummaryList"]] == arns[:1]
    assert [each["ModelPackageArn"] for each in newest["ModelPackageSummaryList"]] == arns[2:]


def test_pages_hold_everything_once_though_packages_come_and_go_meanwhile(sagemaker: LocalSageMaker) -> None:
    arns = [register(sagemaker) for _ in range(5)]
    seen, token = [], {}
    for _ in range(3):
        page = sagemaker.list_model_packages(ModelPackageGroupName=GROUP, MaxResults=2, SortOrder="Descending", **token)
        seen += [each["ModelPackageArn"] for each in page["ModelPackageSummaryList"]]
        register(sagemaker)
        sagemaker.delete_model_package(ModelPackageName=seen[-1])
        token = {"NextToken": page["NextToken"]} if "NextToken" in page else {}
    assert seen == arns[::-1]


def test_a_foreign_token_is_refused(sagemaker: LocalSageMaker) -> None:
    for token in ("x", "bm9uc2Vuc2U=", "é", 7):
        with refused("ValidationException", "NextToken"):
            sagemaker.list_model_packages(ModelPackageGroupName=GROUP, NextToken=token)


def test_packages_without_a_group_are_listed_apart(sagemaker: LocalSageMaker) -> None:
    register(sagemaker)
    sagemaker.create_model_package(ModelPackageName="alone", Tags=[{"Key": "a", "Value": "b"}])
    assert [each["ModelPackageName"] for each in sagemaker.list_model_packages()["ModelPackageSummaryList"]] == [
        "alone"
    ]
    assert len(sagemaker.list_model_packages(ModelPackageType="Both")["ModelPackageSummaryList"]) == 2


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        ({"ModelPackageGroupName": "none"}, "model-package-group/none does not exist"),
        ({"ModelPackageGroupName": GROUP, "ModelPackageName": "a"}, "Cannot determine which one to use"),
        ({}, "Missing ARN"),
        ({"ModelPackageGroupName": GROUP, "Tags": [{"Key": "a", "Value": "b"}]}, "put tags on the group"),
        ({"ModelPackageGroupName": GROUP, "CertifyForMarketplace": True}, "CertifyForMarketplace"),
    ],
)
def test_a_package_that_the_service_refuses_is_refused(
    sagemaker: LocalSageMaker, request_: dict[str, Any], match: str
) -> None:
    with refused("ValidationException", match):
        sagemaker.create_model_package(**request_)


def test_missing_and_unknown_members_are_named_together(sagemaker: LocalSageMaker) -> None:
    with refused("ParamValidationError", 'Missing .*"ModelPackageArn"(.|\n)*Unknown .*"Approval"'):
        sagemaker.update_model_package(Approval="Approved")


def test_a_group_with_packages_is_not_deleted(sagemaker: LocalSageMaker) -> None:
    arn = register(sagemaker)
    with refused("ConflictException", "holds 1 model packages"):
        sagemaker.delete_model_package_group(ModelPackageGroupName=GROUP)
    sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName=GROUP)
    with refused("ValidationException", "does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=GROUP)


def test_a_second_group_of_a_name_is_refused(sagemaker: LocalSageMaker) -> None:
    with refused("ValidationException", "already exists"):
        sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)


def test_groups_are_listed_and_described(sagemaker: LocalSageMaker) -> None:
    [group] = sagemaker.list_model_package_groups(NameContains="dig")["ModelPackageGroupSummaryList"]
    described = sagemaker.describe_model_package_group(ModelPackageGroupName=group["ModelPackageGroupArn"])
    assert (described["ModelPackageGroupDescription"], described["ModelPackageGroupStatus"]) == ("numbers", "Completed")


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".", "-a", "a b", "a\n", "é", "a" * 257, 3])
def test_a_name_that_could_be_a_path_is_no_name(sagemaker: LocalSageMaker, name: Any) -> None:
    model = {"PrimaryContainer": {"Image": "i"}}
    config = {"ProductionVariants": [{"VariantName": "A", "ModelName": "m"}]}
    sagemaker.create_model(ModelName="m", **model)
    sagemaker.create_endpoint_config(EndpointConfigName="c", **config)
    for create, request in (
        (sagemaker.create_pipeline, {"PipelineName": name, "PipelineDefinition": '{"Steps": []}'}),
        (sagemaker.create_model, {"ModelName": name, **model}),
        (sagemaker.create_endpoint_config, {"EndpointConfigName": name, **config}),
        (sagemaker.create_endpoint, {"EndpointName": name, "EndpointConfigName": "c"}),
        (sagemaker.create_model_package_group, {"ModelPackageGroupName": name}),
        (sagemaker.create_model_package, {"ModelPackageName": name}),
    ):
        with refused("ValidationException"):
            create(**request)


def test_tags_are_added_listed_and_deleted(sagemaker: LocalSageMaker) -> None:
    arn = sagemaker.describe_model_package_group(ModelPackageGroupName=GROUP)["ModelPackageGroupArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    with refused("ResourceNotFound"):
        sagemaker.list_tags(ResourceArn="arn:aws:sagemaker:us-east-1:111122223333:model/none")
