"""`darkroom plan`: here and over boto3, for people, programs and pull requests; it writes nothing but its -o FILE."""

from __future__ import annotations

import copy
import html
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_account import AWS, Account, account, command
from compilations import remembered
from local_pipelines import BUCKET, CODE, PROGRAM, condition, document, fail, processing

from pipeline.__main__ import main
from pipeline.cli import plan_markdown, plan_text
from pipeline.client import Clients, local_client
from pipeline.control import executions, pipelines
from pipeline.local.images import register_image
from pipeline.local.server import LoopbackServer
from pipeline.plan import planfile
from pipeline.plan.making import Plan, Subject, make
from pipeline.plan.planfile import Deployed
from pipeline.plan.prices import Money

Capture = pytest.CaptureFixture[str]
READS_ONLY = re.compile(r"(List|Describe|Get|Head)\w+")
NAME = "planned"


def definition(word: str = "one") -> dict[str, Any]:
    """One step below another, and a gate that a parameter opens."""
    first = processing("First", "say", word, outputs=["data"], cache=True)
    second = processing("Second", "say", "two", cache=True)
    data = {"Get": "Steps.First.ProcessingOutputConfig.Outputs['data'].S3Output.S3Uri"}
    s3 = {"S3Uri": data, "LocalPath": "/opt/ml/processing/input/d", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    second["Arguments"]["ProcessingInputs"].append({"InputName": "d", "AppManaged": False, "S3Input": s3})
    first["Arguments"]["AppSpecification"]["ContainerArguments"] += ["write", "/opt/ml/processing/output/data/x", "x"]
    open_ = {"Type": "Equals", "LeftValue": {"Get": "Parameters.Open"}, "RightValue": "yes"}
    gate = condition(
        "Gate", [open_], [processing("Good", "say", "good")], [fail("Bad", "closed")], DependsOn=["Second"]
    )
    parameters = [{"Name": "Open", "Type": "String", "DefaultValue": "yes", "EnumValues": ["yes", "no"]}]
    return document(first, second, gate, parameters=parameters)


def executed(clients: Clients, name: str = NAME) -> None:
    register_image(clients.sagemaker.store, "*pytorch*", [sys.executable])
    clients.storage.put_bytes(f"{CODE}step.py", PROGRAM.encode())
    text = json.dumps(definition())
    pipelines.upsert(clients, name, text)
    arn = pipelines.start(clients, name, text, {})
    ended = executions.wait(clients, arn, lambda execution, steps: None)
    assert ended["PipelineExecutionStatus"] == "Succeeded"


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """With one execution of the pipeline."""
    with account(server, tmp_path_factory.mktemp("account")) as made:
        executed(made.clients)
        yield made


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    """The same here, without HTTP."""
    clients = local_client(str(tmp_path_factory.mktemp("done") / "home"))
    executed(clients)
    return clients


def planned(clients: Clients, new: dict[str, Any], **given: str) -> Plan:
    return make(
        clients, Subject(NAME, json.dumps(new)), given, Money({"ml.m5.large": 0.1}, "mine", "2026"), time.time()
    )


def saved(folder: Path, new: dict[str, Any]) -> str:
    path = folder / f"{NAME}.json"
    path.write_text(json.dumps(new))
    return str(path)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a state of its own, whatever account the environment leads to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DARKROOM_HOME", raising=False)
    return tmp_path


# over boto3


def test_over_boto3_the_plan_is_the_one_that_the_service_itself_gives(
    aws: Account, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("plan", saved(tmp_path, definition("other")), "--json")
    over_http = command(capsys, *words, *AWS)
    with monkeypatch.context() as here:
        here.setenv("DARKROOM_HOME", aws.clients.home)
        assert command(capsys, *words) == over_http
    steps = {step["Step"]: step["Cache"] for step in json.loads(over_http[1])["Execution"]["Steps"]}
    assert steps == {"First": "runs", "Second": "runs", "Gate": "runs", "Good": "runs", "Bad": "skipped"}


def test_what_is_not_deployed_yet_is_priced_where_it_would_be(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    """Its images name no region."""
    words = ("plan", saved(tmp_path, definition("other")), "--name", "nowhere-yet", "--json")
    found = json.loads(command(capsys, *words, *AWS)[1])
    assert (found["Deployed"], found["Cost"]["Region"]) == (None, "us-east-1")


def test_it_only_reads(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    aws.front.begin()
    assert command(capsys, "plan", saved(tmp_path, definition("other")), *AWS)[0] == 0
    assert aws.front.calls
    assert [call for call in aws.front.calls if not READS_ONLY.fullmatch(call)] == []


def test_the_exit_code_says_whether_an_upsert_would_change_something(
    aws: Account, tmp_path: Path, capsys: Capture
) -> None:
    same, other = saved(tmp_path, definition()), saved(tmp_path, definition())
    assert command(capsys, "plan", same, "--exit-code", *AWS)[0] == 0
    other = saved(tmp_path, definition("other"))
    assert command(capsys, "plan", other, "--exit-code", *AWS)[0] == 3
    assert command(capsys, "plan", other, *AWS)[0] == 0


def test_a_plan_is_upserted_as_it_was_shown_and_then_changes_nothing(
    aws: Account, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plan = saved(tmp_path, definition("upserted")), str(tmp_path / "x.plan")
    name = ("--name", "sent")
    with monkeypatch.context() as here:
        here.setenv("DARKROOM_HOME", aws.clients.home)  # with --target aws the placeholder account is refused
        assert command(capsys, "plan", path, "-o", plan, *name)[0] == 0
        assert command(capsys, "upsert", plan)[0] == 0
        assert command(capsys, "plan", path, "--exit-code", *name)[0] == 0
        again = str(tmp_path / "again.plan")
        assert command(capsys, "plan", path, "-o", again, *name)[0] == 0
    described = aws.clients.sagemaker.describe_pipeline(PipelineName="sent")
    assert described["PipelineDefinition"] == Path(path).read_text() == planfile.read(plan).definition
    assert planfile.read(plan).deployed is None
    assert planfile.read(again).deployed == Deployed(described["PipelineArn"], 1, planfile.read(plan).sha256)


# what it says


def test_where_nothing_was_ever_done_it_leaves_nothing_behind(here: Path, capsys: Capture) -> None:
    path = saved(here, definition())
    code, out, err = command(capsys, "plan", path, "--exit-code")
    assert (code, err) == (3, "")
    assert "nothing is deployed; an upsert would create the pipeline with 5 steps" in out
    assert os.listdir(here) == [f"{NAME}.json"]


def test_a_person_reads_old_and_new_and_why(done: Clients) -> None:
    text = "\n".join(plan_text.lines(planned(done, definition("other")), 100))
    assert "planned: version 1 is deployed; an upsert would change 1 step" in text
    assert "Arguments.AppSpecification.ContainerArguments[1]: one → other" in text
    assert re.search(r"^  Second +runs .* takes what First will make$", text, re.MULTILINE)
    assert re.search(r"^  Bad +not run +Gate holds$", text, re.MULTILINE)


def test_values_of_parameters_count_for_the_next_execution(done: Clients) -> None:
    text = "\n".join(plan_text.lines(planned(done, definition(), Open="no"), 100))
    assert re.search(r"^  Bad +runs +ends the execution: closed$", text, re.MULTILINE)
    assert re.search(r"^  First +hit ", text, re.MULTILINE)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(done: Clients, width: int) -> None:
    new = definition("a rather long argument " * 12)
    new["Steps"][0]["Arguments"]["Environment"] = {"ADDRESS": f"{BUCKET}/{'folder/' * 30}"}
    lines = list(plan_text.lines(planned(done, new), width))
    assert max(map(len, lines)) <= width


def test_colours_are_for_terminals_alone_and_change_no_word(done: Clients) -> None:
    plan = planned(done, definition("other"))
    plain, coloured = ("\n".join(plan_text.lines(plan, 90, colour=colour)) for colour in (False, True))
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain != coloured


HOSTILE = "\x1b]0;x\x07</code><script>alert(1)</script> | @owner #1 [a](http://x) `b` **c** www.evil.example ~~d~~"


def test_nothing_in_a_definition_drives_the_terminal(done: Clients) -> None:
    text = "\n".join(plan_text.lines(planned(done, definition(HOSTILE)), 100))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


def test_nothing_in_a_definition_is_markup_in_a_pull_request(done: Clients) -> None:
    new = definition(HOSTILE)
    new["Steps"][0]["Arguments"]["Environment"] = {HOSTILE: HOSTILE}
    text = plan_markdown.markdown(planned(done, new))
    for mark in ("<script", "</code><", "@owner", "](", "`", "**", "www.", "http:", "~~", "\x1b"):
        assert mark not in text
    assert not re.search(r"(?<!&)#1", text)
    assert "<script>alert(1)" in html.unescape(text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {5, 6}


@pytest.mark.parametrize(
    "character", ["<", ">", "&", "|", "`", "*", "_", "[", "]", "(", "#", "@", "~", ":", "\\", "\n"]
)
def test_no_character_with_a_meaning_in_markdown_is_left(character: str) -> None:
    escaped = plan_markdown.escape(f"a{character}b")
    assert character not in escaped.replace("&#", "").replace(";", "") or character in "&#"
    assert html.unescape(escaped) == (f"a{character}b" if character != "\n" else "a�b")


def test_settings_and_bytes_count_as_changes(done: Clients) -> None:
    reordered = copy.deepcopy(definition())
    reordered["Steps"].reverse()
    other = planned(done, reordered)
    assert other.changes and other.bytes_only and not other.difference
    subject = Subject(NAME, json.dumps(definition()), role_arn="arn:aws:iam::111122223333:role/other")
    role = make(done, subject, {}, Money({}, "", ""), time.time())
    assert [field.path for field in role.difference.settings] == ["RoleArn"]
    assert not planned(done, definition()).changes


# mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "Open=maybe"), "Open cannot be 'maybe'"),
        (("--set", "Shut=yes"), "there is no parameter 'Shut'"),
        (("--prices", "none.json"), "cannot read none.json"),
        (("-o", "no/such/folder/x.plan"), "cannot write no/such/folder/x.plan"),
    ],
)
def test_mistakes_are_told(here: Path, capsys: Capture, words: tuple[str, ...], said: str) -> None:
    code, _, err = command(capsys, "plan", saved(here, definition()), *words)
    assert code == 1
    assert said in err


def test_an_invalid_definition_is_refused(here: Path, capsys: Capture) -> None:
    code, _, err = command(capsys, "plan", saved(here, document(processing("A", DependsOn=["Ghost"]))))
    assert code == 1
    assert "Ghost" in err


# pipeline.yaml

CONFIG = """
dataset: {kind: imagefolder, source: pictures}
tuning: {enabled: false}
retries: {processing: null}
prices: {ml.m5.xlarge: 0.5}
"""


def test_of_a_configuration_code_and_pictures_are_foretold_as_a_run_has_them(here: Path, capsys: Capture) -> None:
    for name in ("prepare.py", "train.py", "evaluate.py", "lambda_deploy.py", "lambda_champion.py"):
        (here / "entrypoints").mkdir(exist_ok=True)
        (here / "entrypoints" / name).write_text("raise SystemExit(3)\n")
    (here / "pipeline.yaml").write_text(CONFIG)
    (here / "pictures").mkdir()
    (here / "pictures" / "a.png").write_bytes(b"picture")
    remembered(here / "pipeline.yaml", here / ".darkroom")
    assert main(["run"]) == 1  # PrepareData fails, and nothing after it has to run
    capsys.readouterr()
    (here / "entrypoints" / "train.py").write_text("raise SystemExit(4)\n")
    assert main(["show", "--json"]) == 0
    ran = json.loads(capsys.readouterr().out)
    before = _files(here)

    assert main(["plan", "--json", "--exit-code"]) == 3
    found = json.loads(capsys.readouterr().out)

    prices = [price for step in found["Execution"]["Steps"] for price in (step["Cost"] or {}).get("Prices", [])]
    assert {(price["UsdPerHour"], price["Source"]) for price in prices} == {(0.5, "pipeline.yaml")}
    assert found["Execution"]["Parameters"]["DatasetUri"] == ran["PipelineParameters"]["DatasetUri"]
    assert [(code["Step"], code["Changed"]) for code in found["Code"]] == [("TrainModel", ["train.py"])]
    assert _files(here) == before


def _files(folder: Path) -> dict[str, float]:
    """But for SQLite's own, which whoever reads a database touches, and a runner's that is still ending."""
    found = (path for path in folder.rglob("*") if "sqlite3" not in path.name and "/server-" not in str(path))
    found = (path for path in found if path.is_file())
    return {str(path): path.stat().st_mtime for path in found}
