"""`darkroom infra`: what it writes where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cloudformation import read
from rendered import ROOT

from pipeline.__main__ import main

CONFIG = str(ROOT / "pipeline.yaml")


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all: compiling takes seconds, and is remembered."""
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path_factory.getbasetemp() / "infra-home"))


def test_the_template_goes_to_stdout_and_what_is_to_be_done_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infra", "-c", CONFIG]) == 0
    said = capsys.readouterr()
    assert said.out == (ROOT / "infra/template.yaml").read_text(encoding="utf-8")
    assert "is nobody's: set yours" in said.err


def test_what_builds_the_serving_image_is_a_template_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infra", "-c", CONFIG, "--serving-image"]) == 0
    assert capsys.readouterr().out == (ROOT / "infra/serving-image.yaml").read_text(encoding="utf-8")


def test_the_serving_images_template_is_written_as_json_as_well(tmp_path: Path) -> None:
    assert main(["infra", "-c", CONFIG, "--serving-image", "-o", str(tmp_path / "image.json")]) == 0
    assert {"Build", "BuildRole"} <= json.loads((tmp_path / "image.json").read_text())["Resources"].keys()


def test_a_file_of_json_says_the_same_without_blanks(tmp_path: Path) -> None:
    assert main(["infra", "-c", CONFIG, "-o", str(tmp_path / "template.json")]) == 0
    text = (tmp_path / "template.json").read_text(encoding="utf-8")
    assert json.loads(text) == read((ROOT / "infra/template.yaml").read_text(encoding="utf-8"))
    assert len(text.splitlines()) == 1


def test_other_data_and_another_issuer_are_told_by_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infra", "-c", CONFIG, "--read", "s3://pictures/all/", "--issuer", "gitlab.com"]) == 0
    text = capsys.readouterr().out
    assert "arn:aws:iam::111122223333:oidc-provider/gitlab.com" in text
    assert "githubusercontent" not in text


def test_the_functions_are_written_and_where_they_belong_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infra", "-c", CONFIG, "--functions", str(tmp_path / "functions")]) == 0
    said = capsys.readouterr()
    assert sorted(said.out.split()) == sorted(str(path) for path in (tmp_path / "functions").iterdir())
    assert said.err.strip() == (
        f"aws s3 cp --recursive {tmp_path}/functions s3://darkroom-111122223333-us-east-1/darkroom-digits/functions/"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "/nowhere/template.yaml"], "cannot write /nowhere/template.yaml"),
        (["--issuer", "https://gitlab.com"], "write it without https://"),
        (["--read", "pictures"], "s3://BUCKET/FOLDER/"),
    ],
)
def test_what_cannot_be_is_said_with_what_to_type(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infra", "-c", CONFIG, *options]) == 1
    assert said in capsys.readouterr().err
