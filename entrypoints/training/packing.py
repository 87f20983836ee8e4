"""The folder that becomes model.tar.gz: weights, the code that serves them, and the card that describes both."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import archive
import jsonfile
import model
import neighbours
from data import Split
from torch import nn

from training import hyperparameters, progress
from training.progress import Epoch

# Copied into the model archive's code/: what serves the model, with all that it imports.
# fmt: off
SHIPS = (
    "inference.py", "serve.py", "archive.py", "colour.py", "custom.py", "images.py", "model.py", "neighbours.py",
    "payload.py", "refusal.py", "deployment.py",
    "serving/__init__.py", "serving/accepting.py", "serving/answering.py", "serving/answers.py", "serving/arrays.py",
    "serving/bad_request.py", "serving/batching.py", "serving/capture.py", "serving/journal.py", "serving/metrics.py",
    "serving/networks.py", "serving/onednn.py", "serving/processors.py", "serving/queueing.py",
    "serving/service.py", "serving/settings.py", "serving/sharing.py",
    "health/__init__.py", "health/profiling/__init__.py", "health/profiling/cgroups.py",
)
# fmt: on
# At the archive's root, where AWS's Ray Serve image looks for them.
RAY_MODULE, RAY_CONFIG = "deployment.py", "config.yaml"
RAY_APPLICATION = """\
# Read by AWS's Ray Serve image; it imports deployment.py beside this file.
applications:
  - name: darkroom
    route_prefix: /
    import_path: deployment:build
"""


def copy_code(model_dir: Path) -> None:
    """What serves the model, under either image."""
    for name in SHIPS:
        target = model_dir / name if name == RAY_MODULE else model_dir / archive.CODE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(__file__).parents[1] / name, target)
    (model_dir / RAY_CONFIG).write_text(RAY_APPLICATION, encoding="utf-8")


def architecture(args: argparse.Namespace, classes: int) -> dict[str, Any]:
    """What makes the network that the weights fit, once it is built; dropout is not in the weights."""
    if args.model_file:
        digests = {name: archive.sha256(path) for name, path in neighbours.files().items()}
        return {"file": Path(args.model_file).name, "sha256": digests, "num_classes": classes}
    return {"name": args.model, "stem": args.stem, "num_classes": classes}


def save(args: argparse.Namespace, network: nn.Module, training: Split, kept: Epoch, temperature: float) -> None:
    """The card comes last: an archive without it is not taken for a model."""
    args.model_dir.mkdir(parents=True, exist_ok=True)
    model.save_weights(network, args.model_dir / archive.WEIGHTS)
    code = args.model_dir / archive.CODE
    copy_code(args.model_dir)
    for name, path in neighbours.files().items():
        (code / archive.OWN / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, code / archive.OWN / name)
    manifest = training.manifest
    card = {
        "format": archive.FORMAT,
        "architecture": architecture(args, len(training.classes)),
        "classes": list(training.classes),
        "preprocessing": {
            "image_size": training.image_size,
            "stored_size": training.stored_size,
            "square": manifest["square"],
            "mean": manifest["mean"],
            "deviation": manifest["deviation"],
        },
        "weights": {"file": archive.WEIGHTS, "sha256": archive.sha256(args.model_dir / archive.WEIGHTS)},
        "temperature": temperature,  # what scores are divided by before they become probabilities
        "serving": {"unsure_below": args.unsure_below, "top": args.top},
        "hyperparameters": {name: getattr(args, name) for name in hyperparameters.NAMES},
        "data": {**manifest["source"], "settings": manifest.get("settings", {}), "pictures": len(training)},
        "metrics": {"validation_loss": kept.validation_loss, "validation_accuracy": kept.validation_accuracy},
        "versions": progress.versions(),
    }
    jsonfile.write(args.model_dir / archive.CARD, card)
