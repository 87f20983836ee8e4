"""What a network cannot do is told by one sentence, before anything is trained."""

from __future__ import annotations

import re
from pathlib import Path

import custom
import model
import pictures
import pytest
import torch
import train
from refusal import Refusal
from training import distributed, rehearsal

HEAD = """
import threading
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, classes)
        MORE

    def forward(self, shown):
        seen = self.conv(shown)
        WORK
        return self.head(seen.mean((2, 3)))


def build(classes):
    return Net(classes)
"""
IN_PLACE = "seen = seen.sigmoid(); seen *= 2"
MIXED = "seen = torch.zeros(seen.shape).index_copy_(0, torch.arange(len(seen)), seen)"
UNLEARNT = "self.other = nn.Linear(3, 3)"
LOCK = "self.lock = threading.Lock()"
PLAIN = torch.autocast("cpu", torch.bfloat16, enabled=False)


def written(root: Path, more: str = "pass", work: str = "pass") -> Path:
    (root / "net.py").write_text(HEAD.replace("MORE", more).replace("WORK", work))
    return root / "net.py"


def reason(root: Path, *options: str) -> str:
    """Of the failure of a job that trains `net.py`."""
    splits = pictures.colours(root / "splits", {"train": 4, "validation": 4})
    folders = [f"--train-dir={splits / 'train'}", f"--validation-dir={splits / 'validation'}"]
    folders += [f"--model-dir={root / 'model'}", f"--output-data-dir={root / 'output/data'}", "--epochs=1"]
    (root / "output").mkdir()
    assert train.main([*folders, *options], {}) == 1
    assert not (root / "output/data/metrics.jsonl").exists()
    return (root / "output/failure").read_text()


@pytest.mark.parametrize(
    ("more", "work", "options", "said"),
    [
        ("pass", IN_PLACE, [], "a step of training with precision auto failed .*modified by an inplace operation"),
        ("pass", MIXED, ["--precision=bfloat16"], "net.py, line 15: .* precision bfloat16 failed .*same dtype"),
        (LOCK, "pass", ["--ema=0.9"], "cannot be copied, which ema and model.onnx need .*lock"),
        (LOCK, "pass", ["--onnx=true"], "cannot be copied, which ema and model.onnx need .*lock"),
        (
            "pass",
            "return self.head(seen.mean((2, 3)).squeeze())",
            [],
            "for 1 picture in evaluation: .* need \\(1, 3\\)",
        ),
    ],
    ids=["backward", "bfloat16", "ema", "onnx", "one picture"],
)
def test_what_an_own_network_cannot_do_is_the_reason(
    tmp_path: Path, more: str, work: str, options: list[str], said: str
) -> None:
    assert re.search(said, reason(tmp_path, f"--model_file={written(tmp_path, more, work)}", *options))


def test_one_picture_a_process_is_refused_where_batch_norm_sees_one_value(tmp_path: Path) -> None:
    said = reason(tmp_path, "--model=shufflenet_v2_x0_5", "--batch_size=1")
    assert "batches of 1 leave a process one picture, and at 16 px" in said and "to 2 or more" in said


def test_processes_that_would_wait_for_a_gradient_for_ever_say_whose(tmp_path: Path) -> None:
    network = custom.build(written(tmp_path, UNLEARNT), 3)
    idle = rehearsal.stepped(network, 16, 2, PLAIN)
    assert idle == ["other.weight", "other.bias"]
    distributed.ALONE.refuse_idle(idle)
    group = object.__new__(distributed.Group)
    group.size = 2
    group.refuse_idle([])
    with pytest.raises(Refusal, match=r"other.weight, other.bias: the scores do not depend on them, and 2 processes"):
        group.refuse_idle(idle)


def test_a_rehearsal_changes_nothing() -> None:
    network = model.build("shufflenet_v2_x0_5", 3, dropout=0.5)
    before, state = {name: each.clone() for name, each in network.state_dict().items()}, torch.get_rng_state()
    assert rehearsal.stepped(network, 32, 2, torch.autocast("cpu", torch.bfloat16)) == []
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(layer.training for layer in network.modules())
