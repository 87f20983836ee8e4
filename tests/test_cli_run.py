"""`darkroom run`: where the pictures come from, seen by a PrepareData that only tells what it was given."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from compilations import remembered

from pipeline.__main__ import main
from pipeline.client import Clients, local_client

CONFIG = """
dataset: {kind: imagefolder, source: pictures/dogs.zip}
tuning: {enabled: false}
retries: {processing: null}
"""
# Ends with the files of its input as its failure reason: nothing after it has to run.
PREPARE = """
import os, sys
folder, message = (sys.argv[sys.argv.index(name) + 1] for name in ("--input-dir", "--message-file"))
found = [os.path.relpath(os.path.join(where, name), folder) for where, _, names in os.walk(folder) for name in names]
with open(message, "w") as file:
    file.write("given: " + " ".join(sorted(found)))
sys.exit(3)
"""
DATASETS = "s3://darkroom-111122223333-us-east-1/darkroom-digits/datasets/"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose compiled pipeline all tests share."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "entrypoints").mkdir()
    for program in ("train.py", "evaluate.py", "lambda_deploy.py", "lambda_champion.py"):
        (folder / "entrypoints" / program).write_text("")
    (folder / "entrypoints" / "prepare.py").write_text(PREPARE)
    (folder / "pipeline.yaml").write_text(CONFIG)
    (folder / "pictures").mkdir()
    (folder / "pictures" / "dogs.zip").write_bytes(b"dogs")
    remembered(folder / "pipeline.yaml", folder / ".darkroom")
    return folder


@pytest.fixture
def project(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def clients(project: Path) -> Clients:
    return local_client(str(project / ".darkroom"))


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    """(DatasetUri of the execution, what PrepareData found in its folder)."""
    assert main(["run", *words]) == 1
    capsys.readouterr()
    assert main(["show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    reason = shown["Steps"][-1]["FailureReason"]
    return shown["PipelineParameters"]["DatasetUri"], reason.partition("given: ")[2].partition(",")[0]


def test_the_archive_of_the_configuration_reaches_prepare_data(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, found = run(capsys)
    assert address.startswith(DATASETS) and address.endswith("/")
    assert found == "dogs.zip"


@pytest.mark.parametrize("relative", [True, False])
def test_another_archive_can_be_named_for_one_run(
    project: Path, clients: Clients, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    """A relative path starts where the command is typed, not at pipeline.yaml."""
    (project / "elsewhere").mkdir(exist_ok=True)
    archive = project / "elsewhere" / "small.tar.gz"
    archive.write_bytes(b"small")
    monkeypatch.chdir(archive.parent)
    named = archive.name if relative else str(archive)
    address, found = run(capsys, "-c", "../pipeline.yaml", "--set", f"DatasetUri={named}")
    assert found == "small.tar.gz"
    assert [entry.uri for entry in clients.storage.list(DATASETS) if entry.uri.endswith("small.tar.gz")] == [
        f"{address}small.tar.gz"
    ]


def test_another_folder_can_be_named_for_one_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("few/cat/1.png", "few/dog/1.png", "few/.DS_Store"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(b"x")
    address, found = run(capsys, "--set", "DatasetUri=few")
    assert address.startswith(DATASETS)
    assert found == "cat/1.png dog/1.png"


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("s3://b-1/data/x.tar.gz", "x.tar.gz x.tar.gz.md5"),  # a prefix of text
        ("s3://b-1/data/", "x.tar.gz x.tar.gz.md5 y.zip"),
    ],
)
def test_an_address_is_passed_on_as_it_is(
    clients: Clients, capsys: pytest.CaptureFixture[str], address: str, found: str
) -> None:
    for name in ("x.tar.gz", "x.tar.gz.md5", "y.zip"):
        clients.storage.put_bytes(f"s3://b-1/data/{name}", b"x")
    assert run(capsys, "--set", f"DatasetUri={address}") == (address, found)


@pytest.mark.parametrize("path", ["gone", "gone.zip", "pipeline.yaml", "", "s3:/b-1/data/"])
def test_what_is_not_there_is_told_before_anything_starts(
    project: Path, clients: Clients, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    before = clients.sagemaker.list_pipelines()["PipelineSummaries"]
    assert main(["run", "--set", f"DatasetUri={path}"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f'error: --set: 1 problem\n  DatasetUri: "{path}" ' in captured.err
    assert "hint:  name a folder, an archive (.zip, .tar, .tar.gz or .tgz), or an s3:// address" in captured.err
    assert clients.sagemaker.list_pipelines()["PipelineSummaries"] == before


def test_a_wrong_parameter_is_told_before_pictures_are_copied(
    project: Path, clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "unseen.zip").write_bytes(b"unseen")
    assert main(["run", "--set", "DatasetUri=unseen.zip", "--set", "AccuracyThreshod=1"]) == 1
    assert "did you mean 'AccuracyThreshold'?" in capsys.readouterr().err
    assert [entry.uri for entry in clients.storage.list(DATASETS) if "unseen" in entry.uri] == []


def test_a_pipeline_without_a_source_has_no_such_parameter(
    project: Path, clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "digits.yaml").write_text("pipeline: {name: digits}\ntuning: {enabled: false}")
    remembered(project / "digits.yaml", project / ".darkroom")
    assert main(["run", "-c", "digits.yaml", "--set", "DatasetUri=pictures"]) == 1
    assert "there is no parameter 'DatasetUri'" in capsys.readouterr().err
    assert list(clients.storage.list("s3://darkroom-111122223333-us-east-1/digits/datasets/")) == []
    os.remove("digits.yaml")
