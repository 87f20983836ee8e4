"""model.onnx in the model archive, for other runtimes than PyTorch: pixels in, scores and probabilities out.

torch.onnx's older exporter makes it: the newer one needs onnxscript, which AWS's images do not hold.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import archive
import inference
import jsonfile
import model
import numpy as np
import torch
from data import Split
from inference import Predictor
from numpy.typing import NDArray
from refusal import Refusal
from torch import Tensor, nn

from training import progress

FILE = "model.onnx"
OPSET = 18  # of 2022: what takes ONNX today takes it
INPUT, OUTPUTS = "pictures", ("scores", "probabilities")
SAMPLE = 8  # pictures that both are asked about; the slower of the two runtimes takes 1 s for one (ResNet18, 224 px)
TOLERANCE = 1e-3  # of the largest score: sums in another order differ by 1e-6, another network by all of it
LARGEST = 2**31  # bytes: a protobuf holds no more
MEND = "change the network, or switch off model.onnx in pipeline.yaml (--onnx)"
Run = Callable[[Path, NDArray[np.uint8]], list[NDArray[np.float32]]]


class Served(nn.Module):
    """What the endpoint computes of pixels: normalised, scored, and made probabilities by the temperature."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, scale: Tensor, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (n, 3, H, W), RGB → (n, classes) twice."""
        scores = self.network((pictures.float() - self.mean) * self.scale)
        return scores, (scores / self.temperature).softmax(1)


def rehearse(args: argparse.Namespace, network: nn.Module, image_size: int) -> None:
    """What cannot be exported is refused before it is trained. Changes neither the network nor random states."""
    if not args.onnx:
        return
    runtime()
    plain = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1), 1.0
    with torch.random.fork_rng([]), tempfile.TemporaryDirectory() as folder:
        write(Served(copy.deepcopy(network), *plain), image_size, Path(folder, FILE))


def add(args: argparse.Namespace, validation: Split) -> None:
    """Into a finished model archive: the network that the archive holds, asked about pictures in both forms.

    The card, without which it is no archive, is away until they were seen to agree.
    """
    path, card = args.model_dir / FILE, archive.read_card(args.model_dir)
    path.unlink(missing_ok=True)  # by hand, the folder may hold an earlier network's
    if not args.onnx:
        return
    predictor = inference.model_fn(args.model_dir)
    predictor = predictor._replace(network=predictor.network.cpu())
    (args.model_dir / archive.CARD).unlink()
    write(served(predictor), predictor.image_size, path)
    indices = np.unique(np.linspace(0, len(validation) - 1, SAMPLE).astype(np.int64))
    corners = np.full(len(indices), validation.margin // 2)
    found = compare(path, predictor, validation.crops(indices, corners, corners, validation.image_size))
    card["onnx"] = {"file": FILE, "sha256": archive.sha256(path), **form(predictor), **found}
    jsonfile.write(args.model_dir / archive.CARD, card)
    progress.say(f"{FILE}: scores differ by {found['largest_difference']:.1g} at most, says {found['checked_by']}")


def served(predictor: Predictor) -> Served:
    return Served(predictor.network, predictor.mean, predictor.scale, predictor.temperature)


def form(predictor: Predictor) -> dict[str, Any]:
    """What the graph takes and gives, for the card."""
    rows = {"type": "float32", "shape": ["n", len(predictor.classes)]}
    pictures = {"type": "uint8", "shape": ["n", 3, predictor.image_size, predictor.image_size], "colours": "RGB"}
    return {"opset": OPSET, "inputs": {INPUT: pictures}, "outputs": dict.fromkeys(OUTPUTS, rows)}


def compare(path: Path, predictor: Predictor, pixels: NDArray[np.uint8], run: Run | None = None) -> dict[str, Any]:
    """Asks the endpoint's own code and the graph about these pictures, (n, H, W, 3); raises Refusal where they differ.

    The graph sees them in a batch of all and in one of one, since the number of pictures is to be free.
    """
    run = run or runtime()
    wanted = inference.logits(predictor, pixels)
    chances = inference.chances(wanted, predictor.temperature)
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    try:
        answers = run(path, planes), run(path, planes[:1])
    except Exception as error:  # of runtimes whose errors have no base of their own
        raise Refusal(f"{path}: {_name(run)} cannot run the graph ({_first(error)}): {MEND}") from None
    reach = TOLERANCE * max(float(np.abs(wanted).max()), 1e-6)
    largest = 0.0
    for scores, shares in answers:
        apart = float(np.abs(scores - wanted[: len(scores)]).max())
        shares_apart = float(np.abs(shares - chances[: len(shares)]).max())
        if not (apart <= reach and shares_apart <= TOLERANCE):  # NaN is no agreement either
            raise Refusal(f"{path}: its scores differ by up to {apart:.3g} from the network's own: {MEND}")
        largest = max(largest, apart)
    same = int((answers[0][0].argmax(1) == wanted.argmax(1)).sum())
    return {
        "largest_difference": largest,
        "same_class": same,
        "compared": len(pixels),
        "checked_by": _name(run),
    }


def write(network: Served, image_size: int, path: Path) -> None:
    """Raises Refusal for what has no such form."""
    size = sum(each.numel() * each.element_size() for each in network.state_dict().values())
    if size >= LARGEST:
        raise Refusal(f"the network has {size / 2**30:.1f} GiB of weights, and an ONNX file holds 2: {MEND}")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # It warns of its age, and of all that it takes for fixed; what that breaks, `compare` finds.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.eval(),
                (torch.zeros((2, 3, image_size, image_size), dtype=torch.uint8),),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_axes={name: {0: "n"} for name in (INPUT, *OUTPUTS)},
            )
    except model.BROKEN as error:
        raise Refusal(f"the network cannot become an ONNX graph ({_first(error)}): {MEND}") from None


def by_onnxruntime(path: Path, planes: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    answers: list[NDArray[np.float32]] = session.run(list(OUTPUTS), {INPUT: planes})
    return answers


def by_reference(path: Path, planes: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """onnx's own evaluator: numpy, slow, and wrong about some pooling (GoogLeNet's), but there where onnx is."""
    from onnx.reference import ReferenceEvaluator

    answers: list[NDArray[np.float32]] = ReferenceEvaluator(str(path)).run(list(OUTPUTS), {INPUT: planes})
    return answers


def runtime(find: Callable[[str], object] = importlib.util.find_spec) -> Run:
    """AWS's images were seen with both packages, and with onnx alone, which the exporter itself needs."""
    if find("onnx") is None:
        raise Refusal(
            "an ONNX export needs the package onnx, and it is not installed: name an image that holds it under "
            "images.training in pipeline.yaml, or set model.onnx: false"
        )
    return by_reference if find("onnxruntime") is None else by_onnxruntime


def _name(run: Run) -> str:
    """With its version: what another version says may differ."""
    package, part = ("onnxruntime", "") if run is by_onnxruntime else ("onnx", ".reference")
    return f"{package}{part} {importlib.import_module(package).__version__}"


def _first(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
