"""Files that training starts from: named by their content, read again when they change."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from compilations import remembered

from pipeline.__main__ import main
from pipeline.client import local_client
from pipeline.compile import compile_pipeline
from pipeline.compiled import CompiledOnDisk
from pipeline.content import RACY_NS
from pipeline.control import uploads
from pipeline.errors import ConfigError, DarkroomError
from pipeline.model_files import read, unchanged

OLD = 1_600_000_000


def write(path: Path, body: bytes, seconds: int = OLD) -> None:
    path.write_bytes(body)
    os.utime(path, (seconds, seconds))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A configuration that starts from a file beside it, over entry points that hold nothing."""
    folder = tmp_path / "project"
    (folder / "entrypoints").mkdir(parents=True)
    for program in ("prepare.py", "train.py", "evaluate.py", "lambda_deploy.py", "lambda_champion.py"):
        (folder / "entrypoints" / program).write_text("")
    (folder / "pipeline.yaml").write_text("model: {weights: w.pth}\n")
    write(folder / "w.pth", b"weights")
    return folder


def compiled(project: Path, begun: list[str] | None = None) -> CompiledOnDisk:
    seen = begun if begun is not None else []
    home = str(project / ".darkroom")
    return compile_pipeline(str(project / "pipeline.yaml"), home, begun=lambda: seen.append("compiled"))


def digest(folder: Path, name: str = "w.pth") -> str:
    [file] = read({"weights": name}, str(folder / "pipeline.yaml"))
    return str(file.digest)


def test_a_file_is_named_by_name_and_content_wherever_it_lies(project: Path, tmp_path: Path) -> None:
    before = digest(project)
    assert len(before) == 32
    assert digest(tmp_path, "project/w.pth") == before
    write(project / "w.pth", b"Weights")
    assert digest(project) != before


def test_all_that_is_missing_is_told_at_once_with_its_key(project: Path) -> None:
    (project / "x.tar.gz").mkdir()
    with pytest.raises(ConfigError) as caught:
        read({"weights": "gone.pth", "warm_start": "x.tar.gz"}, str(project / "pipeline.yaml"))
    assert caught.value.problems == (
        f'model.weights: "gone.pth" does not exist; looked for {project}/gone.pth',
        'model.warm_start: "x.tar.gz" is a folder, not a file',
    )
    assert caught.value.hint == f"name a file or an s3:// address; a relative path starts at {project}"


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that opens, and fails when it is read")
def test_a_file_that_cannot_be_read_is_named(project: Path) -> None:
    (project / "bad.pth").symlink_to("/proc/self/mem")
    with pytest.raises(DarkroomError, match=r"bad\.pth cannot be read: "):
        digest(project, "bad.pth")


def test_a_file_that_was_just_written_is_read_when_a_further_write_would_show(project: Path) -> None:
    (project / "w.pth").write_bytes(b"new")
    [file] = read({"weights": "w.pth"}, str(project / "pipeline.yaml"))
    assert time.time_ns() - file.stamp[1] >= RACY_NS


def test_a_change_of_size_or_time_or_the_end_of_a_file_is_seen(project: Path) -> None:
    config = str(project / "pipeline.yaml")
    known = read({"weights": "w.pth"}, config)[0]._asdict()
    assert unchanged(known, config)
    write(project / "w.pth", b"weights", OLD + 1)
    assert not unchanged(known, config)
    (project / "w.pth").unlink()
    assert not unchanged(known, config)


def test_compiling_is_remembered_for_each_content_and_the_definition_names_it(project: Path) -> None:
    begun: list[str] = []
    first = compiled(project, begun)
    [(address, path)] = first.model_files()
    assert address == (f"s3://darkroom-111122223333-us-east-1/darkroom-digits/weights/{digest(project)}/w.pth")
    assert path == str(project / "w.pth")
    assert f'"{address.removesuffix("w.pth")}"' in first.definition()
    assert str(project) not in first.definition()
    assert compiled(project, begun).folder == first.folder
    assert begun == ["compiled"]

    write(project / "w.pth", b"others", OLD + 1)
    second = compiled(project, begun)
    assert begun == ["compiled"] * 2
    assert second.definition() != first.definition()

    write(project / "w.pth", b"weights")
    assert compiled(project, begun).folder == first.folder
    assert begun == ["compiled"] * 2


def test_a_file_that_does_not_exist_is_told_by_the_child(project: Path) -> None:
    (project / "w.pth").unlink()
    with pytest.raises(ConfigError, match=r'pipeline\.yaml: 1 problem\n  model\.weights: "w\.pth" does not exist'):
        compiled(project)


def test_the_file_is_put_at_the_address_that_the_definition_holds_once(project: Path) -> None:
    remembered(project / "pipeline.yaml", project / ".darkroom")
    made, clients = compiled(project), local_client(str(project / ".darkroom"))
    [(address, path)] = made.model_files()
    uploads.put_model_files(clients, made)
    assert clients.storage.get_bytes(address) == b"weights"
    os.unlink(path)
    uploads.put_model_files(clients, made)  # what is there already is not read again


def test_compiling_for_a_later_start_puts_the_file_where_the_definition_expects_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remembered(project / "pipeline.yaml", project / ".darkroom")
    assert main(["compile", "-c", str(project / "pipeline.yaml"), "-o", "-"]) == 0
    [(address, _)] = compiled(project).model_files()
    assert address.removesuffix("w.pth") in capsys.readouterr().out
    assert local_client(str(project / ".darkroom")).storage.get_bytes(address) == b"weights"


def test_a_file_that_changes_between_compiling_and_copying_is_refused(project: Path) -> None:
    remembered(project / "pipeline.yaml", project / ".darkroom")
    made, clients = compiled(project), local_client(str(project / ".darkroom"))
    write(project / "w.pth", b"others!")
    with pytest.raises(DarkroomError, match=r"w\.pth changed after it was compiled"):
        uploads.put_model_files(clients, made)
    assert not clients.storage.exists(made.model_files()[0][0])
