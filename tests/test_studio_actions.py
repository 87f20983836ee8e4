"""What the studio's pages do: start by a form, stop, resume, run again from a step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from local_pipelines import Local, document, processing
from reported import EVIL, Elements, nothing_came_of_it, words
from studios import SECRET, Said, Visitor, serving
from test_studio_pages import reader

from pipeline.client import Clients, local_session
from pipeline.control import executions
from pipeline.studio.security import form_token

PARAMETERS = [
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 2},
    {"Name": "Rate", "Type": "Float", "DefaultValue": 0.1},
    {"Name": "Mode", "Type": "String", "DefaultValue": "fast", "EnumValues": ["fast", "slow"]},
    {"Name": "Quiet", "Type": "Boolean", "DefaultValue": True},
    {"Name": "Word", "Type": "String"},
]
START = "/pipelines/form/start"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Local:
    made = Local(tmp_path_factory.mktemp("home"))
    made.create(document(processing("Only"), parameters=PARAMETERS), "form")
    made.client.update_pipeline(PipelineName="form", PipelineDescription=f"Parameters: Epochs: {EVIL}; Rate: a share.")
    return made


@pytest.fixture(scope="module")
def visitor(local: Local) -> Iterator[Visitor]:
    with serving(partial(local_session, local.home)) as found:
        yield found


def started(local: Local, pipeline: str = "form") -> list[str]:
    rows = local.client.list_pipeline_executions(PipelineName=pipeline)["PipelineExecutionSummaries"]
    return [row["PipelineExecutionArn"] for row in rows]


def arn_of(said: Said, pipeline: str = "form") -> str:
    assert said.status == 303, words(said.text)
    identifier = said.headers["location"].removeprefix(f"/pipelines/{pipeline}/executions/")
    return f"arn:aws:sagemaker:us-east-1:111122223333:pipeline/{pipeline}/execution/{identifier}"


def fields(html: str) -> dict[str, list[str | None]]:
    """Name of each control → its value, or the choices of a select, the chosen one first."""
    found: dict[str, list[str | None]] = {}
    for tag, attributes, inner in re.findall(r"<(input|select)([^>]*)>(.*?)(?=<input|<select|</form)", html, re.DOTALL):
        given = dict(Elements(f"<x{attributes}>").attributes)
        name = str(given["name"])
        chosen = re.findall("<option[^>]* selected>([^<]*)", inner)
        found[name] = [given["value"]] if tag == "input" else [*chosen, *re.findall("<option>([^<]*)", inner)]
    return found


def forms(html: str) -> list[str | None]:
    """Where what this page does is sent."""
    return [value for name, value in Elements(html).attributes if name == "action"]


def given(local: Local, arn: str) -> dict[str, Any]:
    rows = local.client.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)["PipelineParameters"]
    return {row["Name"]: row["Value"] for row in rows}


def test_a_form_has_what_the_definition_declares(visitor: Visitor) -> None:
    html = visitor.get(START).text
    found = fields(html)
    assert found["parameter.Epochs"] == ["2"] and found["parameter.Rate"] == ["0.1"]
    assert found["parameter.Mode"] == ["fast", "slow"] and found["parameter.Quiet"] == ["true", "false"]
    assert found["parameter.Word"] == [""] and found["token"] == [form_token(SECRET)]
    assert "Integer, by default 2" in words(html) and "String, without a default" in words(html)
    assert f"Epochs {EVIL} Integer" in words(html) and "Rate a share Float" in words(html)


def test_a_start_has_what_was_entered_and_leads_to_its_page(visitor: Visitor, local: Local) -> None:
    entered = {"parameter__Epochs": " 3 ", "parameter__Mode": "slow", "parameter__Word": EVIL, "parameter__Rate": ""}
    arn = arn_of(visitor.send(START, parameter__Quiet="true", **entered))
    assert given(local, arn) == {"Epochs": "3", "Rate": "0.1", "Mode": "slow", "Quiet": "true", "Word": EVIL}
    assert local.wait(arn)["PipelineExecutionStatus"] == "Succeeded"


def test_all_that_is_wrong_is_told_beside_its_field_and_nothing_is_started(visitor: Visitor, local: Local) -> None:
    before = started(local)
    entered = {"parameter__Epochs": EVIL, "parameter__Rate": "0,1", "parameter__Mode": "fats", "parameter__Word": ""}
    said = visitor.send(START, **entered)
    assert said.status == 422 and started(local) == before
    told = re.findall('<strong class="bad">(.*?)</strong>', said.text)
    assert len(told) == 4
    assert "write 3" in told[0] and "write 0.9" in told[1] and "did you mean &#39;fast&#39;" in told[2]
    assert "needs a value" in told[3]
    assert fields(said.text)["parameter.Mode"] == ["fats", "fast", "slow"]  # and not another one in its place
    assert fields(said.text)["parameter.Epochs"] == [EVIL] and nothing_came_of_it(said.text)
    assert said.text.count('aria-invalid="true"') == 4


def test_a_value_that_the_definition_cannot_take_is_told_before_the_service_does(
    visitor: Visitor, local: Local
) -> None:
    step = processing("Only")
    step["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = {"Get": "Parameters.Count"}
    parameters = [{"Name": "Count", "Type": "Integer", "DefaultValue": 1}]
    local.create(document(step, parameters=parameters), "bounds")
    said = visitor.send("/pipelines/bounds/start", parameter__Count="0")
    assert said.status == 422 and "InstanceCount" in words(said.text) and started(local, "bounds") == []


class _Sdk:
    """Tells values as they were sent, as AWS does: the SageMaker SDK sends True and False."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def list_pipeline_parameters_for_execution(self, **_: Any) -> dict[str, Any]:
        return {"PipelineParameters": [{"Name": "Quiet", "Value": "False"}, {"Name": "Mode", "Value": "slower"}]}


