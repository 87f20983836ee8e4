"""Pipeline versions and their aliases in the local service, called by boto3 over HTTP."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from answers_modelled import _of
from over_http import client, refusal

from pipeline.local.records import ENDED
from pipeline.local.server import LoopbackServer
from pipeline.local.service import connect

ROLE = "arn:aws:iam::111122223333:role/role"


def text(mark: str = "") -> str:
    return json.dumps({"Version": "2020-12-01", "Metadata": {"mark": mark}, "Parameters": [], "Steps": []})


@pytest.fixture(scope="module")
def shared(server: LoopbackServer) -> Any:
    return client(server, "sagemaker")


@pytest.fixture
def sagemaker(shared: Any) -> Any:
    """With a pipeline `p` of three versions, the second of which is `live`."""
    for known in shared.list_pipelines()["PipelineSummaries"]:
        shared.delete_pipeline(PipelineName=known["PipelineName"])
    shared.create_pipeline(PipelineName="p", PipelineDefinition=text("1"), RoleArn=ROLE)
    shared.update_pipeline(PipelineName="p", PipelineDefinition=text("2"), PipelineVersionAliases=["live"])
    shared.update_pipeline(PipelineName="p", PipelineDefinition=text("3"))
    return shared


def versions(sagemaker: Any) -> list[dict[str, Any]]:
    """Oldest first."""
    return list(sagemaker.list_pipeline_versions(PipelineName="p", SortOrder="Ascending")["PipelineVersionSummaries"])


def move(sagemaker: Any, at: int, **operations: list[str]) -> None:
    """`at` counts from the oldest version."""
    chosen = versions(sagemaker)[at]
    sagemaker.update_pipeline_version(
        PipelineArn=chosen["PipelineArn"],
        PipelineVersionId=chosen["PipelineVersionId"],
        PipelineVersionAliasOperations=operations,
    )


def aliases(sagemaker: Any) -> list[list[str]]:
    return [version.get("PipelineVersionAliases", []) for version in versions(sagemaker)]


def test_an_alias_given_with_an_update_names_the_new_version(sagemaker: Any) -> None:
    assert aliases(sagemaker) == [[], ["live"], []]
    assert sagemaker.describe_pipeline(PipelineName="p", PipelineVersionAlias="live")["PipelineDefinition"] == text("2")
    assert "PipelineVersionAliases" not in sagemaker.describe_pipeline(PipelineName="p")


def test_an_alias_is_refused_where_it_stands_at_another_version_until_it_has_left_that(sagemaker: Any) -> None:
    with refusal("ConflictException"):
        move(sagemaker, 2, Add=["other", "live"])
    assert aliases(sagemaker) == [[], ["live"], []]
    move(sagemaker, 1, Remove=["live"])
    move(sagemaker, 2, Add=["live", "other"])
    assert aliases(sagemaker) == [[], [], ["live", "other"]]


def test_an_update_with_an_alias_that_is_taken_makes_no_version(sagemaker: Any) -> None:
    with pytest.raises(sagemaker.exceptions.ConflictException):
        sagemaker.update_pipeline(PipelineName="p", PipelineDefinition=text("4"), PipelineVersionAliases=["live"])
    assert len(versions(sagemaker)) == 3


def test_an_update_that_changes_no_definition_takes_no_alias(sagemaker: Any) -> None:
    with refusal("ValidationException"):
        sagemaker.update_pipeline(PipelineName="p", PipelineDefinition=text("3"), PipelineVersionAliases=["new"])
    with refusal("ValidationException"):
        sagemaker.update_pipeline(PipelineName="p", PipelineDescription="x", PipelineVersionAliases=["new"])
    assert "x" not in sagemaker.describe_pipeline(PipelineName="p")["PipelineDescription"]


@pytest.mark.parametrize("alias", ["42", "a b", "a/b", "ä"])
def test_what_is_no_alias_is_refused(sagemaker: Any, alias: str) -> None:
    with refusal("ValidationException"):
        move(sagemaker, 0, Add=[alias])


def test_a_version_has_ten_aliases_at_most(sagemaker: Any) -> None:
    move(sagemaker, 0, Add=[f"a{number}" for number in range(10)])
    with refusal("ValidationException"):
        move(sagemaker, 0, Add=["one-more"])


def test_an_alias_is_not_added_and_removed_at_once_nor_removed_where_it_is_not(sagemaker: Any) -> None:
    with refusal("ValidationException"):
        move(sagemaker, 1, Add=["live"], Remove=["live"])
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        move(sagemaker, 0, Remove=["live"])


def test_a_version_can_be_named_and_described(sagemaker: Any) -> None:
    chosen = versions(sagemaker)[1]
    named = {"PipelineVersionDisplayName": "second", "PipelineVersionDescription": "commit abc"}
    which = {"PipelineVersionId": chosen["PipelineVersionId"]}
    sagemaker.update_pipeline_version(PipelineArn=chosen["PipelineArn"], **which, **named)
    described = sagemaker.describe_pipeline(PipelineName="p", **which)
    assert {name: described[name] for name in named} == named
    assert {name: versions(sagemaker)[1][name] for name in named} == named
    assert "PipelineVersionDisplayName" not in versions(sagemaker)[0]
    with refusal("ValidationException"):
        sagemaker.update_pipeline_version(
            PipelineArn=chosen["PipelineArn"], **which, PipelineVersionDisplayName="no name"
        )


def test_a_version_or_an_alias_that_is_not_there_is_not_found(sagemaker: Any) -> None:
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.start_pipeline_execution(PipelineName="p", PipelineVersionAlias="none")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_pipeline(PipelineName="p", PipelineVersionId=99999)
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.list_pipeline_executions(PipelineName="p", PipelineVersionAlias="none")


def test_a_version_and_an_alias_together_are_refused(sagemaker: Any) -> None:
    number = versions(sagemaker)[0]["PipelineVersionId"]
    for operation in (sagemaker.describe_pipeline, sagemaker.start_pipeline_execution):
        with refusal("ValidationException"):
            operation(PipelineName="p", PipelineVersionId=number, PipelineVersionAlias="live")


def test_an_execution_is_of_the_version_that_its_alias_named_and_shows_the_aliases_of_now(sagemaker: Any) -> None:
    second = versions(sagemaker)[1]
    arn = sagemaker.start_pipeline_execution(PipelineName="p", PipelineVersionAlias="live")["PipelineExecutionArn"]
    other = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert (described["PipelineVersionId"], described["PipelineVersionAliases"]) == (
        second["PipelineVersionId"],
        ["live"],
    )
    listed = sagemaker.list_pipeline_executions(PipelineName="p", PipelineVersionAlias="live")
    assert [row["PipelineExecutionArn"] for row in listed["PipelineExecutionSummaries"]] == [arn]
    last = [version.get("LastExecutionPipelineExecutionArn") for version in versions(sagemaker)]
    assert last == [None, arn, other]
    for execution in (arn, other):
        wait(sagemaker, execution)


def wait(sagemaker: Any, execution: str) -> None:
    deadline = time.monotonic() + 30
    while sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)["PipelineExecutionStatus"] not in ENDED:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_versions_are_filtered_by_their_time_and_paged(sagemaker: Any) -> None:
    first, second, third = versions(sagemaker)
    between = {"CreatedAfter": first["CreationTime"], "CreatedBefore": third["CreationTime"]}
    found = sagemaker.list_pipeline_versions(PipelineName="p", **between)["PipelineVersionSummaries"]
    assert second["PipelineVersionId"] in [version["PipelineVersionId"] for version in found]
    pages = sagemaker.get_paginator("list_pipeline_versions").paginate(
        PipelineName="p", PaginationConfig={"PageSize": 2}
    )
    numbers = [version["PipelineVersionId"] for page in pages for version in page["PipelineVersionSummaries"]]
    assert numbers == [version["PipelineVersionId"] for version in (third, second, first)]


def test_a_repeated_creation_with_the_same_token_is_the_first_one(sagemaker: Any) -> None:
    request = {"PipelineName": "again", "PipelineDefinition": text(), "RoleArn": ROLE}
    arns = {sagemaker.create_pipeline(**request, ClientRequestToken="t" * 32)["PipelineArn"] for _ in range(2)}
    assert len(arns) == 1
    with refusal("ValidationException"):
        sagemaker.create_pipeline(**request, ClientRequestToken="u" * 32)


def test_a_repeated_deletion_with_the_same_token_is_the_first_one(sagemaker: Any) -> None:
    for _ in range(2):
        sagemaker.delete_pipeline(PipelineName="p", ClientRequestToken=f"{id(sagemaker):032x}")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.delete_pipeline(PipelineName="p")


def test_a_pipeline_made_anew_has_neither_versions_nor_aliases_of_the_old_one(sagemaker: Any) -> None:
    old = versions(sagemaker)[1]["PipelineVersionId"]
    sagemaker.delete_pipeline(PipelineName="p")
    sagemaker.create_pipeline(PipelineName="p", PipelineDefinition=text("4"), RoleArn=ROLE)
    assert aliases(sagemaker) == [[]]
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_pipeline(PipelineName="p", PipelineVersionId=old)


def test_a_definition_may_lie_in_s3(sagemaker: Any, s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="definition.json", Body=text("s3").encode())
    there = {"Bucket": "bucket", "ObjectKey": "definition.json"}
    sagemaker.update_pipeline(PipelineName="p", PipelineDefinitionS3Location=there)
    assert sagemaker.describe_pipeline(PipelineName="p")["PipelineDefinition"] == text("s3")
    with refusal("ValidationException"):
        sagemaker.update_pipeline(
            PipelineName="p", PipelineDefinitionS3Location={"Bucket": "bucket", "ObjectKey": "none"}
        )


def test_no_pipeline_is_deleted_while_it_runs(tmp_path: Path) -> None:
    started: list[str] = []

    def start_nothing(_home: str, execution: str) -> None:
        started.append(execution)

    local = connect(str(tmp_path))
    local.start_runner = start_nothing
    local.create_pipeline(PipelineName="p", PipelineDefinition=text(), RoleArn=ROLE)
    local.start_pipeline_execution(PipelineName="p")
    with pytest.raises(Exception, match=started[0]):
        local.delete_pipeline(PipelineName="p")
    assert local.describe_pipeline(PipelineName="p")


def test_a_store_of_before_aliases_is_read_and_takes_them(tmp_path: Path) -> None:
    local = connect(str(tmp_path))
    local.create_pipeline(PipelineName="p", PipelineDefinition=text(), RoleArn=ROLE)
    local.store.close()
    with sqlite3.connect(tmp_path / "store.sqlite3") as db:
        db.execute("UPDATE records SET body=json_remove(body, '$.aliases', '$.token') WHERE kind='pipeline'")
    db.close()
    arn = local.describe_pipeline(PipelineName="p")["PipelineArn"]
    local.update_pipeline_version(
        PipelineArn=arn, PipelineVersionId=1, PipelineVersionAliasOperations={"Add": ["live"]}
    )
    assert local.describe_pipeline(PipelineName="p", PipelineVersionAlias="live")["PipelineVersionAliases"] == ["live"]


def test_answers_hold_what_the_model_has(tmp_path: Path) -> None:
    local = connect(str(tmp_path))
    local.create_pipeline(PipelineName="p", PipelineDefinition=text(), RoleArn=ROLE, PipelineVersionAliases=["a", "b"])
    assert list(_of(local, "DescribePipeline", PipelineName="p")) == []
    assert list(_of(local, "ListPipelineVersions", PipelineName="p")) == []
