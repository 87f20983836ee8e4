"""Trainings with SageMaker's configuration of Debugger's hook, small enough for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pictures
import train
from health.debugger import evaluate
from health.debugger.hook import VARIABLE

RULES = (
    *("VanishingGradient", "ExplodingTensor", "PoorWeightInitialization", "DeadRelu", "AllZero"),
    *("WeightUpdateRatio", "UnchangedTensor", "LossNotDecreasing", "Overfit", "StalledTrainingRule"),
)
ACTIVATIONS = ("relu_input", "relu_output", "sigmoid_input", "sigmoid_output")
STEPS = 7  # an epoch, of 42 pictures
SMALL = ["--precision", "float32", "--batch_size", "6", "--lr", "0.02", "--epochs", "2"]
NET = """
from torch import nn


def build(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, 16),
        nn.Sigmoid(),
        nn.Linear(16, num_classes),
    )
"""


def config(root: Path, every: int = 1, losses: int = 1, hook: dict[str, str] | None = None, **more: Any) -> Path:
    """As SageMaker writes it; the tensors lie in root/tensors. `more`: collections and their patterns."""
    rows = [{"CollectionName": "losses", "CollectionParameters": {"train.save_interval": str(losses)}}]
    rows[0]["CollectionParameters"] |= {"eval.save_interval": "1"}  # type: ignore[operator]
    rows += [{"CollectionName": name, "CollectionParameters": None} for name in ("weights", "biases", "gradients")]
    patterns = {name: f".*{name}" for name in ACTIVATIONS} | more
    for name, pattern in patterns.items():
        rows.append({"CollectionName": name, "CollectionParameters": {"include_regex": pattern} if pattern else {}})
    body = {"S3OutputPath": "s3://bucket/debug", "LocalPath": str(root / "tensors")}
    file = root / "debughookconfig.json"
    hooked = {"save_interval": str(every), **(hook or {})}
    file.write_text(json.dumps({**body, "HookParameters": hooked, "CollectionConfigurations": rows}))
    return file


def trained(splits: Path, root: Path, file: Path | None, *more: str, net: str = NET) -> int:
    (root / "output").mkdir(parents=True, exist_ok=True)
    (root / "net.py").write_text(net)
    folders = ["--train-dir", str(splits / "train"), "--validation-dir", str(splits / "validation")]
    folders += ["--model-dir", str(root / "model"), "--output-data-dir", str(root / "output/data")]
    network = [] if "--model" in more else ["--model_file", str(root / "net.py")]
    return train.main([*folders, *network, *SMALL, *more], {VARIABLE: str(file)} if file else {})


def weights(root: Path) -> str:
    return str(pictures.json_of(root / "model/model.json")["weights"]["sha256"])


def status(root: Path) -> dict[str, Any]:
    body: dict[str, Any] = pictures.json_of(root / "output/data/health/debugger.json")
    return body


def configurations(names: Iterable[str], **given: str) -> list[dict[str, Any]]:
    image = "503895931360.dkr.ecr.us-east-1.amazonaws.com/sagemaker-debugger-rules:latest"
    return [
        {
            "RuleConfigurationName": name,
            "RuleEvaluatorImage": image,
            "RuleParameters": {"rule_to_invoke": name, **given},
        }
        for name in names
    ]


def judged(root: Path, *names: str) -> dict[str, tuple[str, str]]:
    """Rule → status and details, from the saved tensors."""
    (root / "rules.json").write_text(json.dumps(configurations(names)))
    options = {"tensors": "tensors", "rules": "rules.json", "output": "answer.json"}
    options["status"] = "output/data/health/debugger.json"
    assert evaluate.main([f"--{name}={root / file}" for name, file in options.items()]) == 0
    rows: Any = pictures.json_of(root / "answer.json")
    return {row["RuleConfigurationName"]: (row["RuleEvaluationStatus"], row["StatusDetails"]) for row in rows}
