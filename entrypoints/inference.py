"""The four handlers that AWS's PyTorch toolkit calls by name, and that serve.py calls too."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import archive
import custom
import model
import numpy as np
import payload
import torch
from numpy.typing import NDArray
from refusal import Refusal
from torch import Tensor, nn

TOP = 5
BATCH = 64


class Predictor(NamedTuple):
    """A network in evaluation mode with what its card says about classes and pixels."""

    network: nn.Module
    classes: tuple[str, ...]
    frame: payload.Frame
    mean: Tensor
    scale: Tensor
    temperature: float = 1.0

    @property
    def image_size(self) -> int:
        return self.frame.image_size


def model_fn(model_dir: str | Path, context: object = None) -> Predictor:
    """Reads an unpacked model archive; raises Refusal when it is damaged or another one.

    Of somebody's own network the code is run that the archive holds: give it only archives that you would run.
    """
    folder = Path(model_dir)
    card = archive.read_card(folder)
    shape, pixels = card["architecture"], card["preprocessing"]
    if shape["num_classes"] != len(card["classes"]):
        raise Refusal(f"{folder}: {len(card['classes'])} class names for {shape['num_classes']} outputs: train again")
    weights = folder / Path(card["weights"]["file"]).name
    if not weights.is_file():
        raise Refusal(f"{weights}: missing from the model archive: train again")
    if archive.sha256(weights) != card["weights"]["sha256"]:
        raise Refusal(f"{weights}: not the weights that the card describes: train again")
    network = _own(shape, folder, pixels["image_size"]) if "file" in shape else _named(shape)
    model.load_weights(network, weights)
    network = network.eval().to(model.device(), memory_format=torch.channels_last)
    mean = torch.tensor(pixels["mean"]).mul(255).view(1, 3, 1, 1)
    scale = torch.tensor(pixels["deviation"]).mul(255).reciprocal().view(1, 3, 1, 1)
    frame = payload.Frame(pixels["image_size"], pixels["stored_size"], pixels["square"])
    return Predictor(network, tuple(card["classes"]), frame, mean, scale, _temperature(card, folder))


def _named(shape: dict[str, Any]) -> nn.Module:
    return model.build(shape["name"], shape["num_classes"], shape["stem"])


def _own(shape: dict[str, Any], folder: Path, image_size: int) -> nn.Module:
    """Run once, so that whatever it imports as it runs is there before the first request."""
    own = folder / archive.CODE / archive.OWN
    if {path.relative_to(own).as_posix(): archive.sha256(path) for path in own.rglob("*.py")} != shape["sha256"]:
        raise Refusal(f"{own}: not the network's code that the card describes: train again")
    file = own / Path(shape["file"]).name
    network = custom.build(file, shape["num_classes"])
    custom.check(network, shape["num_classes"], image_size, file)
    return network


def _temperature(card: dict[str, Any], folder: Path) -> float:
    """What calibration.py fitted on validation; a card without it leaves probabilities as they are."""
    value = card.get("temperature", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise Refusal(f"{folder / archive.CARD}: temperature {value!r} is no positive number: train again")
    return float(value)


def input_fn(body: bytes | str, content_type: str = "", context: object = None) -> bytes:
    """The content is looked at, the content type is not: the body's first bytes say more. predict_fn knows the size."""
    return body.encode() if isinstance(body, str) else bytes(body)


def predict_fn(body: bytes, predictor: Predictor, context: object = None) -> list[dict[str, Any]]:
    """One prediction a picture; raises payload.BadRequest for what cannot be one."""
    rows = probabilities(predictor, payload.decode(body, predictor.frame))
    return [_prediction(row, predictor.classes) for row in rows]


def output_fn(predictions: list[dict[str, Any]], accept: str = "application/json", context: object = None) -> str:
    return json.dumps({"predictions": predictions}, ensure_ascii=False)


def probabilities(predictor: Predictor, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, H, W, 3) of the model's own size → (n, classes)."""
    return chances(logits(predictor, pictures), predictor.temperature)


def chances(scores: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    shares: NDArray[np.float32] = torch.from_numpy(scores / np.float32(temperature)).softmax(1).numpy()
    return shares


def logits(predictor: Predictor, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, H, W, 3) of the model's own size → (n, classes) before temperature, in float32 so that machines agree."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pictures), BATCH):
            scaled = inputs(predictor, pictures[start : start + BATCH])
            parts.append(predictor.network(scaled).float().cpu())
    return torch.cat(parts).numpy()


def inputs(predictor: Predictor, pictures: NDArray[np.uint8]) -> Tensor:
    """(n, H, W, 3) → what the network takes, on its device."""
    part = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2)
    return part.float().sub_(predictor.mean).mul_(predictor.scale).to(next(predictor.network.parameters()).device)


def _prediction(row: NDArray[np.float32], classes: tuple[str, ...]) -> dict[str, Any]:
    best = np.argsort(-row, kind="stable")[:TOP]
    top = [{"class": classes[index], "probability": round(float(row[index]), 6)} for index in best]
    return {**top[0], "top": top}
