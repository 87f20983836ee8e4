"""The file of a plan: the same bytes back, or a refusal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pipeline.errors import DarkroomError, StorageError
from pipeline.plan import planfile
from pipeline.plan.planfile import Deployed, PlanFile

TEXT = '{"Version": "2020-12-01",\n "Steps": [], "é": "\\ud800"}\n'
PLAN = PlanFile(
    *("dogs", TEXT, planfile.digest(TEXT), Deployed("arn:aws:sagemaker:us-east-1:1:pipeline/dogs", 3, "0" * 64)),
    made_at="2026-11-20T20:00:00+00:00",
    darkroom="0.1",
    role_arn="arn:role",
    description="d",
    tags=(("team", "vision"),),
    assets=(("s3://bucket/code/x", "1" * 64),),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "x.plan"
    planfile.write(str(file), PLAN)
    return file


def test_what_is_read_is_what_was_written(path: Path) -> None:
    assert planfile.read(str(path)) == PLAN
    assert os.listdir(path.parent) == ["x.plan"]


def test_a_plan_for_nothing_deployed_says_so(tmp_path: Path) -> None:
    first = PlanFile("dogs", TEXT, planfile.digest(TEXT), None, "now", "0.1")
    planfile.write(str(tmp_path / "p"), first)
    assert planfile.read(str(tmp_path / "p")) == first


@pytest.mark.parametrize("key", ["pipeline", "definition", "deployed", "assets", "made_at", "seal"])
def test_a_plan_that_was_edited_is_refused(path: Path, key: str) -> None:
    body = json.loads(path.read_text())
    body[key] = "x" if isinstance(body[key], str) else None
    path.write_text(json.dumps(body))
    with pytest.raises(DarkroomError, match="was changed after darkroom wrote it"):
        planfile.read(str(path))


def test_a_plan_with_a_member_more_is_refused(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "extra": 1}))
    with pytest.raises(DarkroomError, match="was changed"):
        planfile.read(str(path))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_torn_plan_is_refused(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DarkroomError, match="torn, or no plan"):
        planfile.read(str(path))


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "darkroom plan 0"}', '"plan"', "[" * 100_000])
def test_what_is_no_plan_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(DarkroomError) as caught:
        planfile.read(str(path))
    assert caught.value.hint == "darkroom plan -o FILE"


def test_other_bytes_than_text_are_refused(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DarkroomError):
        planfile.read(str(path))


def test_a_missing_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(DarkroomError, match="No such file"):
        planfile.read(str(tmp_path / "none"))


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        planfile.write(str(tmp_path / "no" / "x.plan"), PLAN)
