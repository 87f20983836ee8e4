"""Which command stands in for an image."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.errors import DarkroomError
from pipeline.local.images import Image, command_for, register_image
from pipeline.local.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_the_very_address_goes_before_the_longest_pattern(store: Store) -> None:
    for pattern, command in (("*", "a"), ("*/pytorch:*", "b"), ("x/pytorch:1", "c")):
        register_image(store, pattern, ["/bin/" + command])
    found = [command_for(store, uri).command[0] for uri in ("x/other:1", "x/pytorch:2", "x/pytorch:1")]
    assert found == ["/bin/a", "/bin/b", "/bin/c"]


def test_a_command_is_split_as_a_shell_does_and_found_in_path(store: Store) -> None:
    register_image(store, "*", "sh -c 'echo hi'")
    assert command_for(store, "x").command[1:] == ["-c", "echo hi"]
    assert Path(command_for(store, "x").command[0]).is_absolute()


def test_an_unknown_image_says_step_address_and_what_to_type(store: Store) -> None:
    register_image(store, "known*", "sh")
    with pytest.raises(DarkroomError) as caught:
        command_for(store, "111.dkr/my-image:1", "TrainModel")
    assert "step TrainModel" in caught.value.message and "'111.dkr/my-image:1'" in caught.value.message
    assert "known*" in caught.value.message
    assert "--image '*my-image*=COMMAND'" in caught.value.hint


@pytest.mark.parametrize("command", ["", "'open"])
def test_a_command_that_is_none_is_refused(store: Store, command: str) -> None:
    with pytest.raises(DarkroomError, match="--image"):
        register_image(store, "*", command)


def test_python_in_an_entry_point_means_the_images_python() -> None:
    image = Image("x", [sys.executable, "-S"])
    assert image.argv(["python3", "a.py"], ["--b"]) == [sys.executable, "-S", "a.py", "--b"]
    assert image.argv(["/opt/venv/bin/python", "a.py"], []) == [sys.executable, "-S", "a.py"]
    assert image.argv(["/bin/sh", "a"], ["b"]) == ["/bin/sh", "a", "b"]


def test_another_command_is_the_entry_point() -> None:
    image = Image("x", ["/bin/echo", "hi"])
    assert image.argv([], ["b"], ["train"]) == ["/bin/echo", "hi", "train", "b"]
    assert image.argv(["python3", "a.py"], []) == ["python3", "a.py"]
    assert image.environment({"PATH": "/bin"}) == {"PATH": "/bin"}


def test_the_images_programs_come_first_in_path() -> None:
    assert Image("x", ["/venv/bin/python"]).environment({"PATH": "/bin"}) == {"PATH": "/venv/bin:/bin"}
