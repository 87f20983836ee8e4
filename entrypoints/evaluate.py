"""EvaluateModel: the archive that would be deployed, judged on the test split by the code that would serve it."""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import archive
import images
import inference
import jsonfile
import metrics
import numpy as np
from data import Split, open_split
from numpy.typing import NDArray
from refusal import Parser, Refusal, exit_code, note_file

WORST = 24  # errors shown with their picture
AT_ONCE = 256  # pictures read at a time
SHOWN_SIZE = 96  # pixels at most: the report inlines them


def parser() -> Parser:
    root = Path("/opt/ml/processing")
    parser = Parser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, default=root / "input/model", help="holds model.tar.gz")
    parser.add_argument("--test-dir", type=Path, default=root / "input/test")
    parser.add_argument("--validation-dir", type=Path, default=root / "input/validation")
    parser.add_argument("--output-dir", type=Path, default=root / "output")
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    return parser


def main(argv: list[str] | None = None) -> int:
    note = note_file(argv, parser().get_default("message_file"))
    return exit_code(lambda: evaluate(parser().parse_args(argv)), note)


def evaluate(args: argparse.Namespace) -> None:
    test, validation = open_split(args.test_dir), open_split(args.validation_dir)
    with tempfile.TemporaryDirectory() as folder:
        archive.unpack(args.model_dir / "model.tar.gz", Path(folder))
        card = archive.read_card(Path(folder))
        predictor = inference.model_fn(folder)
    for split in (test, validation):
        _refuse_mismatch(predictor, split)
    began = time.perf_counter()
    chances = _probabilities(predictor, test)
    seconds = time.perf_counter() - began
    predicted = chances.argmax(1)
    held = _probabilities(predictor, validation).argmax(1)
    figures = _figures(test, predicted, float((held == validation.labels).mean()))
    quality = metrics.model_quality(test.labels, predicted, test.classes)
    # No time, no machine in here: the same model on the same pictures gives the same file.
    body = {"version": 0, "multiclass_classification_metrics": quality, "darkroom": figures}
    jsonfile.write(args.output_dir / "evaluation" / "evaluation.json", body)
    matrix = metrics.confusion(test.labels, predicted, len(test.classes))
    report = {
        **figures,
        "confusion": {"classes": list(test.classes), "matrix": matrix.tolist()},
        "worst": _worst(test, chances, predicted),
        "pictures_per_second": round(len(test) / seconds, 1),
        "trained_on_this_data": card.get("data", {}).get("digest") == test.manifest["source"]["digest"],
        "architecture": card["architecture"],
        "hyperparameters": card.get("hyperparameters", {}),
    }
    jsonfile.write(args.output_dir / "report" / "evaluation.json", report)
    low, high = figures["accuracy_interval"]
    print(f"accuracy={figures['accuracy']:.4f} (95%: {low:.4f} to {high:.4f}) on {len(test)} test pictures", flush=True)


def _refuse_mismatch(predictor: inference.Predictor, split: Split) -> None:
    if predictor.classes != split.classes:
        raise Refusal(f"{split.folder}: its classes are not those of the model: train on the same prepared data")
    if predictor.image_size != split.image_size:
        raise Refusal(
            f"{split.folder}: pictures of {split.image_size} px for a model of {predictor.image_size} px: train on the "
            "same prepared data"
        )
    if predictor.frame != (split.image_size, split.stored_size, split.manifest["square"]):
        raise Refusal(
            f"{split.folder}: squares of {split.stored_size} px by {split.manifest['square']} for a model of "
            f"{predictor.frame.stored_size} px by {predictor.frame.square}: train on the same prepared data"
        )


def _probabilities(predictor: inference.Predictor, split: Split) -> NDArray[np.float32]:
    parts = (split.centred(start, start + AT_ONCE) for start in range(0, len(split), AT_ONCE))
    return np.concatenate([inference.probabilities(predictor, part) for part in parts])


def _figures(test: Split, predicted: NDArray[np.int64], validation_accuracy: float) -> dict[str, Any]:
    right = int((predicted == test.labels).sum())
    matrix = metrics.confusion(test.labels, predicted, len(test.classes))
    table = metrics.per_class(matrix)
    rows = [
        {
            "class": name,
            "count": int(matrix[label].sum()),
            **{figure: round(float(table[figure][label]), 6) for figure in ("precision", "recall", "f1")},
        }
        for label, name in enumerate(test.classes)
    ]
    return {
        "accuracy": right / len(test),
        "accuracy_interval": list(metrics.wilson(right, len(test))),
        "validation_accuracy": validation_accuracy,
        "count": len(test),
        "right": right,
        "wrong": len(test) - right,
        "per_class": rows,
    }


def _worst(test: Split, chances: NDArray[np.float32], predicted: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The errors that the model was surest of, each with its picture."""
    wrong = np.flatnonzero(predicted != test.labels)
    surest = wrong[np.argsort(-chances[wrong, predicted[wrong]], kind="stable")][:WORST]
    return [
        {
            "name": test.names[index],
            "actual": test.classes[test.labels[index]],
            "predicted": test.classes[predicted[index]],
            "probability": round(float(chances[index, predicted[index]]), 6),
            "probability_of_actual": round(float(chances[index, test.labels[index]]), 6),
            "png": base64.b64encode(_shown(test.centred(index, index + 1)[0])).decode("ascii"),
        }
        for index in surest
    ]


def _shown(pixels: NDArray[np.uint8]) -> bytes:
    return images.png(images.squared(pixels, min(SHOWN_SIZE, len(pixels))))


if __name__ == "__main__":
    sys.exit(main())
