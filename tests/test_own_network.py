"""model.file: looked at before anything starts, named by its content, and run by `darkroom validate` alone."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import archive
import pytest
from compilations import remembered

from pipeline import own_network, source
from pipeline.__main__ import main
from pipeline.compile import compile_pipeline
from pipeline.compiled import CompiledOnDisk
from pipeline.config.training import OWN
from pipeline.errors import ConfigError, DarkroomError

ENTRYPOINTS = Path(__file__).parent.parent / "entrypoints"
NET = "from blocks import block\nfrom torch import nn\n\n\ndef build(num_classes):\n    return block(num_classes)\n"
BLOCKS = (
    "from torch import nn\n\n\ndef block(count):\n"
    "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, count))\n"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A configuration that names a network with one neighbour."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/mine.py").write_text(NET)
    (tmp_path / "nets/blocks.py").write_text(BLOCKS)
    (tmp_path / "nets/unrelated.py").write_text("import blocks")
    (tmp_path / "pipeline.yaml").write_text("model: {file: nets/mine.py}\n")
    return tmp_path


def read(project: Path) -> dict[str, bytes]:
    return own_network.read("nets/mine.py", str(project / "pipeline.yaml"), str(ENTRYPOINTS))


def compiled(project: Path, begun: list[str]) -> CompiledOnDisk:
    home = str(project / ".darkroom")
    return compile_pipeline(str(project / "pipeline.yaml"), home, begun=lambda: begun.append("compiled"))


def steps(made: CompiledOnDisk) -> dict[str, Any]:
    return {step["Name"]: step for step in json.loads(made.definition())["Steps"]}


def test_the_file_travels_with_what_it_imports_from_its_folder(project: Path) -> None:
    assert read(project) == {"blocks.py": BLOCKS.encode(), "mine.py": NET.encode()}
    assert own_network.read(None, str(project / "pipeline.yaml"), str(ENTRYPOINTS)) == {}


def test_both_sides_mean_the_same_folder_and_no_module_of_ours_is_called_so() -> None:
    assert archive.OWN == OWN
    assert not list(ENTRYPOINTS.glob(f"{OWN}*"))


def test_pythons_warnings_of_the_file_are_not_ours(project: Path) -> None:
    (project / "nets/mine.py").write_text(NET + "if 1 is 1: '\\d'\n")
    assert list(read(project)) == ["blocks.py", "mine.py"]


def test_a_constant_called_ships_is_its_own_affair(project: Path) -> None:
    (project / "nets/mine.py").write_text(f"{NET}\nSHIPS = 3\n")
    assert list(read(project)) == ["blocks.py", "mine.py"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("mine.py", "x = 1\ndef build(:\n", "mine.py:2: invalid syntax"),
        ("blocks.py", "\n\n(", "blocks.py:3: '(' was never closed"),
        ("mine.py", "import blocks", "mine.py has no function build: write def build(num_classes: int)"),
        ("mine.py", "def f():\n    def build(n): ...", "mine.py has no function build"),
        ("mine.py", "print(build)", "mine.py has no function build"),
        ("mine.py", "from .blocks import block as build", "mine.py:1: its folder is no package"),
        (
            "blocks.py",
            "def block(n):\n    import model",
            "blocks.py imports model, which is a module of train.py's own",
        ),
        ("blocks.py", "from training.schedules import factor", "blocks.py imports training, which is a module of"),
        ("torch.py", "", "torch.py beside it has the name of a module of Python or of AWS's image: rename it"),
        ("mine.py", "\0", "mine.py: "),
        ("mine.py", "def build(n, n): ...", "mine.py:1: duplicate argument 'n' in function definition"),
        ("blocks.py", "\nreturn 1", "blocks.py:2: 'return' outside function"),
        ("mine.py", f"{'-' * 10000}1", "mine.py: "),
        ("parts/one.py", "", "parts/one.py: its folder is no package: add an empty parts/__init__.py"),
    ],
)
def test_a_file_that_cannot_be_sent_is_told_with_its_key_and_line(
    project: Path, name: str, text: str, says: str
) -> None:
    (project / "nets/parts").mkdir()
    (project / "nets/mine.py").write_text(f"import torch, parts.one\n{NET}")
    (project / "nets" / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(project)
    assert caught.value.problems[0].startswith(f'model.file: "nets/mine.py": {says}')
    assert caught.value.hint.endswith(f"a relative path starts at {project}")


@pytest.mark.parametrize(("letter", "most"), [("b", 93), ("ß", 46)])
def test_a_name_that_the_archive_cannot_hold_is_told(project: Path, letter: str, most: int) -> None:
    for count in (most, most + 1):
        (project / f"nets/{letter * count}.py").write_text("")
    (project / "nets/mine.py").write_text(f"import {letter * most}\ndef build(n): ...")
    archived = {f"{OWN}/{name}": body for name, body in read(project).items()}
    assert source.archive(archived)
    (project / "nets/mine.py").write_text(f"import {letter * (most + 1)}\ndef build(n): ...")
    with pytest.raises(ConfigError) as caught:
        read(project)
    assert f"{letter * (most + 1)}.py: the name is too long" in caught.value.problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "from blocks import block as build",
        "import torch\nif torch:\n    def build(n): ...\n",
        "build = lambda n: n",
        "class build: ...",
    ],
)
def test_build_may_come_about_in_any_way(project: Path, text: str) -> None:
    (project / "nets/mine.py").write_text(text)
    assert "mine.py" in read(project)


def test_a_missing_file_and_a_folder_are_told(project: Path) -> None:
    (project / "nets/mine.py").unlink()
    with pytest.raises(ConfigError, match=r'model\.file: "nets/mine\.py" does not exist; looked for /'):
        read(project)
    (project / "nets/mine.py").mkdir()
    with pytest.raises(ConfigError, match=r'model\.file: "nets/mine\.py" is a folder, not a file'):
        read(project)


def test_an_edited_network_changes_the_code_of_training_and_nothing_else(project: Path) -> None:
    begun: list[str] = []
    first = compiled(project, begun)
    [sources] = [path for uri, path in first.assets() if uri.endswith("/sourcedir.tar.gz")]
    with tarfile.open(sources) as packed:
        assert {"train.py", "own/mine.py", "own/blocks.py"} <= set(packed.getnames())
    assert str(project) not in first.definition()
    assert compiled(project, begun).folder == first.folder

    (project / "nets/blocks.py").write_text(BLOCKS.replace("4", "5"))
    second = compiled(project, begun)
    assert begun == ["compiled"] * 2
    before, after = steps(first), steps(second)
    assert {name for name in before if before[name] != after[name]} == {"TuneModel", "TrainModel", "CheckAccuracy"}
    [code] = {uri.rsplit("/", 2)[1] for uri, _ in first.assets() if uri.endswith("/sourcedir.tar.gz")}
    [other] = {uri.rsplit("/", 2)[1] for uri, _ in second.assets() if uri.endswith("/sourcedir.tar.gz")}
    assert first.definition().replace(code, other) == second.definition()

    (project / "nets/blocks.py").write_text(BLOCKS)
    assert compiled(project, begun).folder == first.folder
    assert begun == ["compiled"] * 2


def test_a_neighbour_that_was_missing_is_seen_when_it_comes(project: Path) -> None:
    (project / "nets/blocks.py").unlink()
    known = own_network.digest(read(project))
    assert known is not None
    assert unchanged(project, known)
    (project / "nets/blocks.py").write_text(BLOCKS)
    assert not unchanged(project, known)


def test_a_file_that_is_gone_or_broken_is_not_what_was_read(project: Path) -> None:
    known = own_network.digest(read(project))
    assert known is not None
    (project / "nets/mine.py").write_text("(")
    assert not unchanged(project, known)
    (project / "nets/mine.py").unlink()
    assert not unchanged(project, known)


def unchanged(project: Path, known: str) -> bool:
    return own_network.unchanged("nets/mine.py", known, str(project / "pipeline.yaml"))


def test_validate_builds_the_network_and_asks_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remembered(project / "pipeline.yaml", project / ".darkroom")
    assert main(["validate", "-c", str(project / "pipeline.yaml")]) == 0
    assert "model.file: 162 parameters; 32 px and 10 classes fit" in capsys.readouterr().err


def test_a_network_that_does_not_answer_is_told_with_the_command_to_try_it(project: Path) -> None:
    (project / "nets/blocks.py").write_text(BLOCKS.replace("Linear(4", "Linear(5"))
    with pytest.raises(DarkroomError, match="pictures of 32 px failed in training .*mat1 and mat2 shapes") as caught:
        own_network.tried("nets/mine.py", str(project / "pipeline.yaml"), str(ENTRYPOINTS), 32)
    assert f"model.file: {project / 'nets/mine.py'}: pictures" in caught.value.message
    again = f"{sys.executable} -B {ENTRYPOINTS / 'custom.py'} {project / 'nets/mine.py'} --image_size 32"
    assert caught.value.hint == f"it ran as in a job, where only blocks.py, mine.py will be; where it lies: {again}"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("import importlib; importlib.import_module('unrelated')", "No module named 'unrelated'"),
        ("import os; open(os.path.dirname(__file__) + '/words.txt')", "No such file or directory"),
    ],
)
def test_what_would_be_missing_in_a_job_is_missing_when_it_is_tried(project: Path, line: str, says: str) -> None:
    (project / "nets/words.txt").write_text("owls")
    (project / "nets/mine.py").write_text(f"{NET}\n{line}\n")
    with pytest.raises(DarkroomError, match=says) as caught:
        own_network.tried("nets/mine.py", str(project / "pipeline.yaml"), str(ENTRYPOINTS), 32)
    assert f"{project / 'nets/mine.py'}, line 8: it does not run" in caught.value.message


def test_entry_points_of_somebody_else_are_not_asked(project: Path) -> None:
    assert own_network.tried("nets/mine.py", str(project / "pipeline.yaml"), str(project), 32) is None
