"""Two executions side by side, and plans, on the studio's pages."""

from __future__ import annotations

import copy
import json
import re
from argparse import Namespace
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from local_pipelines import Local
from reported import EVIL, nothing_came_of_it, words
from studios import Visitor, serving
from test_cli_plan import NAME, definition

from pipeline.cli.studio import planned
from pipeline.client import local_session
from pipeline.errors import ConfigError
from pipeline.plan.making import Subject
from pipeline.plan.prices import Money
from pipeline.studio.asked import Wanted


def changed() -> dict[str, Any]:
    """The same with another word, which is hostile."""
    found = copy.deepcopy(definition())
    found["Steps"][0]["Arguments"]["AppSpecification"]["ContainerArguments"][1] = EVIL
    return found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Local:
    return Local(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def pair(local: Local) -> tuple[str, str]:
    """Ids of an execution and of a later one, of another version and with another parameter."""
    first = local.run(definition(), name=NAME)["PipelineExecutionArn"]
    given = [{"Name": "Open", "Value": "no"}]
    second = local.run(changed(), name=NAME, PipelineParameters=given)["PipelineExecutionArn"]
    return first.rpartition("/")[2], second.rpartition("/")[2]


@pytest.fixture(scope="module")
def visitor(local: Local, pair: tuple[str, str]) -> Iterator[Visitor]:
    wanted = Wanted(Subject(NAME, json.dumps(definition("three"))), {}, "pipeline.yaml")
    money = Money({"ml.m5.large": 0.5}, "pipeline.yaml", "2026-12-01")
    planned, prices = lambda: nullcontext(wanted), lambda: money
    with serving(partial(local_session, local.home), planned=planned, money=prices) as found:
        yield found


def test_two_executions_say_what_differs_and_what_came_of_it(visitor: Visitor, pair: tuple[str, str]) -> None:
    html = visitor.page(f"/pipelines/{NAME}/compare?a={pair[1]}&b={pair[0]}")
    told = words(html)
    assert f"A {pair[1]} B {pair[0]}" in told
    assert "the execution Failed" in told
    assert "Good not run Succeeded" in told and "Bad Failed" in told
    assert "Open no yes" in told
    assert "ContainerArguments" in told and f"one → {EVIL}" in told and nothing_came_of_it(html)


def test_the_same_definition_is_told_as_such(visitor: Visitor, local: Local, pair: tuple[str, str]) -> None:
    again = local.run(changed(), name=NAME)["PipelineExecutionArn"].rpartition("/")[2]
    told = words(visitor.page(f"/pipelines/{NAME}/compare?a={again}&b={pair[1]}"))
    assert "It is the same." in told and "cache hit" in told


@pytest.mark.parametrize(
    ("query", "status", "why"),
    (
        ("", 400, "two executions are compared"),
        ("?a={0}", 400, "two executions are compared"),
        ("?a={0}&b={0}", 400, "each is named once"),
        ("?a={0}&b=nothing", 404, "nothing"),
    ),
)
def test_what_cannot_be_compared_is_said(
    visitor: Visitor, pair: tuple[str, str], query: str, status: int, why: str
) -> None:
    said = visitor.get(f"/pipelines/{NAME}/compare{query.format(pair[0])}")
    assert said.status == status and why in words(said.text)


def test_a_pipelines_page_lets_two_be_chosen(visitor: Visitor, pair: tuple[str, str]) -> None:
    html = visitor.get(f"/pipelines/{NAME}").text
    assert f'name="a" value="{pair[0]}"' in html and f'name="b" value="{pair[1]}"' in html
    assert f'action="/pipelines/{NAME}/compare"' in html and f'href="/pipelines/{NAME}/plan"' in html
    newest = re.findall(r'<a class="mono" href="[^"]*/executions/(\w+)">', html)[:2]
    chosen = re.findall(r'name="(\w)" value="(\w+)" aria-label="[^"]*" checked', html)
    assert chosen == [("a", newest[0]), ("b", newest[1])]


@pytest.mark.parametrize(
    ("path", "place"),
    [(f"/pipelines/{NAME}", "/"), (f"/pipelines/{NAME}/plan", "/"), ("/plan", "/plan"), ("/models", "/models")],
)
def test_a_page_says_where_one_is(visitor: Visitor, pair: tuple[str, str], path: str, place: str) -> None:
    assert re.findall(r'<a href="([^"]*)" aria-current="true">', visitor.page(path)) == [place]


def test_the_next_execution_is_foretold(visitor: Visitor, pair: tuple[str, str]) -> None:
    told = words(visitor.page(f"/pipelines/{NAME}/plan"))
    assert "First Processing hit" in told and "Bad Fail not run" in told
    assert "What an upsert would change" not in told


def test_a_pipelines_plan_counts_with_ones_own_prices(visitor: Visitor, pair: tuple[str, str]) -> None:
    assert "prices of us-east-1, 2026-12-01 " in words(visitor.page(f"/pipelines/{NAME}/plan"))


def test_the_plan_of_the_file_says_what_an_upsert_would_change(visitor: Visitor, pair: tuple[str, str]) -> None:
    html = visitor.page("/plan")
    told = words(html)
    assert "an upsert would change 1 step" in told
    assert f"{EVIL} → three" in told and nothing_came_of_it(html)
    assert "First Processing runs" in told
    assert 'href="/plan"' in visitor.get("/").text


def test_without_a_file_there_is_no_plan_of_it(local: Local) -> None:
    with serving(partial(local_session, local.home)) as visitor:
        assert 'href="/plan"' not in visitor.get("/").text
        said = visitor.get("/plan")
    assert said.status == 400 and "no pipeline.yaml" in words(said.text)


def test_the_command_reads_its_file_when_a_plan_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    assert planned(Namespace(config="pipeline.yaml")) is None
    (tmp_path / "pipeline.yaml").write_text("pipeline: {name: '!'}\n")
    compiled = planned(Namespace(config="pipeline.yaml"))
    assert compiled is not None
    with pytest.raises(ConfigError, match=r"pipeline\.name"), compiled():
        pass
    assert not (tmp_path / "home").exists()
