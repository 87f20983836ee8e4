"""`darkroom iam`: what it prints, what IAM can be given of it, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_account import command
from golden_roles import REPOSITORY
from test_builder import write_programs

from pipeline.cli.iam import KINDS
from pipeline.iam import policies

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a pipeline.yaml and programs."""
    here = tmp_path_factory.mktemp("pipeline")
    (here / "pipeline.yaml").write_text(
        "pipeline: {name: flowers, account: '444455556666'}\ntuning: {enabled: false}\n"
    )
    write_programs(here / "entrypoints")
    return here


@pytest.fixture
def iam(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DARKROOM_HOME", str(folder / "home"))
    return lambda *words: command(capsys, "iam", "-c", str(folder / "pipeline.yaml"), *words)


def test_without_options_every_role_is_told_with_its_statements(iam: Any) -> None:
    code, out, err = iam()
    assert code == 0
    heads = [line.partition(":")[0] for line in out.splitlines() if line and not line.startswith(" ")]
    assert heads == list(KINDS)
    assert "RunTrainingJobs: sagemaker:AddTags sagemaker:CreateTrainingJob" in out
    assert "ci-plan: no trust policy without --plan-subject" in err


def test_as_json_each_role_has_what_iam_takes(iam: Any) -> None:
    subjects = ("--plan-subject", "repo:a/b:pull_request", "--deploy-subject", "repo:a/b:environment:prod")
    code, out, err = iam("--json", *subjects)
    found = json.loads(out)
    assert (code, [role["Role"] for role in found]) == (0, list(KINDS))
    assert err.strip().splitlines()[-1].startswith("check: no trust policy: attach its policies")
    assert "-subject" not in err
    for role in found:
        assert role["Role"] in ("approver", "check") or role["TrustPolicy"]["Version"] == "2012-10-17"
        assert role["RoleName"] == role["RoleArn"].rpartition("/")[2]
        for each in role["Policies"]:
            assert each["PolicyName"].startswith("flowers-")
            assert {statement["Effect"] for statement in each["PolicyDocument"]["Statement"]} == {"Allow"}
    assert "environment:prod" in json.dumps(found[2]["TrustPolicy"])


def test_one_role_is_printed_alone(iam: Any) -> None:
    code, out, _ = iam("--role", "invoke-lambda", "--json")
    (role,) = json.loads(out)
    assert (code, role["RoleArn"]) == (0, "arn:aws:iam::444455556666:role/darkroom-invoke-lambda")


def test_what_else_jobs_read_goes_into_the_policy(iam: Any) -> None:
    _, out, _ = iam("--role", "execution", "--read", "s3://elsewhere/champions/")
    assert "arn:aws:s3:::elsewhere/champions/*" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--plan-subject", "repo:a/*:pull_request"), "is a pattern"),
        (("--deploy-subject", "main"), "none of GitHub's"),
        (("--read", "s3://whole"), "names a whole bucket"),
    ],
)
def test_what_cannot_be_meant_is_one_error_with_a_way_out(iam: Any, words: tuple[str, ...], said: str) -> None:
    code, out, err = iam(*words)
    assert (code, out) == (1, "")
    assert said in err
    assert "hint:" in err


def test_a_kind_that_does_not_exist_is_a_usage_error(iam: Any) -> None:
    with pytest.raises(SystemExit, check=lambda exc: exc.code == 2):
        iam("--role", "admin")


def test_a_pipeline_that_compares_with_no_champion_has_no_such_role_and_says_so(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    (tmp_path / "pipeline.yaml").write_text("evaluation: {compare_with_champion: false}\ntuning: {enabled: false}\n")
    write_programs(tmp_path / "entrypoints")
    code, out, err = command(
        capsys, "iam", "-c", str(tmp_path / "pipeline.yaml"), "--role", "champion-lambda", "--json"
    )
    assert (code, json.loads(out)) == (0, [])
    assert "compare_with_champion is false" in err


def test_the_command_knows_the_kinds_of_roles_that_there_are() -> None:
    assert KINDS == policies.KINDS


def test_docs_tell_every_kind_and_every_wildcard_that_is_forced() -> None:
    from pipeline.iam.actions import FORCED

    text = (REPOSITORY / "docs" / "aws.md").read_text(encoding="utf-8").partition("## Roles")[2]
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []
    named = {action if ":Describe" not in action else "ec2:Describe" for action in FORCED}
    assert [action for action in named if action not in text] == []
