"""Pages, tokens and repeated calls, over boto3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from over_http import client, refusal

from pipeline.local.operations.paging import from_token, to_token
from pipeline.local.records import Execution, StepRow
from pipeline.local.server import LoopbackServer
from pipeline.local.store import Store

ROLE = "arn:aws:iam::111122223333:role/role"
DEFINITION = {"Version": "2020-12-01", "Steps": [{"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}]}
TOKEN = "t" * 32
FIRST = 1_700_000_000.0  # seconds; a second lies between two executions


@pytest.fixture(scope="module")
def sagemaker(server: LoopbackServer) -> Any:
    return client(server, "sagemaker")


@contextmanager
def store(server: LoopbackServer) -> Iterator[Store]:
    opened = Store(server.home)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="module")
def executions(server: LoopbackServer, sagemaker: Any) -> list[str]:
    """Five that nobody runs, oldest first; clients tell times to the millisecond, so that they lie that far apart."""
    sagemaker.create_pipeline(PipelineName="paged", PipelineDefinition=json.dumps(DEFINITION), RoleArn=ROLE)
    with store(server) as opened:
        arns = [ended(opened) for _ in range(5)]
        for number, arn in enumerate(arns):
            opened.execute("UPDATE executions SET created=? WHERE arn=?", FIRST + number, arn)
    return arns


def ended(opened: Store) -> str:
    body = {"PipelineExecutionDisplayName": "d", "PipelineExecutionDescription": "", "Parameters": {}}
    execution = Execution.add(opened, "paged", 1, body)
    execution.end(opened, "Failed", "no")
    return execution.arn


def listed(sagemaker: Any, **request: Any) -> list[str]:
    pages = sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName="paged", **request)
    return [row["PipelineExecutionArn"] for page in pages for row in page["PipelineExecutionSummaries"]]


def test_executions_come_in_pages_and_in_each_order(sagemaker: Any, executions: list[str]) -> None:
    pages = {"PageSize": 2}
    assert listed(sagemaker, PaginationConfig=pages)[-5:] == executions[::-1]
    assert listed(sagemaker, SortOrder="Ascending", PaginationConfig=pages)[:5] == executions
    by_arn = listed(sagemaker, SortBy="PipelineExecutionArn", SortOrder="Ascending", PaginationConfig=pages)
    assert by_arn == sorted(by_arn)


def test_an_execution_that_starts_between_two_pages_moves_none(
    server: LoopbackServer, sagemaker: Any, executions: list[str]
) -> None:
    first = sagemaker.list_pipeline_executions(PipelineName="paged", MaxResults=2)
    with store(server) as opened:
        ended(opened)
    rest = sagemaker.list_pipeline_executions(PipelineName="paged", NextToken=first["NextToken"], MaxResults=100)
    shown = [row["PipelineExecutionArn"] for page in (first, rest) for row in page["PipelineExecutionSummaries"]]
    assert len(shown) == len(set(shown))
    assert set(executions) <= set(shown)


def test_executions_are_filtered_by_time(sagemaker: Any, executions: list[str]) -> None:
    third = sagemaker.describe_pipeline_execution(PipelineExecutionArn=executions[2])["CreationTime"]
    assert listed(sagemaker, CreatedBefore=third, SortOrder="Ascending") == executions[:2]
    assert set(executions[3:]) <= set(listed(sagemaker, CreatedAfter=third))


BY_CREATION, BY_CREATED = ("CreationTimeAfter", "CreationTimeBefore"), ("CreatedAfter", "CreatedBefore")


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.0004999, 0.0005, 0.0006, 0.9996])
@pytest.mark.parametrize(
    ("kind", "operation", "filters", "inclusive"),
    [
        ("processing-job", "list_processing_jobs", BY_CREATION, False),
        ("training-job", "list_training_jobs", BY_CREATION, False),
        ("hyper-parameter-tuning-job", "list_hyper_parameter_tuning_jobs", BY_CREATION, False),
        ("transform-job", "list_transform_jobs", BY_CREATION, False),
        ("model-package-group", "list_model_package_groups", BY_CREATION, False),
        ("model", "list_models", BY_CREATION, True),
        ("endpoint", "list_endpoints", BY_CREATION, True),
        ("endpoint-config", "list_endpoint_configs", BY_CREATION, True),
        ("pipeline", "list_pipelines", BY_CREATED, False),
    ],
)
def test_the_time_that_was_told_is_the_very_limit_of_a_filter(
    server: LoopbackServer,
    sagemaker: Any,
    kind: str,
    operation: str,
    filters: tuple[str, str],
    inclusive: bool,
    part: float,
) -> None:
    """However finely a record's time is kept: clients are told milliseconds, and send them back."""
    stem = f"{kind[:20]}-{int(part * 1e7)}-"
    names = [f"{stem}{number}" for number in range(3)]
    with store(server) as opened:
        for number, name in enumerate(names):
            body = dict.fromkeys(("PipelineDisplayName", "PipelineDescription", "RoleArn"), "x")
            opened.put(kind, name, body, "InService", f"arn:aws:sagemaker:us-east-1:111122223333:{kind}/{name}")
            opened.execute("UPDATE records SET created=? WHERE name=?", FIRST + number + part, name)
    own = {"PipelineNamePrefix" if kind == "pipeline" else "NameContains": stem[:-1]}
    list_ = partial(getattr(sagemaker, operation), **own)
    rows = rows_of(list_(SortBy="CreationTime", SortOrder="Ascending"))
    told = rows[1]["CreationTime"]
    after, before = filters
    assert [name_of(row) for row in rows] == names
    assert [name_of(row) for row in rows_of(list_(**{before: told}))] == names[:1]
    assert sorted(name_of(row) for row in rows_of(list_(**{after: told}))) == names[1 if inclusive else 2 :]


