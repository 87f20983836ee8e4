"""Somebody's own network: it is built, run once, and each of its errors names its file and line."""

from __future__ import annotations

import re
from pathlib import Path

import custom
import model
import pytest
import torch
from refusal import Refusal
from training import freezing

GOOD = """
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Width:
    first: int = 8


def build(num_classes: int) -> nn.Module:
    width = Width().first
    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(0.1), nn.Linear(width, num_classes),
    )
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "net.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_network_of_ones_own_is_built_frozen_and_checked(tmp_path: Path) -> None:
    network = custom.build(written(tmp_path, GOOD), 4, dropout=0.5)
    custom.check(network, 4, 16, tmp_path / "net.py")
    assert network[5].p == 0
    assert freezing.freeze(network, 0) == 8 * 4 + 4
    assert not list(tmp_path.glob("__pycache__"))


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    custom.build(written(tmp_path, GOOD), 4)
    wider = custom.build(written(tmp_path, GOOD.replace("= 8", "= 9")), 4)
    assert wider[0].out_channels == 9


def test_the_check_leaves_random_states_and_statistics_alone(tmp_path: Path) -> None:
    network = custom.build(written(tmp_path, GOOD), 4)
    before, mean = torch.get_rng_state(), network[1].running_mean.clone()
    custom.check(network, 4, 16)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(network[1].running_mean, mean)
    assert network[1].num_batches_tracked == 0


LINEAR = "from torch import nn\ndef build(num_classes):\n    return "
BAD = {
    "syntax": ("x = 1\ndef build(:\n", "net.py, line 2: it does not run (SyntaxError"),
    "zero byte": ("x = '\0'\n", "it does not run (SyntaxError"),
    "import": ("\nimport nowhere_to_be_found\n", "net.py, line 2: it does not run (ModuleNotFoundError"),
    "exit": ("import sys\nsys.exit('enough')\n", "net.py, line 2: it does not run (SystemExit: enough)"),
    "no build": ("BUILD = 1\n", "no function build: write def build"),
    "no function": ("build = 1\n", "no function build: write def build"),
    "raises": ("def build(n):\n    a = 1\n    return a / 0\n", "net.py, line 3: build(4) failed (ZeroDivisionError"),
    "assertion": ("def build(n):\n    assert n == 3\n", "line 2: build(4) failed (AssertionError: no reason given)"),
    "arguments": ("def build():\n    return None\n", "build(4) failed (TypeError"),
    "none": ("def build(n):\n    return None\n", "build(4) returned a NoneType: return a torch.nn.Module"),
    "a class": (LINEAR + "nn.Linear\n", "build(4) returned a type"),
    "no parameters": (LINEAR + "nn.Flatten()\n", "has no parameters"),
    "lazy": (LINEAR + "nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))\n", "lazy layers"),
    "width": (LINEAR + "nn.Linear(3, 7)\n", "gives 7 values for 4 classes"),
    "no head": (LINEAR + "nn.BatchNorm2d(3)\n", "end it with nn.Linear"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_builds_nothing_to_train_is_refused(tmp_path: Path, case: str) -> None:
    text, words = BAD[case]
    with pytest.raises(Refusal, match=re.escape(words)):
        custom.build(written(tmp_path, text), 4)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=re.escape("no such file, and model_file names it")):
        custom.build(tmp_path / "net.py", 4)


FORWARD = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.fc, self.kernel = nn.Linear(3, n), nn.Parameter(torch.ones(4, 3, 3, 3))
    def forward(self, x):
        {}
def build(n):
    return Net(n)
"""
ODD = {
    "raises": ("return self.fc(x)", "net.py, line 9: pictures of 16 px failed in training (RuntimeError"),
    "view": (
        "return self.fc(torch.nn.functional.conv2d(x, self.kernel)[:, :, ::8, ::8].view(len(x), -1)[:, :3])",
        "net.py, line 9: pictures of 16 px failed in training (RuntimeError: view size is not compatible",
    ),
    "tuple": ("return self.fc(x.mean((2, 3))), 1", "gives tuple for 2 pictures in training"),
    "only in training": (
        "return {'out': x} if self.training else self.fc(x.mean((2, 3)))",
        "gives dict for 2 pictures in training",
    ),
    "only in evaluation": (
        "return self.fc(x.mean((2, 3)))[: 2 if self.training else 1]",
        "(1, 4) for 2 pictures in ev",
    ),
    "shape": (
        "return self.fc(x.movedim(1, -1))",
        "gives (2, 16, 16, 4) for 2 pictures in training: 4 classes need",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_a_network_that_gives_no_scores_is_refused(tmp_path: Path, case: str) -> None:
    line, words = ODD[case]
    path = written(tmp_path, FORWARD.replace("{}", line, 1))
    with pytest.raises(Refusal, match=re.escape(words)):
        custom.check(custom.build(path, 4), 4, 16, path)


@pytest.mark.parametrize(("name", "side"), [("vit_b_32", 32), ("vgg11_bn", 16), ("inception_v3", 64)])
def test_pictures_that_a_network_cannot_take_are_refused(name: str, side: int) -> None:
    network = model.build(name, 2)
    with pytest.raises(Refusal, match=f"pictures of {side} px failed in training .*set image_size or model"):
        custom.check(network, 2, side)
