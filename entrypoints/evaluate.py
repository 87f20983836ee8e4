"""EvaluateModel: the archive that would be deployed, judged on the test split by the code that would serve it."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import archive
import inference
import jsonfile
import numpy as np
from data import Split, open_split
from evaluation import calibration, champion, comparison, errors, golden, metrics, page
from numpy.typing import NDArray
from refusal import Parser, Refusal, exit_code, leave, note_file

AT_ONCE = 256  # pictures read at a time
PER_CLASS = ("precision", "recall", "f1")
PATIENCE = 5  # times the seconds that the new model took: a champion may be a larger network
LONGEST = 432_000  # seconds: five days, as long as a Processing job may take
TOP = 5  # told where there are more classes


def parser() -> Parser:
    root = Path("/opt/ml/processing")
    parser = Parser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, default=root / "input/model", help="holds model.tar.gz, or all of it")
    parser.add_argument("--test-dir", type=Path, default=root / "input/test")
    parser.add_argument("--validation-dir", type=Path, default=root / "input/validation")
    parser.add_argument(
        "--champion-dir", type=Path, default=root / "input/champion", help="may hold a model.tar.gz to compare with"
    )
    parser.add_argument("--champion-package", default="", help=f"the ARN of its package; {champion.NONE}: no champion")
    parser.add_argument("--champion-seconds", type=_seconds, default=900, help="what its code may take at least")
    parser.add_argument("--output-dir", type=Path, default=root / "output")
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds up to {LONGEST:,}")
    return value


def main(argv: list[str] | None = None) -> int:
    note = note_file(argv, parser().get_default("message_file"))
    return exit_code(lambda: evaluate(parser().parse_args(argv)), note)


def evaluate(args: argparse.Namespace) -> None:
    test, validation = open_split(args.test_dir), open_split(args.validation_dir)
    card, predictor = _model(args.model_dir)
    for split in (test, validation):
        _refuse_mismatch(predictor, split)
    began = time.perf_counter()
    scores = _logits(predictor, test)
    seconds = time.perf_counter() - began
    held = _logits(predictor, validation)
    predicted = scores.argmax(1)
    quality = metrics.model_quality(test.labels, predicted, test.classes)
    fitted = "temperature" in card
    temperature = predictor.temperature if fitted else calibration.temperature(held, validation.labels)
    reliability = _reliability(scores, test.labels, temperature)
    compared, reason = _against_champion(args, test, predicted, PATIENCE * seconds)
    figures = {
        **_figures(test, scores, quality),
        "validation_accuracy": float((held.argmax(1) == validation.labels).mean()),
        "calibration": {
            "temperature": temperature,
            "in_the_model": fitted,
            **{f"error_{name}": round(calibration.error(bins), 6) for name, bins in reliability.items()},
        },
        **({"champion": compared} if compared else {}),
        "behind_champion": _behind(compared),
    }
    # No time, no machine in here: the same model on the same pictures gives the same file.
    body = {"version": 0, "multiclass_classification_metrics": quality, "darkroom": figures}
    jsonfile.write(args.output_dir / "evaluation" / "evaluation.json", body)
    golden.write(args.output_dir / "evaluation", test, inference.chances(scores, predictor.temperature))
    matrix = metrics.confusion(test.labels, predicted, len(test.classes))
    said = errors.answers(predictor, test, scores)
    report = {
        **figures,
        **({"champion": {**compared, "reason": reason}} if reason else {}),
        "confusion": {"classes": list(test.classes), "matrix": matrix.tolist()},
        "reliability": {name: [each._asdict() for each in bins] for name, bins in reliability.items()},
        **errors.worst(predictor, said),
        **errors.by_cell(said),
        "pictures_per_second": round(len(test) / seconds, 1),
        "trained_on_this_data": card.get("data", {}).get("digest") == test.manifest["source"]["digest"],
        "architecture": card["architecture"],
        "hyperparameters": card.get("hyperparameters", {}),
    }
    jsonfile.write(args.output_dir / "report" / "evaluation.json", report)
    page.write(args.output_dir / "report", report)
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


def _logits(predictor: inference.Predictor, split: Split) -> NDArray[np.float32]:
    parts = (split.centred(start, start + AT_ONCE) for start in range(0, len(split), AT_ONCE))
    scores = np.concatenate([inference.logits(predictor, part) for part in parts])
    if not np.isfinite(scores).all():
        raise Refusal(f"the model's outputs for {split.folder} are not all finite: train again, with a lower lr")
    return scores


def _figures(test: Split, scores: NDArray[np.float32], quality: dict[str, Any]) -> dict[str, Any]:
    predicted = scores.argmax(1)
    right = int((predicted == test.labels).sum())
    matrix = metrics.confusion(test.labels, predicted, len(test.classes))
    table = metrics.per_class(matrix)
    rows = [
        {
            "class": name,
            "count": int(matrix[label].sum()),
            **{figure: round(float(table[figure][label]), 6) for figure in PER_CLASS},
        }
        for label, name in enumerate(test.classes)
    ]
    most = {"top_5_accuracy": metrics.within(scores, test.labels, TOP) / len(test)} if len(test.classes) > TOP else {}
    return {
        "accuracy": right / len(test),
        "accuracy_interval": list(metrics.wilson(right, len(test))),
        **most,
        "macro": {figure: round(quality[f"macro_{figure}"]["value"], 6) for figure in PER_CLASS},
        "count": len(test),
        "right": right,
        "wrong": len(test) - right,
        "per_class": rows,
    }


def _reliability(
    scores: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
) -> dict[str, list[calibration.Bin]]:
    right = scores.argmax(1) == labels
    factors = {"before": 1.0, "after": temperature}
    return {name: calibration.bins(inference.chances(scores, factor), right) for name, factor in factors.items()}


def _model(folder: Path) -> tuple[dict[str, Any], inference.Predictor]:
    """By hand, the folder that train.py wrote will do; jobs have its archive."""
    if (folder / archive.CARD).is_file() and not (folder / "model.tar.gz").exists():
        return archive.read_card(folder), inference.model_fn(folder)
    with tempfile.TemporaryDirectory() as unpacked:
        archive.unpack(folder / "model.tar.gz", Path(unpacked))
        return archive.read_card(Path(unpacked)), inference.model_fn(unpacked)


def _against_champion(
    args: argparse.Namespace, test: Split, predicted: NDArray[np.int64], patience: float
) -> tuple[dict[str, Any], str]:
    """Figures, and why there are none. A champion that cannot be judged is told; it is no fault of the new model.

    `patience`: seconds that it may take where they are more than the option says, as for very many pictures.
    """
    package = {"package": args.champion_package} if args.champion_package else {}
    try:
        other = champion.judged(args.champion_dir, test, max(args.champion_seconds, patience), args.champion_package)
        if other is None:
            return {}, ""
        ours, actual = ([test.classes[label] for label in labels] for labels in (predicted, test.labels))
        found = comparison.compare(actual, ours, other.predicted, test.classes, other.classes)
    except (champion.NotJudged, comparison.NothingShared) as why:
        print(f"the champion could not be compared: {why}", flush=True)
        return {"compared": False, **package}, str(why)
    low, high = found["interval"]
    print(
        f"champion_difference={found['difference']:+.4f} (95%: {low:+.4f} to {high:+.4f}) "
        f"on {found['count']} test pictures",
        flush=True,
    )
    return {"compared": True, **package, "archive_sha256": other.sha256, "same_data": other.same_data, **found}, ""


def _behind(compared: dict[str, Any]) -> float:
    """The gate's number: by how much the accuracy is below the champion's on the pictures whose class both know.

    0 without a champion. 1, which no margin allows, for one that could not be judged: a gate that was asked for does
    not open because nobody could look.
    """
    if not compared:
        return 0.0
    return 0.0 - float(compared["difference"]) if compared["compared"] else 1.0


if __name__ == "__main__":
    leave(main())
