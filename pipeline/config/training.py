"""The sections of pipeline.yaml about the model, its training and its tuning."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from pipeline.config import names
from pipeline.config.architectures import NAMES
from pipeline.config.hyperparameters import Hyperparameters
from pipeline.config.section import Place, Section, text
from pipeline.config.sections import Minutes, TrainingMachine, VolumeGiB
from pipeline.dataset_source import in_s3

# Objective metrics that train.py prints, and which way is better.
OBJECTIVES = {"validation_accuracy": "Maximize", "validation_loss": "Minimize"}
METRICS = ("train_loss", "validation_loss", "validation_accuracy")
OWN = "own"  # folder of train.py's archive that holds model.file and what it imports
PYTHON_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\.py")  # train.py is told its name through a shell


def file_name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _known(name: str) -> str:
    if name not in NAMES:
        near = ", ".join(difflib.get_close_matches(name, NAMES, n=3, cutoff=0.5)) or "resnet18"
        raise ValueError(f"is not a classifier of torchvision that can be trained; there is {near}")
    return name


Architecture = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(NAMES)})]


Layers = Annotated[int, Field(ge=0, le=9999)]


class ModelSection(Section):
    """Which network, and what it starts from."""

    name: Architecture = Field(default="resnet18", description="A classifier of torchvision.")
    file: Place | None = Field(
        default=None,
        description="In place of name: a Python file with a function build(num_classes) that returns a network, "
        "relative to this file. It travels with the code, and so do the files beside it that it imports.",
    )
    stem: Literal["torchvision", "small"] = Field(
        default="torchvision",
        description="torchvision: the original 7x7 first layer with pooling. "
        "small: 3x3 without pooling; better on tiny pictures, and slower.",
    )
    dropout: float = Field(
        default=0.0, ge=0, le=0.9, description="Dropout before the last layer. 0: the last layer alone."
    )
    trainable_layers: Literal["all"] | Layers = Field(
        default="all",
        description="Blocks that are trained, counted from the top; the others stay as they start. 0: the head only.",
    )
    weights: Place | None = Field(
        default=None,
        description="State dict to start from, such as torchvision's (darkroom weights NAME): a .pth or .pt file, "
        "relative to this file, or its s3:// address. null: random weights.",
    )
    warm_start: Place | None = Field(
        default=None,
        description="Model of an earlier run to start from, also one of other classes: its model.tar.gz, relative to "
        "this file, or its s3:// address.",
    )
    onnx: bool = Field(
        default=False,
        description="true: the model archive holds model.onnx as well, which TrainModel compares with the network.",
    )

    @property
    def starts(self) -> dict[str, str]:
        """Channel → what it holds, for those that are wanted; a file of this machine, or an address in S3."""
        wanted = {"weights": self.weights, "warm_start": self.warm_start}
        return {name: source for name, source in wanted.items() if source is not None}

    @property
    def local_files(self) -> dict[str, str]:
        return {name: source for name, source in self.starts.items() if not in_s3(source)}

    @property
    def label(self) -> str:
        """What the registry calls the network."""
        return self.name if self.file is None else file_name(self.file)

    @property
    def hyperparameters(self) -> dict[str, object]:
        """What train.py is told of the network; the rest comes by channels."""
        network: dict[str, object] = {"model": self.name, "stem": self.stem}
        if self.file is not None:
            network = {"model_file": f"{OWN}/{file_name(self.file)}"}
        return {**network, "dropout": self.dropout, "trainable_layers": self.trainable_layers}


class CheckpointsSection(Section):
    """Of TrainModel, never of trials: a job that was interrupted goes on where it was."""

    enabled: bool = Field(default=False, description="true: TrainModel keeps its state in S3 while it runs.")
    address: str | None = text(
        "S3 folder, ending in /, the same in every run, and of one run at a time. null: checkpoints/ of the pipeline.",
        names.S3_FOLDER,
    )
    every_minutes: int = Field(
        default=10, ge=0, le=1440, description="Between two states, besides the one of each epoch. 0: epochs only."
    )


class TrainingSection(Section):
    """The machine, and the values without tuning."""

    instance_type: TrainingMachine = Field(
        default="ml.m5.xlarge", description="Machine of TuneModel and TrainModel (TrainingInstanceType)."
    )
    instance_count: int = Field(
        default=1,
        ge=1,
        le=100,
        description="How many of them (TrainingInstanceCount); they share each batch of batch_size pictures.",
    )
    volume_gb: VolumeGiB = Field(default=30, description="Size of each disk in GiB.")
    max_runtime_minutes: Minutes = Field(default=120, description="A job that runs longer is stopped.")
    spot: bool = Field(default=False, description="Spare capacity: cheaper, and may be interrupted.")
    max_wait_minutes: Minutes | None = Field(
        default=None, description="Spot only: longest time with waiting. null: the same as max_runtime_minutes."
    )
    checkpoints: CheckpointsSection = CheckpointsSection()
    hyperparameters: Hyperparameters = Hyperparameters()


class Range(Section):
    """Either `values` (a choice) or `min` and `max` (an interval)."""

    min: int | float | None = Field(default=None, description="Least value.")
    max: int | float | None = Field(default=None, description="Greatest value.")
    scaling: Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"] = Field(
        default="Auto", description="How an interval is searched."
    )
    values: tuple[int | float | str, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        max_length=30,
        description="A choice of values, instead of min and max.",
    )


class TuningSection(Section):
    """The search for better hyperparameters."""

    enabled: bool = Field(default=True, description="false: no TuneModel; TrainModel takes training.hyperparameters.")
    strategy: Literal["Bayesian", "Random", "Grid", "Hyperband"] = Field(
        default="Bayesian",
        description="How values are chosen. Grid takes choices only; Hyperband stops weak trials early.",
    )
    objective: Literal["validation_accuracy", "validation_loss"] = Field(
        default="validation_accuracy", description="The metric that makes the best trial."
    )
    max_jobs: int | None = Field(
        default=4, ge=1, le=750, description="Number of trials (MaxTuningJobs). null with Grid: every combination."
    )
    max_parallel_jobs: int = Field(
        default=2, ge=1, le=100, description="Trials beside each other (MaxParallelTuningJobs)."
    )
    epochs: int = Field(default=2, ge=1, le=1000, description="Epochs of each trial (TuningEpochs).")
    early_stopping: bool = Field(default=False, description="Stop trials that fall behind; Hyperband does it anyway.")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Makes the choice of values repeatable.")
    max_runtime_minutes: int | None = Field(
        default=None, ge=2, le=43200, description="Longest time for all trials together. null: no limit."
    )
    target: float | None = Field(default=None, description="Stop as soon as the objective is that good. null: never.")
    patience: int | None = Field(
        default=None, ge=3, le=750, description="Stop after so many trials without a better one. null: never."
    )
    stop_when_converged: bool = Field(default=False, description="Let SageMaker stop when it expects no better trial.")
    ranges: dict[str, Range] = Field(
        default={"lr": Range(min=0.01, max=0.05, scaling="Logarithmic"), "batch_size": Range(values=(32, 64))},
        description="What is searched: names from training.hyperparameters, dropout, trainable_layers.",
    )
