"""The studio's pages of endpoints: traffic, scaling, and what a model says of a picture."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hosted import deploy, remove
from reported import EVIL, Elements, finished_run, step, words
from studios import EXECUTION, SECRET, Hostile, Said, Visitor, links, serving
from test_cli_deploy import SURE

from pipeline.client import Clients, Hosting, hosting_session, local_hosting, local_session
from pipeline.control.deployments import GOOD, MARK, PHASE
from pipeline.errors import EndpointError, ServiceError
from pipeline.local.images import register_image
from pipeline.local.store import connections
from pipeline.studio.asked import Asked
from pipeline.studio.endpoints import LARGEST_PICTURE, LONGEST_S, predict
from pipeline.studio.security import form_token

OWL = "/endpoints/owls"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With an endpoint whose model takes all for an evil class, and one that has no model."""
    folder = tmp_path_factory.mktemp("endpoints")
    (folder / "server.py").write_text(SURE.replace('"class": "7"', f'"class": {EVIL!r}'))
    hosting = local_hosting(str(folder / "home"))
    register_image(hosting.sagemaker.store, "stub*", ["env", sys.executable, str(folder / "server.py")])
    deploy(hosting.sagemaker, "0.75", "owls", InitialInstanceCount=2, InstanceType="ml.m5.large")
    resource = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/owls/variant/owls"}
    dimension = {**resource, "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    hosting.scaling.register_scalable_target(**dimension, MinCapacity=1, MaxCapacity=3)
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    tracking = {"TargetValue": 10.0, "PredefinedMetricSpecification": metric, "ScaleOutCooldown": 30}
    hosting.scaling.put_scaling_policy(
        **dimension,
        PolicyName="calls",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=tracking,
    )
    yield hosting.sagemaker.home
    remove(hosting.sagemaker, "owls")


@pytest.fixture(scope="module")
def visitor(home: str) -> Iterator[Visitor]:
    with serving(partial(local_session, home), partial(hosting_session, home)) as found:
        yield found


def ask(visitor: Visitor, body: bytes, path: str = f"{OWL}/predict", token: str = form_token(SECRET)) -> Said:
    return visitor.ask("POST", path, body, Origin=visitor.url, X_Studio_Token=token)


def test_endpoints_lead_to_their_pages(visitor: Visitor) -> None:
    html = visitor.get("/endpoints").text
    assert "owls InService" in words(html)
    assert OWL in [value for name, value in Elements(html).attributes if name == "href"]


def test_the_step_that_deployed_leads_to_its_endpoint(tmp_path: Path) -> None:
    class Deployed(Hostile):
        def list_pipeline_execution_steps(self, **_: Any) -> dict[str, Any]:
            told = {"OutputParameters": [{"Name": "endpoint_name", "Value": EVIL}]}
            return {"PipelineExecutionSteps": [step("Publish", "Lambda", 0, 1, Metadata={"Lambda": told})]}

    clients = finished_run(tmp_path)._replace(sagemaker=Deployed(tmp_path / "Publish.log"))
    with serving(lambda: nullcontext(clients)) as visitor:
        assert f"/endpoints/{quote(EVIL, safe='')}" in links(visitor.page(f"{EXECUTION}/steps/Publish"))


def test_an_endpoint_has_its_traffic_and_scaling(visitor: Visitor) -> None:
    told = words(visitor.get(OWL).text)
    assert "what answers variant weight instances now owls owls 1 2 " in told
    tracked = "SageMakerVariantInvocationsPerInstance is kept at 10, out after 30 s"
    assert f"owls: 1 to 3 instances; {tracked}" in told
    assert visitor.get("/endpoints/none").status == 404


class Failing:
    """A service whose endpoints have all failed."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def describe_endpoint(self, **request: Any) -> dict[str, Any]:
        return {**self._service.describe_endpoint(**request), "EndpointStatus": "Failed", "FailureReason": EVIL}


def test_why_an_endpoint_failed_is_told(home: str) -> None:
    @contextmanager
    def failing() -> Iterator[Hosting]:
        with hosting_session(home) as hosting:
            yield hosting._replace(sagemaker=Failing(hosting.sagemaker))

    with serving(partial(local_session, home), failing) as visitor:
        assert f"owls Failed serves owls {EVIL}" in words(visitor.page(OWL))


@pytest.mark.parametrize(
    ("denied", "part"),
    [("list_tags", "deployment"), ("describe_alarms", "alarms"), ("describe_scalable_targets", "scaling")],
)
def test_what_may_not_be_looked_at_is_a_gap_of_the_page(home: str, denied: str, part: str) -> None:
    @contextmanager
    def hosting() -> Iterator[Hosting]:
        with hosting_session(home) as real:
            sagemaker, alarms, scaling = (Closed(each, denied) for each in (real.sagemaker, real.alarms, real.scaling))
            yield real._replace(sagemaker=sagemaker, alarms=alarms, scaling=scaling)

    with serving(partial(local_session, home), hosting) as visitor:
        told = words(visitor.page(OWL))
    assert f"Not known {part} not allowed to {denied} add to the policy: {denied}" in told
    assert "variant weight instances now owls owls 1 2 " in told


class Closed:
    """One service, which denies one operation; its endpoints are deployed by the function, as their tags say."""

    def __init__(self, service: Any, denied: str) -> None:
        self._service, self._denied = service, denied

    def __getattr__(self, name: str) -> Any:
        if name == self._denied:
            return self._refuse
        return self._tags if name == "list_tags" else getattr(self._service, name)

    def _refuse(self, **_: Any) -> None:
        hint = f"add to the policy: {self._denied}"
        raise ServiceError("AccessDenied", f"not allowed to {self._denied}", hint=hint)

    def _tags(self, **_: Any) -> dict[str, Any]:
        return {"Tags": [{"Key": MARK, "Value": "owls"}, {"Key": PHASE, "Value": GOOD}]}


def test_a_picture_gets_what_the_model_says_of_it(visitor: Visitor) -> None:
    said = ask(visitor, b"a picture")
    assert (said.status, said.headers["content-type"]) == (200, "application/json")
    assert json.loads(said.text) == {"class": EVIL, "probability": 0.75}


def test_what_cannot_be_asked_says_why(visitor: Visitor) -> None:
    said = ask(visitor, b"a picture", "/endpoints/none/predict")
    assert said.status == 400 and "none" in json.loads(said.text)["error"]
    assert ask(visitor, b"x" * (LARGEST_PICTURE + 1)).status == 413


def test_an_asynchronous_answer_is_not_waited_for_longer_than_a_browser_does() -> None:
    runtime: Any = Asynchronous()
    clients = Clients(runtime, runtime, runtime, "", pause=lambda _: None)
    with pytest.raises(EndpointError, match="'owls' has not answered after 0 s"):
        predict(clients, Asked({"endpoint": "owls"}, body=b"a picture"), limit_s=0)
    assert LONGEST_S < 300


class Asynchronous:
    """An endpoint that answers into S3, and never does."""

    def invoke_endpoint(self, **_: Any) -> None:
        raise ServiceError("ValidationError", "it is asynchronous")

    def describe_endpoint(self, **_: Any) -> dict[str, Any]:
        return {"AsyncInferenceConfig": {"OutputConfig": {}}}

    def invoke_endpoint_async(self, **_: Any) -> dict[str, str]:
        return {"OutputLocation": "s3://bucket/answer"}

    def exists(self, _: str) -> bool:
        return False


@pytest.mark.parametrize("token", ("", SECRET, "ü"))
def test_nothing_is_asked_without_the_token(visitor: Visitor, token: str) -> None:
    assert ask(visitor, b"a picture", token=token).status == 403


def test_pages_that_only_show_ask_nothing(home: str) -> None:
    with serving(partial(local_session, home), partial(hosting_session, home), writes=False) as visitor:
        html = visitor.get(OWL).text
        assert "data-predict" not in html and "Traffic" in words(html)
        assert ask(visitor, b"a picture").status == 403


def test_pages_of_endpoints_leave_nothing_open(home: str, visitor: Visitor) -> None:
    visitor.get(OWL)
    before = connections()
    for _ in range(3):
        visitor.get(OWL)
        visitor.get("/endpoints")
    assert connections() == before
