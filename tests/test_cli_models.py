"""`show-model`, `compare`, `approve`, `reject` as they are typed, on this machine and over boto3."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from aws_account import AWS, Account, account, command
from registered import PIPELINE, Registered, against, evaluated, manifest

from pipeline.cli.run import finish
from pipeline.control import executions
from pipeline.local.server import LoopbackServer

Capture = pytest.CaptureFixture[str]
ESCAPE = "\x1b[2J\x1b]0;owned\x07\u202eevil"


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """With four models: a champion, one that was compared with it, one on other pictures, a hostile one."""
    with account(server, tmp_path_factory.mktemp("account")) as made:
        from pathlib import Path

        local = Registered(Path(server.home))
        local.add()
        local.decide(1, "Approved", ApprovalDescription="the first")
        champion = against(local.package(1)["ModelPackageArn"])
        local.add(evaluated(0.92, champion=champion), code="f" * 16, lr="0.1", long="x" * 300)
        local.add(evaluated(0.93), test=manifest(pictures="9" * 64))
        hostile = evaluated(0.5, champion=against(f"arn:{ESCAPE}", verdict="better"))
        hostile["darkroom"]["per_class"][0]["class"] = ESCAPE
        local.add(hostile, test=manifest(source=ESCAPE), lr=ESCAPE.replace("\x1b", "").replace("\x07", ""))
        arn = local.package(4)["ModelPackageArn"]
        local.client.update_model_package(ModelPackageArn=arn, ApprovalDescription=f"fine\r\n{ESCAPE}\tindeed")
        yield made


@pytest.fixture(params=["here", "aws"])
def run(request: pytest.FixtureRequest, aws: Account, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Any:
    """Runs a command against the service itself, or over HTTP."""
    if request.param == "here":
        monkeypatch.setenv("DARKROOM_HOME", aws.clients.home)
    more = AWS if request.param == "aws" else ()
    return lambda *words: command(capsys, *words, *more)


def test_a_model_is_shown_whole(run: Any) -> None:
    code, out, err = run("show-model", "2")
    assert code == 0
    for words in (
        "model       version 2 of digits\nstatus      PendingManualApproval\nnote        none\n",
        "accuracy    0.9200 (95 %: 0.8900 to 0.9400) on 360 test pictures\n",
        "champion    version 1: +0.0200 (95 %: +0.0100 to +0.0300), better; right here only 9, there only 2\n",
        "calibration error 0.0500, 0.0200 with temperature 1.25, which the endpoint uses\n",
        "commit      cccccccccccccccccccccccccccccccccccccccc\n",
        "data        trained on 360 pictures ",
        "code        train.py train-ffffffffffffffff\n",
        "deployed    nowhere\n",
    ):
        assert words in out
    assert "not known" not in out
    assert [line.split()[0] for line in out.splitlines() if line.startswith(("owl", "dog", "cat"))] == [
        "owl",
        "dog",
        "cat",
    ]
    commands = [line.split("darkroom ")[-1].split()[:2] for line in err.splitlines()]
    assert commands == [["compare", "2"], ["approve", "2"], ["reject", "2"]]


def test_an_approved_model_may_be_deployed_next_here_as_on_aws(run: Any) -> None:
    """There, no command said so, since the days when deploying was another's."""
    code, _, err = run("show-model", "1")
    assert code == 0
    commands = [line.split("darkroom ")[-1].split()[:2] for line in err.splitlines()]
    assert commands == [["reject", "1"], ["deploy", "1"]]


def test_what_ended_on_aws_tells_the_way_to_an_answer_as_here(aws: Account, capsys: Capture) -> None:
    clients = aws.clients._replace(region="us-east-1", options=" --target aws")
    [newest, *_] = executions.newest_first(clients, PIPELINE)
    finish(clients, newest["PipelineExecutionArn"], 0, as_json=False)
    commands = [line.split("darkroom ")[-1] for line in capsys.readouterr().out.partition("next\n")[2].splitlines()]
    assert [re.sub(" [0-9]+", " N", each) for each in commands] == [
        "approve N --target aws",
        "deploy N --target aws",
        "predict IMAGE --target aws",
    ]


def test_what_is_shown_for_programs_is_one_object(run: Any) -> None:
    code, out, _ = run("show-model", "2", "--json")
    whole = json.loads(out)
    assert (code, whole["ModelPackageVersion"], whole["Accuracy"], whole["NotKnown"]) == (0, 2, 0.92, {})


@pytest.mark.parametrize("words", [("show-model", "4"), ("models",), ("compare", "4", "1"), ("compare", "1", "4")])
def test_what_others_wrote_does_not_drive_the_terminal(run: Any, words: tuple[str, ...]) -> None:
    code, out, err = run(*words)
    assert code == 0, err
    assert "owned" in out
    assert [each for each in (*out, *err) if not each.isprintable() and each != "\n"] == []


def test_a_note_is_one_line_wherever_it_is_shown(run: Any) -> None:
    for words in (("models",), ("show-model", "4")):
        assert "fine �[2J�]0;owned��evil indeed\n" in run(*words)[1]
    assert json.loads(run("show-model", "4", "--json")[1])["ApprovalDescription"] == f"fine\r\n{ESCAPE}\tindeed"


def test_two_models_are_compared_in_a_table_that_fits(run: Any) -> None:
    code, out, _ = run("compare", "2", "1")
    assert code == 0
    assert "judged      on the same 360 test pictures\npaired      A - B +0.0200 (95 %: +0.0100 to +0.0300)" in out
    assert "accuracy                      0.9200     0.9000     +0.0200\n" in out
    assert "lr              0.1        -\n" in out
    assert "train.py    changed: train.py\n" in out
    assert "equal       parameters, data\n" in out
    assert [line for line in out.splitlines() if len(line) > 100 and "x" * 300 not in line] == []


