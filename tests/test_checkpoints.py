"""Checkpoints: whole or absent, taken up by an equal training only, and nothing in them is ever executed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from refusal import Refusal
from training import checkpoints
from warm import Program

MARK = {"code": "c", "processes": "1", "data train": "d", "lr": "0.1"}
ENTRYPOINTS = Path(checkpoints.__file__).parents[1]


def written(folder: Path, content: bytes) -> None:
    """A file whose digest is right, whatever is in it."""
    head = checkpoints.MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n"
    (folder / checkpoints.NAME).write_bytes(head + content)


def payload(folder: Path) -> bytes:
    return (folder / checkpoints.NAME).read_bytes().partition(b"\n")[2]


def test_what_was_saved_last_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "not/there/yet"
    for step in (1, 2):
        state = {"step": step, "weights": {"a": torch.arange(3) * step}, "epochs": [1.5, None, "x"]}
        checkpoints.save(folder, MARK, state)
    found = checkpoints.resume(folder, MARK)
    assert found is not None and found["step"] == 2 and found["epochs"] == [1.5, None, "x"]
    assert torch.equal(found["weights"]["a"], torch.tensor([0, 2, 4]))
    assert os.listdir(folder) == [checkpoints.NAME]


def test_memory_formats_come_back_too(tmp_path: Path) -> None:
    tensor = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    checkpoints.save(tmp_path, MARK, {"tensor": tensor})
    found = checkpoints.resume(tmp_path, MARK)
    assert found is not None and found["tensor"].stride() == tensor.stride() and torch.equal(found["tensor"], tensor)


def test_a_first_start_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkpoints.resume(tmp_path, MARK) is None and checkpoints.resume(tmp_path / "none", MARK) is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({**MARK, "lr": "0.2", "ema": "0.9"}, "lr, ema"),
        ({**MARK, "code": "d"}, "code"),
        ({"lr": "0.1"}, "other settings"),
    ],
)
def test_another_training_starts_afresh_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: dict[str, str], why: str
) -> None:
    checkpoints.save(tmp_path, MARK, {"step": 1})
    assert checkpoints.resume(tmp_path, other) is None
    said = f"of another training; not equal: {why}: training starts from the beginning"
    assert capsys.readouterr().err == f"{tmp_path / checkpoints.NAME}: {said}\n"


def test_without_a_folder_nothing_is_kept() -> None:
    checkpoints.save(None, MARK, {"step": 1})
    assert checkpoints.resume(None, MARK) is None
    checkpoints.remove(None)


def test_removed_means_from_the_beginning(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, MARK, {"step": 1})
    (tmp_path / f"{checkpoints.NAME}.partial").write_bytes(b"half")
    (tmp_path / "users.txt").write_text("kept")
    checkpoints.remove(tmp_path)
    checkpoints.remove(tmp_path)
    assert checkpoints.resume(tmp_path, MARK) is None and os.listdir(tmp_path) == ["users.txt"]


def test_a_torn_or_changed_file_is_never_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints.save(tmp_path, MARK, {"weights": torch.zeros(50)})
    path = tmp_path / checkpoints.NAME
    whole, drawn = path.read_bytes(), random.Random(0)
    damaged = [whole[: drawn.randrange(len(whole))] for _ in range(30)]
    for _ in range(100):
        changed = bytearray(whole)
        changed[drawn.randrange(len(whole))] ^= 1 << drawn.randrange(8)
        damaged.append(bytes(changed))
    for content in [*damaged, b"", whole + b"x", b"\n" * 200]:
        path.write_bytes(content)
        assert checkpoints.resume(tmp_path, MARK) is None
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 133 and all("damaged, or no checkpoint of this program" in line for line in lines)


def test_made_up_files_are_no_state_and_no_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their digest is right: what is left is torch's reader. No message proposes to read them without weights_only."""
    checkpoints.save(tmp_path, MARK, {"weights": torch.zeros(5), "names": ["a", {"b": 1.5}]})
    whole, drawn = payload(tmp_path), random.Random(1)
    for _ in range(400):
        changed = bytearray(whole)
        changed[drawn.randrange(len(whole))] ^= 1 << drawn.randrange(8)
        written(tmp_path, bytes(changed))
        found = checkpoints.resume(tmp_path, MARK)
        assert found is None or isinstance(found, dict)
    for content in (b"", b"PK", pickle.dumps({"state": 1}), whole[: len(whole) // 2]):
        written(tmp_path, content)
        assert checkpoints.resume(tmp_path, MARK) is None
    assert "weights_only" not in capsys.readouterr().err


class Dropper:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bait = tmp_path / "bait"
    torch.save({"fingerprint": MARK, "state": {"x": Dropper(bait)}}, tmp_path / "made")
    written(tmp_path, (tmp_path / "made").read_bytes())
    assert checkpoints.resume(tmp_path, MARK) is None and not bait.exists()
    assert "holds more than tensors" in capsys.readouterr().err
    torch.load(tmp_path / "made", weights_only=False)
    assert bait.exists()  # it would have


@pytest.mark.parametrize("content", [[1], {"state": {}}, {"fingerprint": MARK, "state": 3}])
def test_a_file_of_another_shape_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "made")
    written(tmp_path, (tmp_path / "made").read_bytes())
    assert checkpoints.resume(tmp_path, MARK) is None


def test_the_fingerprint_knows_settings_data_code_and_processes(tmp_path: Path) -> None:
    for name in ("a", "b", "copy"):
        (tmp_path / name).write_text(name[:1] if name != "copy" else "a")
    base = checkpoints.fingerprint({"lr": 0.1}, {"train": tmp_path / "a"})
    assert base == checkpoints.fingerprint({"lr": 0.1}, {"train": tmp_path / "copy"})
    others = [
        checkpoints.fingerprint({"lr": 0.2}, {"train": tmp_path / "a"}),
        checkpoints.fingerprint({"lr": 0.1}, {"train": tmp_path / "b"}),
        checkpoints.fingerprint({"lr": 0.1}, {"validation": tmp_path / "a"}),
        checkpoints.fingerprint({"lr": 0.1}, {"train": tmp_path / "a"}, world=2),
    ]
    assert base not in others
    with pytest.raises(Refusal, match="nothing: missing"):
        checkpoints.fingerprint({}, {"train": tmp_path / "nothing"})


def test_a_changed_module_is_other_code(tmp_path: Path) -> None:
    program = "import pathlib\nfrom training import checkpoints\n"
    for number in (1, 1, 2):
        program += (
            f"pathlib.Path('mine.py').write_text('X = {number}')\nprint(checkpoints.fingerprint({{}}, {{}})['code'])\n"
        )
    (tmp_path / "training").mkdir()
    for name in ("training/checkpoints.py", "refusal.py"):
        (tmp_path / name).write_bytes((ENTRYPOINTS / name).read_bytes())
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, same, other = done.stdout.split()
    assert first == same != other


def test_random_numbers_go_on_where_they_were() -> None:
    order = torch.Generator().manual_seed(1)
    torch.manual_seed(2)
    torch.rand(3), torch.rand(5, generator=order)
    states = checkpoints.random_states(order=order)
    expected = torch.rand(4), torch.rand(4, generator=order)
    torch.manual_seed(9)
    other = torch.Generator()
    checkpoints.set_random_states(states, order=other)
    assert torch.equal(torch.rand(4), expected[0]) and torch.equal(torch.rand(4, generator=other), expected[1])


def test_random_states_can_be_saved(tmp_path: Path) -> None:
    order = torch.Generator().manual_seed(1)
    checkpoints.save(tmp_path, MARK, {"random": checkpoints.random_states(order=order)})
    found = checkpoints.resume(tmp_path, MARK)
    assert found is not None
    checkpoints.set_random_states(found["random"], order=order)


def test_the_clock_asks_for_a_checkpoint_every_so_often() -> None:
    due, never = checkpoints.every(1e-9), checkpoints.every(0)
    assert due() and due()
    assert not never() and not checkpoints.every(1000)()


def test_sagemaker_says_where_checkpoints_are_kept(tmp_path: Path) -> None:
    env = {"SM_INPUT_CONFIG_DIR": str(tmp_path)}
    assert checkpoints.place({}) is None and checkpoints.place(env) is None
    (tmp_path / "checkpointconfig.json").write_text(json.dumps({"LocalPath": "/opt/ml/checkpoints"}))
    assert checkpoints.place(env) == Path("/opt/ml/checkpoints")


SAVING = """
import sys, torch
from pathlib import Path
from training import checkpoints
for step in range(10**9):
    checkpoints.save(Path(sys.argv[1]), {"a": "b"}, {"step": step, "weights": torch.full((500_000,), step)})
"""


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    drawn = random.Random(3)
    for number in range(3):
        folder = tmp_path / str(number)
        process = Program(["-c", SAVING, folder], tmp_path / f"log-{number}", os.environ, ENTRYPOINTS)
        try:
            while process.poll() is None and not (folder / checkpoints.NAME).exists():
                time.sleep(0.01)
            for _ in range(20):  # looked at while it is being replaced
                found = checkpoints.resume(folder, {"a": "b"})
                assert found is not None and (found["weights"] == found["step"]).all()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(drawn.random() / 20)
        finally:
            process.kill()
            process.wait()
        found = checkpoints.resume(folder, {"a": "b"})
        assert found is not None and (found["weights"] == found["step"]).all()


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        checkpoints.save(tmp_path / "file", MARK, {})