@contextmanager
def _sdk(local: Local) -> Iterator[Clients]:
    with local_session(local.home) as clients:
        yield clients._replace(sagemaker=_Sdk(clients.sagemaker))


def test_one_like_another_changes_no_value_by_itself(local: Local) -> None:
    arn = local.run(document(processing("Only"), parameters=PARAMETERS[2:4]), name="sdk")["PipelineExecutionArn"]
    like = executions.identifier(arn)
    with serving(partial(_sdk, local)) as visitor:
        found = fields(visitor.get(f"/pipelines/sdk/start?like={like}").text)
        assert found["parameter.Quiet"] == ["false", "true"]
        assert found["parameter.Mode"] == ["slower", "fast", "slow"]  # which the check refuses
        entered = {name.replace(".", "__"): str(values[0]) for name, values in found.items()}
        assert visitor.send("/pipelines/sdk/start", **entered).status == 422
        again = arn_of(visitor.send("/pipelines/sdk/start", **{**entered, "parameter__Mode": "slow"}), "sdk")
    assert given(local, again) == {"Mode": "slow", "Quiet": "false"}
    local.wait(again)


def test_a_parameter_may_be_empty_by_default(visitor: Visitor, local: Local) -> None:
    local.create(
        document(processing("Only"), parameters=[{"Name": "Tag", "Type": "String", "DefaultValue": ""}]), "tag"
    )
    assert "String, by default empty" in words(visitor.get("/pipelines/tag/start").text)
    assert given(local, arn_of(visitor.send("/pipelines/tag/start", parameter__Tag=""), "tag")) == {"Tag": ""}


def test_a_form_that_is_sent_twice_starts_once(visitor: Visitor, local: Local) -> None:
    (once,), before = fields(visitor.get(START).text)["once"], started(local)
    first, second = (arn_of(visitor.send(START, parameter__Word="a", once=str(once))) for _ in range(2))
    assert first == second and started(local) == [first, *before]
    local.wait(first)