def test_of_figures_that_do_not_compare_that_is_said_first(run: Any) -> None:
    code, out, _ = run("compare", "3", "1")
    assert code == 0
    assert out.splitlines()[2].startswith("judged      NOT COMPARABLE: their test pictures come from the same data")
    assert "accuracy                      0.9300     0.9000     -\n" in out


def test_one_alone_is_compared_with_the_newest_approved_other(run: Any) -> None:
    assert json.loads(run("compare", "3", "--json")[1])["Other"]["ModelPackageVersion"] == 1
    code, _, err = run("compare", "1")
    assert (code, "no other version of digits is approved" in err) == (1, True)
    assert "compare 1 B" in err
    code, _, err = run("compare", "2", "2")
    assert (code, "version 2 differs from itself in nothing" in err) == (1, True)


@pytest.mark.parametrize("words", [("show-model", "9"), ("compare", "9", "1"), ("compare", "1", "9")])
def test_a_version_that_is_not_there_is_named_with_those_that_are(run: Any, words: tuple[str, ...]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert "there is no model with version 9; there is: 4, 3, 2, 1" in err


# decisions


@pytest.fixture
def waiting(aws: Account) -> Iterator[str]:
    """The version of a package that nobody has decided on, in group decided."""
    yield str(aws.register("decided"))


def package(aws: Account, version: str) -> dict[str, Any]:
    found: dict[str, Any] = aws.clients.sagemaker.describe_model_package(ModelPackageName=f"decided/{version}")
    return found


def decide(aws: Account, capsys: Capture, verb: str, version: str, *more: str) -> tuple[int, str, list[str]]:
    """Exit code, stderr, and the calls that changed something."""
    aws.front.begin()
    code, out, err = command(capsys, verb, version, "--group", "decided", *more, *AWS)
    assert out == ""
    return code, err, [call for call in aws.front.calls if not call.startswith(("List", "Describe"))]


def test_what_is_approved_already_is_not_approved_once_more(aws: Account, waiting: str, capsys: Capture) -> None:
    decide(aws, capsys, "approve", waiting, "--reason", "seen by two")
    code, err, calls = decide(aws, capsys, "approve", waiting)
    assert (code, calls) == (0, [])
    assert f"version {waiting} of decided is Approved already since " in err
    assert "(seen by two); nothing was sent; --again sends it once more" in err
    code, err, calls = decide(aws, capsys, "approve", waiting, "--again")
    assert (code, calls, err.splitlines()[0]) == (
        0,
        ["UpdateModelPackage"],
        f"version {waiting} of decided is Approved",
    )
    assert package(aws, waiting)["ApprovalDescription"] == "seen by two"


def test_a_new_note_on_an_old_decision_is_no_second_approval(
    aws: Account, waiting: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(aws, capsys, "approve", waiting, "--reason", "seen by two")
    code, err, calls = decide(aws, capsys, "approve", waiting, "--reason", "seen by three")
    assert (code, calls) == (0, ["UpdateModelPackage"])
    assert "(seen by two); its note is the new one now" in err
    assert package(aws, waiting)["ApprovalDescription"] == "seen by three"


def test_what_somebody_rejected_meanwhile_is_not_approved_by_accident(
    aws: Account, waiting: str, capsys: Capture
) -> None:
    decide(aws, capsys, "reject", waiting, "--reason", "confuses 3 and 8")
    code, err, calls = decide(aws, capsys, "approve", waiting, "--reason", "looks fine")
    assert (code, calls) == (1, [])
    assert f"error: version {waiting} of decided was Rejected since " in err
    assert "(confuses 3 and 8)\nhint: " in err
    assert f'approve {waiting} --group decided --again --reason "…" --target aws\n' in err
    code, err, calls = decide(aws, capsys, "approve", waiting, "--again")
    assert (code, calls) == (0, ["UpdateModelPackage"])
    found = package(aws, waiting)
    assert (found["ModelApprovalStatus"], found["ApprovalDescription"]) == ("Approved", "")


def test_taking_an_approval_back_is_told_and_that_endpoints_go_on(aws: Account, waiting: str, capsys: Capture) -> None:
    decide(aws, capsys, "approve", waiting, "--reason", "seen by two")
    code, err, _ = decide(aws, capsys, "reject", waiting, "--reason", "drifts")
    assert code == 0
    assert f"version {waiting} of decided was Approved since " in err
    assert "endpoints that serve it go on: " in err
    assert package(aws, waiting)["ApprovalDescription"] == "drifts"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("x" * 1025, "the reason has 1,025 characters, and SageMaker keeps 1,024"),
        ("a\x1bb", r"the reason holds '\x1b', which is no character to be read"),
        (" \n ", "a rejection without a reason helps nobody"),
    ],
)
def test_a_reason_that_would_not_be_kept_is_refused_before_anything_is_asked(
    aws: Account, waiting: str, reason: str, said: str, capsys: Capture
) -> None:
    code, err, _ = decide(aws, capsys, "reject", waiting, "--reason", reason)
    assert (code, aws.front.calls) == (1, [])
    assert f"error: {said}" in err


def test_a_reason_of_several_lines_becomes_one_of_the_longest_that_is_kept(
    aws: Account, waiting: str, capsys: Capture
) -> None:
    code, _, _ = decide(aws, capsys, "reject", waiting, "--reason", f"first\n second\t{'x' * 1011}")
    assert code == 0
    assert package(aws, waiting)["ApprovalDescription"] == f"first second {'x' * 1011}"