def rows_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return next(value for value in answer.values() if isinstance(value, list))


def name_of(row: dict[str, Any]) -> str:
    return str(next(value for key, value in row.items() if key.endswith("Arn"))).rpartition("/")[2]


@pytest.mark.parametrize("part", [0.0001, 0.0004999, 0.0005, 0.0006])
def test_executions_and_versions_are_filtered_by_what_was_told_of_them(
    server: LoopbackServer, sagemaker: Any, executions: list[str], part: float
) -> None:
    with store(server) as opened:
        for number, arn in enumerate(executions):
            opened.execute("UPDATE executions SET created=? WHERE arn=?", FIRST + number + part, arn)
        opened.execute("UPDATE records SET created=? WHERE kind='pipeline-version'", FIRST + part)
    third = sagemaker.describe_pipeline_execution(PipelineExecutionArn=executions[2])["CreationTime"]
    assert listed(sagemaker, CreatedBefore=third, SortOrder="Ascending") == executions[:2]
    assert executions[2] not in listed(sagemaker, CreatedAfter=third)
    for size in (1, 2):
        within = {"CreatedAfter": third.replace(year=2000), "CreatedBefore": third}
        assert listed(sagemaker, **within, PaginationConfig={"PageSize": size}) == executions[1::-1]
    [version] = sagemaker.list_pipeline_versions(PipelineName="paged")["PipelineVersionSummaries"]
    for limit in ("CreatedBefore", "CreatedAfter"):
        found = sagemaker.list_pipeline_versions(PipelineName="paged", **{limit: version["CreationTime"]})
        assert found["PipelineVersionSummaries"] == []


def test_pipelines_come_by_name_in_each_order(sagemaker: Any) -> None:
    for name in ("named-b", "named-a", "named-c"):
        sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=json.dumps(DEFINITION), RoleArn=ROLE)
    for order, names in (("Ascending", ["a", "b", "c"]), ("Descending", ["c", "b", "a"])):
        rows = sagemaker.list_pipelines(PipelineNamePrefix="named", SortBy="Name", SortOrder=order)
        assert [row["PipelineName"][-1] for row in rows["PipelineSummaries"]] == names


