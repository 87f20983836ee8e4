"""TrainModel, and each trial of TuneModel: two prepared splits become a model archive and its figures."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import archive
import hyperparameters
import jsonfile
import model
import numpy as np
import PIL
import precision
import torch
import torchvision
from batches import Batches, class_weights
from data import Split, open_split
from refusal import Refusal, exit_code
from torch import Tensor, nn
from torch.nn import functional as F

# Copied into the model archive's code/: what serves the model, with all that it imports.
SHIPS = ("inference.py", "serve.py", "archive.py", "colour.py", "images.py", "model.py", "payload.py", "refusal.py")
WARM_UP = 0.25  # share of all steps in which the learning rate rises from a tenth to `lr`; then a cosine to 0
CHECKED_EVERY = 10  # steps between looks at the loss: each look waits for the device


class Epoch(NamedTuple):
    """One line of metrics.jsonl. Losses are means per picture; validation has no label smoothing and no class weights,
    so that trials with different ones can be compared."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    lr: float
    train_seconds: float
    validation_seconds: float


def main(argv: list[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    note = hyperparameters.failure_file(argv, env)
    return exit_code(lambda: train(hyperparameters.parse(argv, env), prepare_device(env)), note)


def train(args: argparse.Namespace, device: torch.device) -> None:
    started = time.perf_counter()
    training, validation = open_split(args.train_dir), open_split(args.validation_dir)
    _refuse_mismatch(training, validation)
    torch.manual_seed(args.seed)
    random = torch.Generator().manual_seed(args.seed)
    network = model.build(args.model, len(training.classes), args.stem).to(device, memory_format=torch.channels_last)
    bfloat16 = precision.use_bfloat16(args.precision, network, training.image_size, device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)
    optimizer = _optimizer(network, args)
    batches, check = Batches(training, device), Batches(validation, device)
    weights = class_weights(args.class_weights, training, device)
    steps = batches.steps(args.batch_size)
    epochs: list[Epoch] = []
    args.output_data_dir.mkdir(parents=True, exist_ok=True)
    (args.output_data_dir / "metrics.jsonl").unlink(missing_ok=True)

    for epoch in range(1, args.epochs + 1):
        began = time.perf_counter()
        network.train()
        total = torch.zeros((), device=device)
        for step, (pictures, labels) in enumerate(batches.shuffled(args.batch_size, args.augment, random)):
            done = ((epoch - 1) * steps + step) / (args.epochs * steps)
            lr = optimizer.param_groups[0]["lr"] = args.lr * schedule(done)
            with autocast:
                scores = network(pictures)
            loss = F.cross_entropy(scores.float(), labels, weight=weights, label_smoothing=args.label_smoothing)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
            if step % CHECKED_EVERY == 0 or step == steps - 1:
                _refuse_divergence(total, epoch, step, args.lr)
        trained = time.perf_counter()
        validation_loss, accuracy = evaluate(network, check, autocast)
        ended = time.perf_counter()
        seconds = round(trained - began, 3), round(ended - trained, 3)
        epochs.append(Epoch(epoch, total.item() / steps, validation_loss, accuracy, lr, *seconds))
        _log(epochs[-1], args.output_data_dir / "metrics.jsonl")

    saving = time.perf_counter()
    _save(args, network, training, epochs[-1])
    ended = time.perf_counter()
    report = {
        "hyperparameters": {name: getattr(args, name) for name in hyperparameters.NAMES},
        "classes": len(training.classes),
        "class_weights": None if weights is None else training.manifest["class_weights"],
        "pictures": {"train": len(training), "validation": len(validation)},
        "device": device.type,
        "threads": torch.get_num_threads(),
        "precision": "bfloat16" if bfloat16 else "float32",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "epochs": [epoch._asdict() for epoch in epochs],
        "seconds": _seconds(epochs, ended - started, ended - saving),
        "versions": _versions(),
    }
    jsonfile.write(args.output_data_dir / "report" / "training.json", report)


def schedule(done: float) -> float:
    """Factor of the learning rate when this share of all steps is done: one cycle (Smith and Topin, 2018)."""
    if done < WARM_UP:
        return 0.1 + 0.9 * done / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))


def evaluate(network: nn.Module, batches: Batches, autocast: torch.autocast) -> tuple[float, float]:
    """Mean loss and accuracy over the whole split, each picture counting the same."""
    network.eval()
    loss, right = 0.0, 0
    with torch.inference_mode():
        for pictures, labels in batches.in_order():
            with autocast:
                scores = network(pictures)
            loss += F.cross_entropy(scores.float(), labels, reduction="sum").item()
            right += int((scores.argmax(1) == labels).sum())
    return loss / len(batches.split), right / len(batches.split)


