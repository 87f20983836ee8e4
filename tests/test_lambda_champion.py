"""FindChampion's handler: against the local service over HTTP, and with stubbed answers for what only AWS says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from lambda_champion import FindRefused, handler
from over_http import client

from pipeline.local.server import LoopbackServer

MARKER = "s3://b/champion/none/no-approved-model"
NOBODY = {"archive": MARKER, "model_package_arn": "none"}
ARN = "arn:aws:sagemaker:us-east-1:111122223333:model-package/owls"
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def sagemaker(server: LoopbackServer) -> Any:
    return client(server, "sagemaker")


def find(sagemaker: Any, group: str) -> dict[str, str]:
    return handler({"model_package_group": group, "without_champion": MARKER}, None, {"sagemaker": sagemaker})


def register(sagemaker: Any, group: str, *statuses: str, **container: Any) -> list[str]:
    """A package for each status, in a new group; the archive's address holds its version."""
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    arns = []
    for version, status in enumerate(statuses, start=1):
        model = container or {"ModelDataUrl": f"s3://b/{group}/{version}/model.tar.gz"}
        specification = {
            "Containers": [{"Image": "111122223333.dkr.ecr.us-east-1.amazonaws.com/serve:1", **model}],
            "SupportedContentTypes": ["image/png"],
            "SupportedResponseMIMETypes": ["application/json"],
        }
        request = {"ModelPackageGroupName": group, "ModelApprovalStatus": status}
        arns.append(sagemaker.create_model_package(InferenceSpecification=specification, **request)["ModelPackageArn"])
    return arns


def test_without_a_group_or_an_approved_package_there_is_no_champion(sagemaker: Any) -> None:
    assert find(sagemaker, "nobody") == NOBODY
    register(sagemaker, "pending", "PendingManualApproval", "Rejected")
    assert find(sagemaker, "pending") == NOBODY


def test_the_newest_approved_package_is_the_champion(sagemaker: Any) -> None:
    arns = register(sagemaker, "cats", "Approved", "Approved", "Rejected", "PendingManualApproval")
    assert find(sagemaker, "cats") == {"archive": "s3://b/cats/2/model.tar.gz", "model_package_arn": arns[1]}
    sagemaker.update_model_package(ModelPackageArn=arns[1], ModelApprovalStatus="Rejected")
    assert find(sagemaker, "cats")["model_package_arn"] == arns[0]


def test_an_old_champion_is_found_behind_more_packages_than_a_page_holds(sagemaker: Any) -> None:
    arns = register(sagemaker, "dogs", "Approved", *["Rejected"] * 101)
    assert find(sagemaker, "dogs")["model_package_arn"] == arns[0]


def test_groups_whose_names_begin_alike_stay_apart(sagemaker: Any) -> None:
    register(sagemaker, "fox-2", "Approved")
    register(sagemaker, "fox", "Rejected")
    assert find(sagemaker, "fox") == NOBODY


def test_an_archive_may_be_named_by_a_data_source(sagemaker: Any) -> None:
    source = {"S3Uri": "s3://b/own.tar.gz", "S3DataType": "S3Object", "CompressionType": "Gzip"}
    register(sagemaker, "wolves", "Approved", ModelDataSource={"S3DataSource": source})
    assert find(sagemaker, "wolves")["archive"] == "s3://b/own.tar.gz"


FILES = {"S3DataSource": {"S3Uri": "s3://b/files/", "S3DataType": "S3Prefix", "CompressionType": "None"}}


@pytest.mark.parametrize(("group", "container"), [("bees", {"Environment": {}}), ("ants", {"ModelDataSource": FILES})])
def test_a_champion_without_an_archive_is_a_champion_all_the_same(
    sagemaker: Any, capsys: pytest.CaptureFixture[str], group: str, container: dict[str, Any]
) -> None:
    arns = register(sagemaker, group, "Approved", **container)
    assert find(sagemaker, group) == {"archive": MARKER, "model_package_arn": arns[0]}
    assert f"{arns[0]}: it has no single container with an archive" in capsys.readouterr().out


REFUSED = {
    "empty": ({}, "lacks model_package_group, without_champion"),
    "group": ({"model_package_group": "a b", "without_champion": MARKER}, "model_package_group 'a b': take letters"),
    "marker": ({"model_package_group": "a", "without_champion": "/tmp/x"}, "without_champion '/tmp/x': take the s3://"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_event_that_asks_for_nothing_sensible_is_refused(sagemaker: Any, case: str) -> None:
    event, words = REFUSED[case]
    with pytest.raises(FindRefused, match=words):
        handler(event, None, {"sagemaker": sagemaker})


@pytest.fixture
def stub(server: LoopbackServer) -> Iterator[Stubber]:
    stubber = Stubber(client(server, "sagemaker"))
    with stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def summary(version: int, status: str = "Completed") -> dict[str, Any]:
    arn = f"{ARN}/{version}"
    return {"ModelPackageArn": arn, "CreationTime": NOW, "ModelPackageStatus": status, "ModelPackageVersion": version}


def test_an_empty_page_is_not_the_last_one_and_a_package_that_failed_is_no_champion(stub: Stubber) -> None:
    asked: dict[str, Any] = {"ModelPackageGroupName": "owls", "ModelApprovalStatus": "Approved"}
    asked |= {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100}
    stub.add_response("list_model_packages", {"ModelPackageSummaryList": [], "NextToken": "2"}, asked)
    page = {"ModelPackageSummaryList": [summary(9, "Failed"), summary(8)]}
    stub.add_response("list_model_packages", page, {**asked, "NextToken": "2"})
    containers = [{"Image": "i", "ModelDataUrl": "s3://b/8.tar.gz"}]
    described = {**summary(8), "InferenceSpecification": {"Containers": containers}, "ModelPackageName": "owls"}
    described["ModelPackageStatusDetails"] = {"ValidationStatuses": []}
    stub.add_response("describe_model_package", described, {"ModelPackageName": f"{ARN}/8"})
    assert find(stub.client, "owls") == {"archive": "s3://b/8.tar.gz", "model_package_arn": f"{ARN}/8"}


def test_a_refused_page_is_not_taken_for_a_group_that_is_not_there(stub: Stubber) -> None:
    """Else a gate would open because nobody looked at the rest."""
    stub.add_response("list_model_packages", {"ModelPackageSummaryList": [], "NextToken": "2"})
    stub.add_client_error("list_model_packages", "ValidationException", "the token has expired", 400)
    with pytest.raises(ClientError, match="expired"):
        find(stub.client, "owls")


def test_an_error_other_than_absence_is_not_taken_for_it(stub: Stubber) -> None:
    stub.add_client_error("list_model_packages", "AccessDeniedException", "no", 400)
    with pytest.raises(ClientError, match="AccessDenied"):
        find(stub.client, "owls")