def test_steps_that_start_between_two_pages_move_none(
    server: LoopbackServer, sagemaker: Any, executions: list[str]
) -> None:
    arn = executions[0]
    with store(server) as opened:
        execution = Execution.get(opened, arn)
        for number in range(4):
            StepRow.new(execution, f"S{number}", "Fail", number).save(opened)
        first = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, MaxResults=2)
        StepRow.new(execution, "S4", "Fail", 4).save(opened)
    rest = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, NextToken=first["NextToken"])
    shown = [row["StepName"] for page in (first, rest) for row in page["PipelineExecutionSteps"]]
    assert shown == ["S3", "S2", "S1", "S0"]


def test_a_token_counts_for_its_listing_alone(sagemaker: Any, executions: list[str]) -> None:
    token = sagemaker.list_pipeline_executions(PipelineName="paged", MaxResults=1)["NextToken"]
    for other in ({"SortOrder": "Ascending"}, {"SortBy": "PipelineExecutionArn"}):
        with refusal("ValidationException"):
            sagemaker.list_pipeline_executions(PipelineName="paged", NextToken=token, **other)
    with refusal("ValidationException"):
        sagemaker.list_models(NextToken=token)
    assert from_token({"a": 1}, to_token({"a": 1}, [1.5, "x"])) == [1.5, "x"]


@pytest.mark.parametrize(
    "operation", ["list_models", "list_endpoints", "list_training_jobs", "list_model_package_groups"]
)
@pytest.mark.parametrize("token", ["x", "é", "AAAA", "W10=", " "])
def test_a_token_that_nobody_gave_is_refused(sagemaker: Any, operation: str, token: str) -> None:
    with refusal("ValidationException"):
        getattr(sagemaker, operation)(NextToken=token)


def test_filters_that_nothing_here_can_match_find_nothing(sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="own")
    groups = sagemaker.list_model_package_groups(CrossAccountFilterOption="CrossAccount")
    assert groups["ModelPackageGroupSummaryList"] == []
    assert sagemaker.list_training_jobs(WarmPoolStatusEquals="InUse")["TrainingJobSummaries"] == []


def test_a_package_that_is_created_twice_with_one_token_is_one(sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="once")
    request = {"ModelPackageGroupName": "once", "ClientToken": TOKEN}
    arns = {sagemaker.create_model_package(**request)["ModelPackageArn"] for _ in range(2)}
    assert len(arns) == 1
    with pytest.raises(sagemaker.exceptions.ConflictException):
        sagemaker.create_model_package(**request, ModelPackageDescription="another one")


def test_an_execution_that_is_stopped_twice_with_one_token_was_stopped(server: LoopbackServer, sagemaker: Any) -> None:
    sagemaker.create_pipeline(PipelineName="stopped", PipelineDefinition=json.dumps(DEFINITION), RoleArn=ROLE)
    with store(server) as opened:
        body = {"PipelineExecutionDisplayName": "d", "PipelineExecutionDescription": "", "Parameters": {}}
        execution = Execution.add(opened, "stopped", 1, body)
        request = {"PipelineExecutionArn": execution.arn}
        assert sagemaker.stop_pipeline_execution(**request, ClientRequestToken=TOKEN)["PipelineExecutionArn"]
        execution.end(opened, "Stopped")
    assert sagemaker.stop_pipeline_execution(**request, ClientRequestToken=TOKEN)["PipelineExecutionArn"]
    with pytest.raises(sagemaker.exceptions.ConflictException):
        sagemaker.stop_pipeline_execution(**request)


def test_a_callback_that_is_answered_twice_with_one_token_was_answered(server: LoopbackServer, sagemaker: Any) -> None:
    with store(server) as opened:
        opened.add("callback", "a" * 10, {"pipelineExecutionArn": "arn"}, status="InProgress")
    request = {"CallbackToken": "a" * 10, "OutputParameters": [{"Name": "n", "Value": "v"}]}
    for _ in range(2):
        sagemaker.send_pipeline_execution_step_success(**request, ClientRequestToken=TOKEN)
    with pytest.raises(sagemaker.exceptions.ConflictException):
        sagemaker.send_pipeline_execution_step_success(**request)