def prepare_device(env: Mapping[str, str]) -> torch.device:
    """torch reads OMP_NUM_THREADS itself; in a container without it, SM_NUM_CPUS counts what the job may use."""
    _refuse_several_hosts(env.get("SM_HOSTS", ""))
    if not env.get("OMP_NUM_THREADS") and env.get("SM_NUM_CPUS", "").isdecimal():
        torch.set_num_threads(max(1, int(env["SM_NUM_CPUS"])))
    device = model.device()
    if device.type == "cpu" and env.get("SM_NUM_GPUS", "0") not in ("", "0"):
        raise Refusal(
            f"the instance has {env['SM_NUM_GPUS']} GPUs and torch {torch.__version__} sees none: its image is "
            "for CPUs; set training.instance_type in pipeline.yaml to a GPU type, or take an instance without GPU"
        )
    return device


def _refuse_several_hosts(hosts: str) -> None:
    """Each would train a model of its own, and SageMaker would pack the files of all of them into one archive."""
    names = json.loads(hosts) if hosts else []
    if len(names) > 1:
        raise Refusal(
            f"{len(names)} instances ({', '.join(names)}): this version trains on one instance: set "
            "TrainingInstanceCount=1 (training.instance_count in pipeline.yaml)"
        )


def _refuse_mismatch(training: Split, validation: Split) -> None:
    for key in ("classes", "image_size", "stored_size", "square", "source", "settings"):
        if training.manifest.get(key) != validation.manifest.get(key):
            raise Refusal(
                f"{training.folder} and {validation.folder} were not prepared together ({key!r} differs): take both "
                "channels from one PrepareData"
            )
    if len(training) < 2:
        raise Refusal(f"{training.folder}: 1 picture is not enough to train on: add pictures")


def _optimizer(network: nn.Module, args: argparse.Namespace) -> torch.optim.Optimizer:
    """Fused: one pass over the weights, 1.05 x the step of ResNet18 at 32 px on CPU; CPU and CUDA both have it."""
    if args.optimizer == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=args.weight_decay, fused=True)
    return torch.optim.SGD(
        network.parameters(),
        lr=args.lr,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        nesterov=args.momentum > 0,
        fused=True,
    )


def _refuse_divergence(total: Tensor, epoch: int, step: int, lr: float) -> None:
    if not math.isfinite(total.item()):
        raise Refusal(
            f"the loss became {total.item()} by step {step + 1} of epoch {epoch} with lr={lr:g}: lower lr, for example "
            f"to {lr / 10:g}, or its range in tuning"
        )


def _log(epoch: Epoch, path: Path) -> None:
    """The line that the metric definitions match, in one write: SageMaker may split what is written in two."""
    figures = {name: f"{value:.4f}" for name, value in epoch._asdict().items() if name.startswith(("train_l", "valid"))}
    del figures["validation_seconds"]
    sys.stdout.write(" ".join([f"epoch={epoch.epoch}", *(f"{k}={v}" for k, v in figures.items())]) + "\n")
    sys.stdout.flush()
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(epoch._asdict()) + "\n")


def _save(args: argparse.Namespace, network: nn.Module, training: Split, last: Epoch) -> None:
    """The card comes last: an archive without it is not taken for a model."""
    args.model_dir.mkdir(parents=True, exist_ok=True)
    model.save_weights(network, args.model_dir / archive.WEIGHTS)
    code = args.model_dir / "code"
    code.mkdir(exist_ok=True)
    for name in SHIPS:
        shutil.copyfile(Path(__file__).with_name(name), code / name)
    manifest = training.manifest
    card = {
        "format": archive.FORMAT,
        "architecture": {"name": args.model, "stem": args.stem, "num_classes": len(training.classes)},
        "classes": list(training.classes),
        "preprocessing": {
            "image_size": training.image_size,
            "stored_size": training.stored_size,
            "square": manifest["square"],
            "mean": manifest["mean"],
            "deviation": manifest["deviation"],
        },
        "weights": {"file": archive.WEIGHTS, "sha256": archive.sha256(args.model_dir / archive.WEIGHTS)},
        "hyperparameters": {name: getattr(args, name) for name in hyperparameters.NAMES},
        "data": {**manifest["source"], "settings": manifest.get("settings", {}), "pictures": len(training)},
        "metrics": {"validation_loss": last.validation_loss, "validation_accuracy": last.validation_accuracy},
        "versions": _versions(),
    }
    jsonfile.write(args.model_dir / archive.CARD, card)


def _seconds(epochs: list[Epoch], total: float, saving: float) -> dict[str, float]:
    training = sum(epoch.train_seconds for epoch in epochs)
    validation = sum(epoch.validation_seconds for epoch in epochs)
    others = total - training - validation - saving
    parts = {"total": total, "training": training, "validation": validation, "saving": saving, "others": others}
    return {name: round(value, 3) for name, value in parts.items()}


def _versions() -> dict[str, str]:
    own = {"python": platform.python_version(), "torch": torch.__version__, "torchvision": torchvision.__version__}
    return {**own, "numpy": np.__version__, "pillow": PIL.__version__}


if __name__ == "__main__":
    sys.exit(main())
