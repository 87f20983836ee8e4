"""Import closures of programs, their digests and their archives."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import DarkroomError
from pipeline.source import archive, digest, program_files, zip_archive

ENTRYPOINTS = Path(__file__).parent.parent / "entrypoints"
PROGRAMS = sorted(path.name for path in ENTRYPOINTS.glob("*.py"))
# Lists the modules below the folder that a program really loads when everything it imports, wherever, is imported.
REAL_IMPORTS = """
import json, sys
from modulefinder import ModuleFinder
root, program = sys.argv[1:]
finder = ModuleFinder(path=[root])
finder.run_script(f"{root}/{program}")
files = {module.__file__ for module in finder.modules.values() if module.__file__}
print(json.dumps(sorted(file[len(root) + 1:] for file in files)))
"""


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def closure(root: Path, program: str = "main.py") -> list[str]:
    return list(program_files(root, program))


def really_imported(root: Path, program: str) -> list[str]:
    command = [sys.executable, "-c", REAL_IMPORTS, str(root), program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found


def test_a_program_travels_with_what_it_imports_and_nothing_else(tmp_path: Path) -> None:
    tree(tmp_path, main_py="import os\nimport a", a_py="from b import x", b_py="x = 1", other_py="")
    assert closure(tmp_path) == ["a.py", "b.py", "main.py"]


def test_imports_inside_functions_and_branches_count(tmp_path: Path) -> None:
    text = "def f():\n    import a\nif True:\n    try:\n        import b\n    except ImportError:\n        pass"
    tree(tmp_path, main_py=text, a_py="", b_py="")
    assert closure(tmp_path) == ["a.py", "b.py", "main.py"]


def test_packages_travel_with_their_init_and_relative_imports(tmp_path: Path) -> None:
    tree(tmp_path, main_py="from pack import one", **{"pack/__init___py": "", "pack/one_py": "from . import two"})
    tree(tmp_path, **{"pack/two_py": "from .three import x", "pack/three_py": "x = 1", "pack/four_py": ""})
    assert closure(tmp_path) == ["main.py", "pack/__init__.py", "pack/one.py", "pack/three.py", "pack/two.py"]


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    tree(tmp_path, main_py="import a", a_py="import main")
    assert closure(tmp_path) == ["a.py", "main.py"]


def test_shipped_files_travel_with_what_they_import(tmp_path: Path) -> None:
    tree(tmp_path, main_py='SHIPS = ("serve.py", "labels.txt")', serve_py="import a", a_py="")
    (tmp_path / "labels.txt").write_text("cat")
    assert closure(tmp_path) == ["a.py", "labels.txt", "main.py", "serve.py"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import (", "main.py:1: "),
        ("x = 1\ndef f(:\n", "main.py:2: "),
        ("\0", "main.py"),
        ('SHIPS = ["a.py"]', "has to be a tuple of literal file names"),
        ("SHIPS = tuple(x)", "has to be a tuple of literal file names"),
        ("SHIPS = (name,)", "has to be a tuple of literal file names"),
        ('SHIPS: tuple[str, ...] = ("gone.py",)', "'gone.py', which is not a file in"),
        ('SHIPS = ("../secret",)', "lies outside"),
        ('SHIPS = ("/etc/passwd",)', "lies outside"),
    ],
)
def test_a_program_that_cannot_be_packed_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    tree(tmp_path, main_py=text)
    with pytest.raises(DarkroomError) as caught:
        program_files(tmp_path, "main.py")
    assert says in caught.value.message
    assert caught.value.hint


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x")
    root = tree(tmp_path / "code", main_py='SHIPS = ("link.txt",)')
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(DarkroomError, match="leads outside"):
        program_files(root, "main.py")


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(DarkroomError, match="the program 'train.py' is not a file"):
        program_files(tmp_path, "train.py")


def test_the_digest_depends_on_names_and_contents_alone() -> None:
    files = {"a.py": b"1", "b.py": b"2"}
    assert digest(files) == digest(dict(reversed(files.items())))
    assert len({digest(files), digest({**files, "a.py": b"3"}), digest({"a.py": b"1", "c.py": b"2"})}) == 3
    assert digest({"a": b"12"}) != digest({"a1": b"2"})


def test_an_archive_holds_no_time_owner_or_order() -> None:
    files = {"b.py": b"2", "pack/a.py": b"1"}
    body = archive(files)
    assert body == archive(dict(reversed(files.items())))
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        entries = [(each.name, each.mtime, each.uid, each.gid, each.uname, oct(each.mode)) for each in tar]
    assert entries == [("b.py", 0, 0, 0, "", "0o644"), ("pack/a.py", 0, 0, 0, "", "0o644")]
    assert body[4:8] == b"\0\0\0\0"  # gzip's own time


def test_a_zip_holds_no_time_and_can_be_read_by_lambda() -> None:
    files = {"b.py": b"2", "a.py": b"1"}
    body = zip_archive(files)
    assert body == zip_archive(dict(reversed(files.items())))
    with zipfile.ZipFile(io.BytesIO(body)) as zipped:
        assert [(each.filename, each.date_time[0], each.external_attr >> 16) for each in zipped.infolist()] == [
            ("a.py", 1980, 0o100644),
            ("b.py", 1980, 0o100644),
        ]
        assert zipped.read("b.py") == b"2"


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_closure_of_each_entry_point_is_what_python_imports(program: str, tmp_path: Path) -> None:
    root = tmp_path / "entrypoints"
    root.mkdir()
    for path in ENTRYPOINTS.glob("*.py"):
        # SHIPS is our own word, which Python knows nothing of.
        (root / path.name).write_text(
            path.read_text(encoding="utf-8").replace("SHIPS", "NOT_SHIPPED"), encoding="utf-8"
        )
    assert closure(root, program) == really_imported(root, program)


def test_the_real_import_check_has_programs_to_check() -> None:
    assert {"prepare.py", "train.py", "evaluate.py", "lambda_deploy.py", "lambda_champion.py"} <= set(PROGRAMS)
