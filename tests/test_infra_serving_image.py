"""The build of our own serving image as a stack: what is in it, and what its buildspec does when it is run."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloudformation import PSEUDO, Stack, read, referred
from rendered import ROOT, about, changed

from pipeline.errors import DarkroomError
from pipeline.iam import check
from pipeline.iam.actions import FORCED
from pipeline.iam.building import building
from pipeline.iam.policies import Role
from pipeline.infra import serving_image, template

KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
GIVEN = {"TorchIndex": "https://index/cpu", "LogsKeyArn": KEY, "PermissionsBoundaryArn": "arn:aws:iam::1:policy/b"}
# answers as AWS's CLI and docker would; `there`: a file that says that the registry has the tag
FAKES = {
    "aws": """
echo "aws $*" >> "$CALLS"
case "$*" in
  *describe-images*) [ -e "$THERE" ] ;;
  *get-caller-identity*) echo 111122223333 ;;
  *get-login-password*) echo secret ;;
esac
""",
    "docker": """
echo "docker $*" >> "$CALLS"
[ "$1" != login ] || read -r _
""",
}


@cache
def shipped() -> dict[str, Any]:
    return serving_image.template(about(), serving_image.files(ROOT))


def stack() -> Stack:
    return Stack(shipped(), **GIVEN)


def test_the_committed_template_is_what_containers_serve_renders_to() -> None:
    written = (ROOT / "infra/serving-image.yaml").read_text(encoding="utf-8")
    again = "darkroom infra --serving-image -o infra/serving-image.yaml renders it anew"
    assert written == serving_image.as_yaml(about(), serving_image.files(ROOT)), again
    assert read(written) == shipped()
    assert written.isascii() and len(written) < template.DIRECT_SIZE


@pytest.mark.parametrize("repository", ["team/darkroom.serve", "darkroom-serve"])
def test_a_project_has_a_name_that_codebuild_takes(repository: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9\-_]{1,254}", serving_image.project_of(repository))


def test_whatever_is_chosen_nothing_refers_to_what_is_not_there() -> None:
    for there in (stack(), Stack(shipped())):
        named = {name for each in (there.resources, there.outputs) for name in referred(list(each.values()))}
        assert named <= {*there.resources, *PSEUDO}


def test_its_role_pushes_into_the_one_repository_and_writes_the_one_log_and_no_more() -> None:
    allowed = building(about().config, "/aws/codebuild/darkroom-serve")
    trusted = stack().of("AWS::IAM::Role")["BuildRole"]["AssumeRolePolicyDocument"]
    role = Role("execution", "arn:aws:iam::111122223333:role/build", "the build", trusted, allowed, "digits")
    assert check.findings(role) == []
    [policy] = stack().of("AWS::IAM::Role")["BuildRole"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    assert statements == [each.document() for each in allowed]
    wide = [each["Action"] for each in statements if each["Resource"] == "*"]
    assert wide == ["ecr:GetAuthorizationToken"] and set(wide) <= set(FORCED)
    assert not any("*" in action for each in allowed for action in each.actions)
    pushed = [each.resources for each in allowed if "ecr:PutImage" in each.actions]
    assert pushed == [("arn:aws:ecr:us-east-1:111122223333:repository/darkroom-serve",)]


def test_only_the_builds_of_this_project_may_take_the_role() -> None:
    [trusted] = stack().of("AWS::IAM::Role")["BuildRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"Service": "codebuild.amazonaws.com"}
    name = stack().of("AWS::CodeBuild::Project")["Build"]["Name"]
    arn = f"arn:aws:codebuild:us-east-1:111122223333:project/{name}"
    assert trusted["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111122223333"},
        "ArnLike": {"aws:SourceArn": arn},
    }


def test_its_log_ends_is_encrypted_with_the_key_that_is_given_and_is_the_only_one() -> None:
    [log] = stack().of("AWS::Logs::LogGroup").values()
    assert (log["RetentionInDays"], log["KmsKeyId"]) == ("90", KEY)
    build = stack().of("AWS::CodeBuild::Project")["Build"]
    assert build["LogsConfig"] == {"CloudWatchLogs": {"Status": "ENABLED", "GroupName": {"Ref": "BuildLogs"}}}
    assert log["LogGroupName"] == f"/aws/codebuild/{build['Name']}"
    assert stack().of("AWS::IAM::Role")["BuildRole"]["PermissionsBoundary"] == GIVEN["PermissionsBoundaryArn"]


def built(folder: Path, *, there: bool = False) -> list[str]:
    """What the commands of the buildspec asked of AWS and docker, each run by a shell in an empty folder."""
    source = stack().of("AWS::CodeBuild::Project")["Build"]["Source"]
    assert source["Type"] == "NO_SOURCE"
    spec = yaml.safe_load(source["BuildSpec"])
    tools, work = folder / "tools", folder / "work"
    for made in (tools, work):
        made.mkdir()
    for name, text in FAKES.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}")
        (tools / name).chmod(0o755)
    if there:
        (folder / "there").touch()
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "CALLS": str(folder / "calls"),
        "THERE": str(folder / "there"),
        "AWS_REGION": "us-east-1",
        "TORCH_INDEX": GIVEN["TorchIndex"],
    }
    for command in spec["phases"]["build"]["commands"]:
        subprocess.run(["sh", "-c", command], cwd=work, env=environment, check=True, capture_output=True, timeout=60)
    return (folder / "calls").read_text().splitlines()


def test_its_buildspec_builds_these_very_files_and_pushes_them(tmp_path: Path) -> None:
    calls = built(tmp_path)
    image = "111122223333.dkr.ecr.us-east-1.amazonaws.com/darkroom-serve:2.12"
    build, push = calls[-2:]
    assert build.startswith("docker build --pull ") and build.endswith(f"--tag {image} containers/serve")
    assert "--build-arg TORCH_INDEX=https://index/cpu " in build
    assert push == f"docker push {image}"
    assert "secret" not in "".join(calls)
    context, sent = ROOT / "containers/serve", tmp_path / "work/containers/serve"
    names = sorted(each.name for each in sent.iterdir())
    assert names == [".dockerignore", "Dockerfile", "healthy.py", "requirements.txt", "torch.txt"]
    assert [(sent / name).read_bytes() for name in names] == [(context / name).read_bytes() for name in names]


def test_a_tag_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    assert not any(call.startswith("docker") for call in built(tmp_path, there=True))


@pytest.mark.parametrize(
    "image",
    [
        "444455556666.dkr.ecr.us-east-1.amazonaws.com/serve:1",
        f"111122223333.dkr.ecr.us-east-1.amazonaws.com/serve@sha256:{'0' * 64}",
        "111122223333.dkr.ecr.us-east-1.amazonaws.com/serve",
    ],
)
def test_an_image_that_is_not_built_here_is_refused(image: str) -> None:
    with pytest.raises(DarkroomError, match="is not built here"):
        serving_image.template(about(changed(deploy={"image": image})), serving_image.files(ROOT))


def copied(folder: Path) -> None:
    """What the build needs, out of this clone."""
    for path, text in serving_image.files(ROOT).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def test_what_lies_beside_the_files_of_the_build_stays_out_of_the_template(tmp_path: Path) -> None:
    copied(tmp_path)
    for name in (".env", "pip.conf", "torch.txt~"):
        (tmp_path / "containers/serve" / name).write_text("password=secret\n")
    assert serving_image.files(tmp_path) == serving_image.files(ROOT)


def test_a_file_that_the_build_copies_has_to_be_there(tmp_path: Path) -> None:
    copied(tmp_path)
    (tmp_path / "containers/serve/torch.txt").unlink()
    with pytest.raises(DarkroomError, match=r"cannot read .*/containers/serve/torch.txt: No such file"):
        serving_image.files(tmp_path)


def test_a_file_with_other_characters_than_ascii_is_refused(tmp_path: Path) -> None:
    copied(tmp_path)
    (tmp_path / "containers/serve/torch.txt").write_text("# größer\n", encoding="utf-8")
    with pytest.raises(DarkroomError, match="containers/serve holds b'.xc3'"):
        serving_image.files(tmp_path)


@pytest.mark.parametrize("text", ["a\nEND-OF-FILE\nrm -rf /\n", "without an end"])
def test_a_file_that_would_end_its_own_script_is_refused(text: str) -> None:
    with pytest.raises(DarkroomError, match="cannot stand in a script"):
        serving_image.buildspec({"containers/serve/Dockerfile": text}, "serve:1")


def test_the_two_commands_of_the_document_name_what_the_template_has() -> None:
    text = (ROOT / "docs/serving.md").read_text(encoding="utf-8").replace("\\\n", " ")
    [deploy] = [line.split() for line in text.splitlines() if "--template-file infra/serving-image.yaml" in line]
    given = [word.partition("=")[0] for word in deploy[deploy.index("--parameter-overrides") + 1 :] if "=" in word]
    needed = [name for name, each in shipped()["Parameters"].items() if "Default" not in each]
    assert given == needed == ["TorchIndex"]
    assert "CAPABILITY_IAM" in deploy  # its role has no name of its own
    [start] = [line.split() for line in text.splitlines() if "aws codebuild start-build" in line]
    assert start[-1] == stack().of("AWS::CodeBuild::Project")["Build"]["Name"]
