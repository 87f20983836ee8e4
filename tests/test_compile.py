"""Compiling in a child process, and remembering what was compiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from compilations import remembered

from pipeline.compile import KEPT, compile_digest, compile_pipeline, entrypoints_root
from pipeline.errors import ConfigError, DarkroomError, StorageError

REPOSITORY = Path(__file__).parent.parent
HEAVY = ("sagemaker", "pydantic", "yaml", "botocore", "torch", "typing", "dataclasses", "logging", "asyncio")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a configuration and entry points of its own."""
    folder = tmp_path / "project"
    (folder / "entrypoints").mkdir(parents=True)
    for program in ("prepare.py", "train.py", "evaluate.py", "lambda_deploy.py", "lambda_champion.py"):
        (folder / "entrypoints" / program).write_text("import shared\n")
    (folder / "entrypoints" / "shared.py").write_text("")
    (folder / "pipeline.yaml").write_text("dataset: {kind: imagefolder, source: pictures}\ntags: {team: vision}\n")
    (folder / "pictures").mkdir()
    return folder


def digest(project: Path) -> str:
    return compile_digest(str(project / "pipeline.yaml"), str(project / "entrypoints"))


def home_of(project: Path) -> str:
    return str(project / ".darkroom")


def test_a_compiled_folder_holds_all_that_a_run_needs_and_is_used_again(project: Path) -> None:
    begun: list[str] = []
    first = compile_pipeline(str(project / "pipeline.yaml"), home_of(project), begun=lambda: begun.append("first"))
    assert begun == ["first"]
    assert (first.name, first.digest) == ("darkroom-digits", digest(project))
    assert json.loads(first.definition())["Version"] == "2020-12-01"
    assert first.manifest["tags"] == [{"Key": "team", "Value": "vision"}]
    assert first.dataset_path() == str(project / "pictures")
    bodies = {uri.rsplit("/", 1)[-1]: Path(path).read_bytes() for uri, path in first.assets()}
    assert bodies["prepare.py"] == b"import shared\n"
    assert sorted(bodies) == ["evaluate.py", "no-approved-model", "prepare.py", "shared.py", "sourcedir.tar.gz"]
    names = {arn.rsplit(":", 1)[-1]: (zipfile.ZipFile(path).namelist(), by) for arn, path, by in first.functions()}
    assert names == {
        "darkroom-deploy": (["lambda_deploy.py", "shared.py"], "lambda_deploy.handler"),
        "darkroom-champion": (["lambda_champion.py", "shared.py"], "lambda_champion.handler"),
    }
    assert str(project) not in first.definition()

    made = os.stat(first.definition_path)
    again = compile_pipeline(str(project / "pipeline.yaml"), home_of(project), begun=lambda: begun.append("again"))
    assert begun == ["first"]
    assert os.stat(again.definition_path).st_ino == made.st_ino
    assert os.listdir(os.path.dirname(first.folder)) == [first.digest]


def test_what_is_remembered_is_found_without_heavy_imports(project: Path) -> None:
    remembered(project / "pipeline.yaml", Path(home_of(project)))
    code = (
        "import sys; from pipeline.compile import compile_pipeline; compile_pipeline(*sys.argv[1:]); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    command = [sys.executable, "-S", "-c", code, str(project / "pipeline.yaml"), home_of(project)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "edit",
    [
        lambda project: (project / "pipeline.yaml").write_text("{}"),
        lambda project: (project / "entrypoints" / "shared.py").write_text("x = 1"),
        lambda project: (project / "entrypoints" / "labels.txt").write_text("cat"),
        lambda project: (project / "entrypoints" / "shared.py").rename(project / "entrypoints" / "other.py"),
    ],
)
def test_every_edit_gives_another_digest(project: Path, edit: Callable[[Path], object]) -> None:
    before = digest(project)
    edit(project)
    assert digest(project) != before


def test_caches_and_hidden_files_do_not_change_the_digest(project: Path) -> None:
    before = digest(project)
    (project / "entrypoints" / "__pycache__").mkdir()
    (project / "entrypoints" / "__pycache__" / "shared.pyc").write_text("x")
    (project / "entrypoints" / ".shared.py.swp").write_text("x")
    assert digest(project) == before


def test_entry_points_beside_the_configuration_come_before_our_own(project: Path, tmp_path: Path) -> None:
    assert entrypoints_root(str(project / "pipeline.yaml")) == str(project / "entrypoints")
    assert entrypoints_root(str(tmp_path / "pipeline.yaml")) == str(REPOSITORY / "entrypoints")


def test_errors_of_the_child_come_out_as_they_are_here(project: Path) -> None:
    (project / "pipeline.yaml").write_text("tunning: {}\ntraining: {volume_gb: 0}")
    with pytest.raises(ConfigError) as caught:
        compile_pipeline(str(project / "pipeline.yaml"), home_of(project))
    assert caught.value.problems == (
        "training.volume_gb: 0 is not allowed; allowed: a whole number from 1 to 16384",
        "tunning: is not a key here; did you mean `tuning`?",
    )
    assert caught.value.message.startswith("pipeline.yaml: 2 problems\n  training.volume_gb: ")
    assert "darkroom config --schema" in caught.value.hint


