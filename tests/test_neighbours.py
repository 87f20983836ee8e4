"""Files beside somebody's own network: found, told, read afresh, and never instead of a module that is there."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import neighbours
import pytest


def write(folder: Path, **files: str) -> Path:
    """The network's own file, beside others; `pack_in_one` is pack/one.py."""
    for name, text in {"net": "", **files}.items():
        path = folder / f"{name.replace('_in_', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "net.py"


def test_what_lies_beside_the_file_is_imported_and_told(tmp_path: Path) -> None:
    file = write(tmp_path, own_one="VALUE = 1", own_pack_in___init__="", own_pack_in_two="from own_one import VALUE")
    write(tmp_path, own_other="")
    neighbours.look_beside(file)
    assert neighbours.files() == {"net.py": file}
    assert importlib.import_module("own_pack.two").VALUE == 1
    assert list(neighbours.files()) == ["net.py", "own_one.py", "own_pack/__init__.py", "own_pack/two.py"]
    assert not list(tmp_path.rglob("__pycache__"))


def test_another_file_has_other_neighbours_and_an_edited_one_is_read_again(tmp_path: Path) -> None:
    for value in ("1", "2"):  # of the same size, and within one tick of the clock
        neighbours.look_beside(write(tmp_path / "first", own_one=f"VALUE = {value}"))
        assert int(value) == importlib.import_module("own_one").VALUE
    neighbours.look_beside(write(tmp_path / "second", own_two=""))
    assert "own_one" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("own_one")


def test_no_neighbour_takes_the_place_of_a_module_that_is_there(tmp_path: Path) -> None:
    neighbours.look_beside(write(tmp_path, json="", neighbours=""))
    assert importlib.import_module("json") is json
    assert importlib.import_module("neighbours") is neighbours
    assert list(neighbours.files()) == ["net.py"]


def test_a_folder_of_data_is_no_neighbour(tmp_path: Path) -> None:
    (tmp_path / "own_data").mkdir()
    neighbours.look_beside(write(tmp_path))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("own_data")


def test_once_forgotten_nothing_beside_it_is_told_or_found(tmp_path: Path) -> None:
    neighbours.look_beside(write(tmp_path, own_one=""))
    importlib.import_module("own_one")
    neighbours.forget()
    assert neighbours.files() == {}
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("own_one")
