"""The four handlers that AWS's PyTorch toolkit calls by name, and that serve.py calls too."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
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
from serving import accepting, answers
from serving.answers import Predictions
from torch import Tensor, nn

TOP = 5  # classes in an answer
BATCH = 64
# The card's section "serving", and the variables that change on one endpoint what the archive says.
UNSURE, MOST = "DARKROOM_UNSURE_BELOW", "DARKROOM_TOP"


class Predictor(NamedTuple):
    """A network in evaluation mode with what its card says about classes and pixels."""

    network: nn.Module
    classes: tuple[str, ...]
    frame: payload.Frame
    mean: Tensor
    scale: Tensor
    temperature: float = 1.0
    top: int = TOP
    unsure_below: float = 0.0  # a probability
    own: bool = False  # whether the network is somebody's own

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

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
    top, unsure_below = _telling(card, os.environ)
    described = network, tuple(card["classes"]), frame, mean, scale
    return Predictor(*described, _temperature(card, folder), top, unsure_below, "file" in shape)


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


def _telling(card: dict[str, Any], env: Mapping[str, str]) -> tuple[int, float]:
    """How many classes an answer names, and below which probability it is unsure. Raises Refusal."""
    asked = card.get("serving", {})
    asked = asked if isinstance(asked, dict) else {"top": asked}
    top, below = env.get(MOST, asked.get("top", TOP)), env.get(UNSURE, asked.get("unsure_below", 0.0))
    try:
        number, share = int(top), float(below)
    except (TypeError, ValueError):
        number, share = 0, math.nan
    if number < 1 or not 0 <= share <= 1:
        raise Refusal(
            f"top {top!r}, unsure_below {below!r}: take 1 or more, and a probability; {MOST} and {UNSURE} overrule "
            f"what {archive.CARD} says"
        )
    return number, share


def input_fn(body: payload.Body | bytearray | str, content_type: str = "", context: object = None) -> payload.Body:
    """The content is looked at, the content type is not: the body's first bytes say more. predict_fn knows the size.

    AWS's toolkit makes text of what is called JSON or CSV, and TorchServe on its own parses JSON: both are taken.
    """
    match body:
        case str():
            return body.encode()
        case bytearray() | memoryview():
            return bytes(body)
        case _:
            return body


def predict_fn(body: payload.Body, predictor: Predictor, context: object = None) -> Predictions:
    """One row a picture; raises BadRequest for what cannot be one."""
    return predictions(predictor, probabilities(predictor, payload.decode(body, predictor.frame)))


def predictions(predictor: Predictor, rows: NDArray[np.float32]) -> Predictions:
    return Predictions(rows, predictor.classes, predictor.top, predictor.unsure_below)


def output_fn(predictions: Predictions, accept: str = answers.JSON, context: object = None) -> tuple[bytes, str]:
    """The answer and its content type, by the Accept header as it came; raises BadRequest 406."""
    kind = accepting.chosen(accept)
    return answers.body(predictions, kind), kind


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
    return part.float().sub_(predictor.mean).mul_(predictor.scale).to(predictor.device)
