"""What the studio's pages ask of an account: each call that they make is an action that docs/studio.md names."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from registered import GROUP, PIPELINE, Registered, evaluated
from reported import ARN, at, finished_run, metadata
from reported import step as row
from studios import Hostile

from pipeline.client import Clients, Hosting
from pipeline.control.deployments import GOOD, MARK, PHASE
from pipeline.errors import DarkroomError, EndpointError, ServiceError
from pipeline.plan.making import Subject
from pipeline.plan.prices import Money
from pipeline.studio import app, endpoints, execution, model, plan, step
from pipeline.studio.asked import Asked, Wanted

DOCS = Path(__file__).parent.parent / "docs" / "studio.md"
GET, LIST, STREAMS, EVENTS = "s3:GetObject", "s3:ListBucket", "logs:DescribeLogStreams", "logs:GetLogEvents"
STORAGE = {**dict.fromkeys(("get_bytes", "blocks", "size", "exists", "tag"), GET), "list": LIST}
LOGS = {"paths": STREAMS, **dict.fromkeys(("read", "end", "after", "fresh"), EVENTS)}
ENDPOINT = {
    "EndpointName": "e",
    "EndpointArn": "arn:aws:sagemaker:us-east-1:111122223333:endpoint/e",
    "EndpointConfigName": "c",
    "EndpointStatus": "InService",
    "ProductionVariants": [{"VariantName": "v"}],
    "AsyncInferenceConfig": {"OutputConfig": {}},
}
VARIANT = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
# what is answered in place of the service: an endpoint that the deploying function has made; changes
ANSWERS: dict[str, Any] = {
    "list_endpoints": {"Endpoints": [{"EndpointName": "e", "CreationTime": at(0)}]},
    "describe_endpoint": ENDPOINT,
    "describe_endpoint_config": {"ProductionVariants": [VARIANT]},
    "describe_model": {"PrimaryContainer": {}},
    "list_tags": {"Tags": [{"Key": MARK, "Value": "c"}, {"Key": PHASE, "Value": GOOD}]},
    "describe_alarms": {"MetricAlarms": []},
    "describe_scalable_targets": {"ScalableTargets": []},
    "describe_scaling_policies": {"ScalingPolicies": []},
    "start_pipeline_execution": {"PipelineExecutionArn": ARN},
    "stop_pipeline_execution": {},
    "retry_pipeline_execution": {"PipelineExecutionArn": ARN},
    "update_model_package": {},
    "invoke_endpoint": ServiceError("ValidationError", "it is asynchronous"),
    "invoke_endpoint_async": {"OutputLocation": "s3://bucket/answer"},
}


class Recorded:
    """Notes every call as the action that it takes: `actions` by method, else the operation's own name."""

    def __init__(self, real: Any, seen: set[str], actions: dict[str, str] | None = None, service: str = "") -> None:
        self._real, self._seen = real, seen
        self._actions, self._service = actions, service

    def __getattr__(self, name: str) -> Callable[..., Any]:
        action = self._actions[name] if self._actions else f"{self._service}:{name.title().replace('_', '')}"

        def call(*given: Any, **request: Any) -> Any:
            self._seen.add(action)
            answer = ANSWERS[name] if name in ANSWERS else getattr(self._real, name)(*given, **request)
            if isinstance(answer, ServiceError):
                raise answer
            return answer

        return call


def recorded(clients: Clients, seen: set[str]) -> Clients:
    service = Recorded(clients.sagemaker, seen, service="sagemaker")
    storage, logs = Recorded(clients.storage, seen, STORAGE), Recorded(clients.logs, seen, LOGS)
    return clients._replace(sagemaker=service, runtime=service, storage=storage, logs=logs, region="us-east-1")


class Further(Hostile):
    """With a transform job, too."""

    def list_pipeline_execution_steps(self, **_: Any) -> dict[str, Any]:
        rows = super().list_pipeline_execution_steps()["PipelineExecutionSteps"]
        job = metadata("TransformJob", "transform-job", "x")
        return {"PipelineExecutionSteps": [*rows[:-1], row("Publish", "Transform", 9, 10, **job)]}

    def describe_transform_job(self, **_: Any) -> dict[str, Any]:
        return {"TransformStartTime": at(9), "TransformEndTime": at(10), "TransformResources": {}}


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    made = Registered(tmp_path_factory.mktemp("registered"))
    for accuracy in (0.9, 0.92):
        made.add(evaluated(accuracy))
    return made


def where(registered: Registered, **more: str) -> dict[str, str]:
    """Parts of addresses; `other` is an execution before."""
    rows = registered.client.list_pipeline_executions(PipelineName=PIPELINE)["PipelineExecutionSummaries"]
    newest, other = (row["PipelineExecutionArn"].rpartition("/")[2] for row in rows)
    found = {"pipeline": PIPELINE, "execution": newest, "other": other, "group": GROUP, "version": "2"}
    return {**found, "endpoint": "e", **more}


def of_registered(registered: Registered) -> set[str]:
    """Actions of all pages that only show, but for endpoints."""
    seen: set[str] = set()
    clients, path = recorded(registered.clients, seen), where(registered, step="Train")
    asked = Asked(path, {"a": path["execution"], "b": path["other"], "with": "1"})
    for view in (*app.VIEWS.values(), *(partial(view, Money) for view in app.PRICED.values())):
        with suppress(DarkroomError) if view is model.own_page else nullcontext():  # these models bring no page
            view(clients, asked)
    text = registered.client.describe_pipeline(PipelineName=PIPELINE)["PipelineDefinition"]
    wanted = Wanted(Subject(PIPELINE, text), {}, "pipeline.yaml")
    plan.of_config(lambda: nullcontext(wanted), clients, Asked())
    return seen


def of_further(folder: Path) -> set[str]:
    """Of what that pipeline has not: a tuning, a transform, an endpoint."""
    seen: set[str] = set()
    clients = recorded(finished_run(folder)._replace(sagemaker=Further(folder / "Publish.log")), seen)
    path = {"pipeline": "digits", "execution": "abc123", "step": "Tune", "endpoint": "e"}
    execution.report(Money, clients, Asked(path))
    step.view(clients, Asked(path))
    services = ("sagemaker", "application-autoscaling", "cloudwatch", "cloudwatch", "lambda")
    endpoints.one(clients, Hosting(*(Recorded(None, seen, service=each) for each in services)), Asked(path))
    return seen


def of_changes(registered: Registered) -> set[str]:
    seen: set[str] = set()
    clients, path = recorded(registered.clients, seen), where(registered)
    form = {"decision": "approve", "seen": "PendingManualApproval"}
    for act in app.ACTS.values():
        act(clients, Asked(path, form=form))
    with suppress(EndpointError):  # the answer does not come
        endpoints.predict(clients, Asked(path, body=b"a picture"), limit_s=0)
    return seen


def named(row: str) -> set[str]:
    """What docs/studio.md lists in this row of its table of actions."""
    [line] = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| {row} |")]
    return set(re.findall(r"`([a-z0-9-]+:\w+)`", line))


def test_the_pages_ask_for_what_the_docs_say_and_for_nothing_else(registered: Registered, tmp_path: Path) -> None:
    looks = of_registered(registered) | of_further(tmp_path)
    assert looks == named("to look")
    assert of_changes(registered) - looks == named("to change, with `--write`")
