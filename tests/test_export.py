"""model.onnx: it answers as the archive's network does, and a job that asked for it and got another one fails."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import archive
import inference
import model
import numpy as np
import onnxruntime
import payload
import pictures
import pytest
import torch
import train
from data import open_split
from inference import Predictor
from refusal import Refusal
from torch import Tensor, nn
from training import export

SMALL = ["--model", "shufflenet_v2_x0_5", "--epochs", "1", "--batch_size", "16", "--onnx", "True"]


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 8, "validation": 4})


@pytest.fixture(scope="module")
def trained(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model archive with its graph."""
    root = tmp_path_factory.mktemp("trained")
    assert run(colours, root, *SMALL) == 0
    return root / "model"


def run(splits: Path, root: Path, *more: str) -> int:
    folders = {"train": splits / "train", "validation": splits / "validation", "model": root / "model"}
    places = [f"--{name}-dir={folder}" for name, folder in folders.items()]
    return train.main([*places, f"--output-data-dir={root / 'out/data'}", *more], {})


def predictor(network: nn.Module, size: int = 32, temperature: float = 1.5) -> Predictor:
    mean, scale = torch.full((1, 3, 1, 1), 110.0), torch.full((1, 3, 1, 1), 1 / 60)
    frame = payload.Frame(size, size, "crop")
    return Predictor(network.eval(), ("a", "b", "c", "d"), frame, mean, scale, temperature)