def test_a_syntax_error_in_an_entry_point_is_named_and_nothing_is_remembered(project: Path) -> None:
    (project / "entrypoints" / "shared.py").write_text("def f(:\n")
    with pytest.raises(DarkroomError, match=r"^shared\.py:1: ") as caught:
        compile_pipeline(str(project / "pipeline.yaml"), home_of(project))
    assert caught.value.hint == "mend entrypoints/shared.py, then run the command again"
    assert os.listdir(os.path.join(home_of(project), "compiled")) == []


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read: No such file"):
        compile_pipeline(str(tmp_path / "none.yaml"), str(tmp_path / "home"))


def test_a_home_that_cannot_be_written_is_one_clear_line(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        compile_pipeline(str(project / "pipeline.yaml"), str(tmp_path / "file"))
    assert "DARKROOM_HOME" in caught.value.hint


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(project: Path) -> None:
    code = (
        "import resource, sys\nfrom pipeline.compile import *\nfrom pipeline.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: compile_pipeline(*sys.argv[1:])\n"
        "except StorageError as exc: print(exc)"
    )
    command = [sys.executable, "-B", "-c", code, str(project / "pipeline.yaml"), home_of(project)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == f"{home_of(project)}/compiled cannot be written: File too large\n"
    assert os.listdir(os.path.join(home_of(project), "compiled")) == []


def test_only_what_was_used_last_is_kept(project: Path) -> None:
    remembered(project / "pipeline.yaml", Path(home_of(project)))
    first = compile_pipeline(str(project / "pipeline.yaml"), home_of(project))
    compiled = Path(first.folder).parent
    others = [compiled / f"{number:032x}" for number in range(KEPT + 3)]
    for age, folder in enumerate([Path(first.folder), *reversed(others)]):
        folder.mkdir(exist_ok=True)
        (folder / "manifest.json").touch()
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    (compiled / ".old-left-by-a-kill").mkdir()
    os.utime(first.folder, (1, 1))
    compile_pipeline(str(project / "pipeline.yaml"), home_of(project))  # used again: now the newest
    (project / "pipeline.yaml").write_text("{}")
    second = compile_pipeline(str(project / "pipeline.yaml"), home_of(project))
    kept = [folder.name for folder in others[-(KEPT - 2) :]]
    assert sorted(os.listdir(compiled)) == sorted([first.digest, second.digest, *kept])
    assert second.name == "darkroom-digits"


def test_a_rename_that_fails_is_one_clear_line(project: Path) -> None:
    folder = Path(home_of(project)) / "compiled" / digest(project)

    def stand_in_the_way() -> None:
        folder.parent.mkdir(parents=True)
        folder.touch()

    with pytest.raises(StorageError, match="compiled cannot be written: Not a directory"):
        compile_pipeline(str(project / "pipeline.yaml"), home_of(project), begun=stand_in_the_way)
    assert os.listdir(folder.parent) == [folder.name]


def test_a_file_that_cannot_be_read_is_named(project: Path) -> None:
    (project / "entrypoints" / "gone.txt").symlink_to(project / "nowhere")
    with pytest.raises(StorageError, match=r"gone\.txt cannot be read: No such file"):
        compile_pipeline(str(project / "pipeline.yaml"), home_of(project))


def test_a_missing_picture_folder_is_named_when_a_run_asks_for_it(project: Path) -> None:
    (project / "pictures").rmdir()
    (project / "pipeline.yaml").rename(project / "birds.yaml")
    remembered(project / "birds.yaml", Path(home_of(project)))
    compiled = compile_pipeline(str(project / "birds.yaml"), home_of(project))
    said = r'birds\.yaml: 1 problem\n  dataset.source: "pictures" does not exist; looked for .*/project/pictures'
    with pytest.raises(ConfigError, match=said):
        compiled.dataset_path()


@pytest.mark.parametrize("name", ["pictures.zip", "pictures.tar", "cifar-10-python.tar.gz", "pictures.TGZ"])
def test_an_archive_may_stand_for_the_picture_folder(project: Path, name: str) -> None:
    (project / "pipeline.yaml").write_text(f"dataset: {{kind: imagefolder, source: ./{name}}}")
    (project / name).write_bytes(b"x")
    remembered(project / "pipeline.yaml", Path(home_of(project)))
    compiled = compile_pipeline(str(project / "pipeline.yaml"), home_of(project))
    assert compiled.dataset_path() == str(project / name)


def test_modules_in_the_working_folder_and_aws_settings_do_not_disturb_the_child(project: Path) -> None:
    for name in ("yaml.py", "steps.py", "sagemaker.py"):
        (project / name).write_text("raise SystemExit('shadowed')")
    code = "import sys; from pipeline.compile import compile_pipeline; print(compile_pipeline(*sys.argv[1:]).name)"
    environment = {**os.environ, "AWS_PROFILE": "no-such-profile", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-P", "-c", code, str(project / "pipeline.yaml"), home_of(project)]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.stdout == "darkroom-digits\n", done.stderr


def test_two_at_once_agree(project: Path) -> None:
    code = "import sys; from pipeline.compile import compile_pipeline; print(compile_pipeline(*sys.argv[1:]).folder)"
    command = [sys.executable, "-c", code, str(project / "pipeline.yaml"), home_of(project)]
    running = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {process.communicate()[0].strip() for process in running}
    assert len(folders) == 1
    assert os.listdir(os.path.join(home_of(project), "compiled")) == [os.path.basename(folders.pop())]