def test_one_that_runs_is_stopped_and_one_that_stopped_is_resumed(
    visitor: Visitor, local: Local, tmp_path: Path
) -> None:
    arn = local.start(document(processing("Gate", "await", str(tmp_path / "gate"))), name="gate")
    page = f"/pipelines/gate/executions/{arn.rpartition('/')[2]}"
    local.wait_for_step(arn, "Gate")
    assert forms(visitor.get(page).text) == [f"{page}/stop"]
    assert arn_of(visitor.send(f"{page}/stop"), "gate") == arn
    assert local.wait(arn)["PipelineExecutionStatus"] == "Stopped"
    (tmp_path / "gate").touch()
    assert forms(visitor.get(page).text) == [f"{page}/resume"]
    assert arn_of(visitor.send(f"{page}/resume"), "gate") == arn
    assert local.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert forms(visitor.get(page).text) == []
    said = visitor.send(f"{page}/stop")
    assert said.status == 400 and "Succeeded" in words(said.text)


@pytest.fixture(scope="module")
def failed(local: Local) -> str:
    """ARN of an execution whose second step of two failed."""
    first = processing("First", "write", "/opt/ml/processing/output/out/a", "1", outputs=["out"])
    return str(local.run(document(first, reader(), parameters=PARAMETERS[:1]), name="again")["PipelineExecutionArn"])


def test_a_step_is_run_again_with_what_the_execution_has(visitor: Visitor, local: Local, failed: str) -> None:
    page = f"/pipelines/again/executions/{executions.identifier(failed)}/steps/Second"
    (place,) = [
        str(value) for name, value in Elements(visitor.get(page).text).attributes if "from=Second" in str(value)
    ]
    html = visitor.get(place).text
    assert "It runs Second." in words(html)
    (like,), (step,) = (fields(html)[name] for name in ("like", "from"))
    arn = arn_of(visitor.send("/pipelines/again/start", **{"like": str(like), "from": str(step)}), "again")
    local.wait(arn)
    assert {name: step["StepStatus"] for name, step in local.steps(arn).items()} == {"Second": "Failed"}
    assert given(local, arn) == {"Epochs": "2"}


def test_a_step_that_would_lack_something_is_not_run_again(visitor: Visitor, local: Local, failed: str) -> None:
    third = processing("Third", "say", {"Std:Join": {"On": "", "Values": [{"Get": "Steps.Second.ProcessingJobName"}]}})
    arn = local.run(document(*_steps(local, failed), third), name="lacking")["PipelineExecutionArn"]
    said = visitor.send("/pipelines/lacking/start", **{"like": executions.identifier(arn), "from": "Third"})
    assert said.status == 422 and "Third needs what Second did not bring about" in words(said.text)


def _steps(local: Local, arn: str) -> list[dict[str, Any]]:
    text = local.client.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)["PipelineDefinition"]
    return list(json.loads(text)["Steps"])


def test_a_form_without_the_token_does_nothing(visitor: Visitor, local: Local) -> None:
    before = started(local)
    assert visitor.send(START, parameter__Word="a", token="").status == 403
    assert visitor.send(START, parameter__Word="a", token=SECRET).status == 403
    assert visitor.send(START, parameter__Word="a" * (1 << 20)).status == 413
    assert visitor.ask("POST", START, b"\xff%zz=&&&", Origin=visitor.url).status == 403
    assert started(local) == before


def test_pages_that_only_show_have_no_buttons_and_do_nothing(local: Local, failed: str) -> None:
    before, place = started(local, "again"), f"/pipelines/again/executions/{executions.identifier(failed)}"
    with serving(partial(local_session, local.home), writes=False) as visitor:
        for path in ("/pipelines/again", place, f"{place}/steps/Second"):
            html = visitor.get(path).text
            assert 'method="post"' not in html and "/start" not in html and form_token(SECRET) not in html
        assert visitor.get("/pipelines/again/start").status == 403
        for path in ("/pipelines/again/start", f"{place}/stop", f"{place}/resume", "/models/digits/1/decide"):
            said = visitor.send(path, decision="approve", seen="PendingManualApproval")
            assert said.status == 403 and "--write" in words(said.text), path
    assert started(local, "again") == before
    assert local.wait(failed)["PipelineExecutionStatus"] == "Failed"