def noise(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def exported(path: Path, known: Predictor) -> Path:
    export.write(export.served(known), known.image_size, path)
    return path


def test_the_graph_answers_as_the_endpoint_does_for_any_number_of_pictures(colours: Path, trained: Path) -> None:
    """From pixels alone: who runs it elsewhere needs neither mean nor temperature."""
    session = onnxruntime.InferenceSession(str(trained / "model.onnx"), providers=["CPUExecutionProvider"])
    pixels = open_split(colours / "validation").centred(0, 12)
    for count in (1, 5, 12):
        planes = np.ascontiguousarray(pixels[:count].transpose(0, 3, 1, 2))
        (chances,) = session.run(["probabilities"], {"pictures": planes})
        assert np.allclose(chances, inference.probabilities(inference.model_fn(trained), pixels[:count]), atol=1e-5)


def test_the_card_says_what_the_graph_takes_and_how_it_was_checked(trained: Path) -> None:
    told = archive.read_card(trained)["onnx"]
    assert told["sha256"] == archive.sha256(trained / told["file"])
    session = onnxruntime.InferenceSession(str(trained / told["file"]), providers=["CPUExecutionProvider"])
    for kind, members in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        assert {each.name: each.shape for each in members} == {name: f["shape"] for name, f in told[kind].items()}
    assert told["inputs"]["pictures"]["type"] == "uint8"
    assert told["largest_difference"] < 1e-4
    assert (told["same_class"], told["compared"]) == (8, 8)
    assert told["checked_by"].startswith("onnxruntime 1.")


def test_nobody_is_given_a_graph_unasked(colours: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.onnx").write_text("of an earlier training in this folder")
    assert run(colours, tmp_path, *SMALL, "--onnx", "False") == 0
    assert "onnx" not in archive.read_card(tmp_path / "model")
    assert not (tmp_path / "model/model.onnx").exists()
    assert (tmp_path / "model/model.pt").read_bytes() == (trained / "model.pt").read_bytes()


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "swin_t", "googlenet"])
def test_families_of_networks_become_graphs(tmp_path: Path, name: str) -> None:
    """Weights larger than those of a start, so that a lost layer would show."""
    torch.manual_seed(1)
    network = model.build(name, 4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    known = predictor(network)
    found = export.compare(exported(tmp_path / "g.onnx", known), known, noise(3))
    assert found["same_class"] == 3


def test_both_runtimes_agree(tmp_path: Path) -> None:
    known = predictor(model.build("mobilenet_v3_small", 4))
    path = exported(tmp_path / "g.onnx", known)
    for check in (export.by_onnxruntime, export.by_reference):
        assert export.compare(path, known, noise(2), check)["same_class"] == 2
    assert export.compare(path, known, noise(2), export.by_reference)["checked_by"].startswith("onnx.reference 1.")


def test_another_networks_graph_is_refused(tmp_path: Path) -> None:
    path = exported(tmp_path / "g.onnx", predictor(model.build("shufflenet_v2_x0_5", 4)))
    with pytest.raises(Refusal, match="scores differ by up to .* switch off model.onnx"):
        export.compare(path, predictor(model.build("shufflenet_v2_x0_5", 4)), noise(2))


def test_a_graph_with_another_temperature_is_refused(tmp_path: Path) -> None:
    known = predictor(nn.Sequential(nn.Flatten(), nn.Linear(3072, 4)))
    path = exported(tmp_path / "g.onnx", known)
    with pytest.raises(Refusal, match="differ"):
        export.compare(path, known._replace(temperature=0.2), noise(2))


class Deciding(nn.Module):
    """Takes another way for bright pictures: a graph of one way is all that the exporter can make."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 32 * 32, 4)

    def forward(self, shown: Tensor) -> Tensor:
        scores: Tensor = self.head(shown.flatten(1))
        return scores if shown.mean() < 0 else -scores


def test_a_network_that_decides_in_python_is_refused(tmp_path: Path) -> None:
    known = predictor(Deciding())
    with pytest.raises(Refusal, match="differ"):
        export.compare(exported(tmp_path / "g.onnx", known), known, noise(2))


class Exotic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, shown: Tensor) -> Tensor:
        scores: Tensor = self.head(torch.special.bessel_j0(shown).mean((2, 3)))
        return scores


def test_what_has_no_graph_is_refused_before_any_training(tmp_path: Path) -> None:
    asked = argparse.Namespace(onnx=True)
    with pytest.raises(Refusal, match="cannot become an ONNX graph .*bessel_j0.* switch off model.onnx"):
        export.rehearse(asked, Exotic(), 32)
    export.rehearse(argparse.Namespace(onnx=False), Exotic(), 32)


def test_a_rehearsal_changes_neither_network_nor_random_numbers() -> None:
    network = model.build("mobilenet_v3_small", 4).train()
    before, state = {name: each.clone() for name, each in network.state_dict().items()}, torch.get_rng_state()
    export.rehearse(argparse.Namespace(onnx=True), network, 32)
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    assert network.training and torch.equal(state, torch.get_rng_state())


def test_an_image_without_the_packages_is_told_and_one_without_the_runtime_makes_do() -> None:
    with pytest.raises(Refusal, match="needs the package onnx, and it is not installed: name an image"):
        export.runtime(lambda name: None)
    assert export.runtime(lambda name: name if name == "onnx" else None) is export.by_reference
    assert export.runtime(lambda name: name) is export.by_onnxruntime


def test_a_graph_that_does_not_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(b"no graph")
    with pytest.raises(Refusal, match="onnxruntime .* cannot run the graph"):
        export.compare(tmp_path / "g.onnx", predictor(nn.Sequential(nn.Flatten(), nn.Linear(3072, 4))), noise(1))


def test_an_archive_whose_graph_differs_is_none(colours: Path, trained: Path, tmp_path: Path) -> None:
    """One validation picture holds nothing that can be scored: NaN is no agreement."""
    folder = tmp_path / "model"
    folder.mkdir()
    card = archive.read_card(trained)
    card["preprocessing"]["deviation"] = [1e-45, 1e-45, 1e-45]
    (folder / "model.json").write_text(json.dumps(card))
    (folder / "model.pt").write_bytes((trained / "model.pt").read_bytes())
    asked = argparse.Namespace(onnx=True, model_dir=folder)
    with pytest.raises(Refusal, match="differ"):
        export.add(asked, open_split(colours / "validation"))
    assert not (folder / "model.json").exists()
