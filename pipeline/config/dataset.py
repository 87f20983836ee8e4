"""The sections of pipeline.yaml about the pictures: which ones, and what the doctor does about their faults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.section import Place, Section

# A file below the source, never outside of it; an argument of PrepareData, so no option either.
_FILE = r"^(?![-/~])(?!(.*/)?\.\.?(/|$))[^\x00-\x1f\\]*[^\x00-\x1f\\/]\.(csv|jsonl|ndjson)$(?!\n)"


class DatasetSection(Section):
    """Which pictures."""

    kind: Literal["digits", "imagefolder", "cifar10", "cifar100", "manifest"] = Field(
        default="digits",
        description="digits: the 1,797 handwritten digits of scikit-learn, no download. "
        "imagefolder: one folder of pictures for each class, below train, valid and test or without them. "
        "cifar10, cifar100: the python version as its authors publish it. "
        "manifest: pictures, and a CSV or JSON Lines file that names path and label of each.",
    )
    source: Place | None = Field(
        default=None,
        description="Not for digits: a folder or an archive (.zip, .tar, .tar.gz, .tgz), "
        "relative to this file or an s3:// address (parameter DatasetUri).",
    )
    manifest: str | None = Field(
        default=None,
        max_length=200,
        pattern=_FILE,
        description="kind manifest only: its .csv or .jsonl file, relative to the source, such as labels.csv; "
        "columns path (relative to that file) and label, and if wanted split and group.",
    )
    image_size: int = Field(default=32, ge=16, le=1024, description="Height and width that the model sees, in pixels.")
    square: Literal["crop", "pad"] = Field(
        default="crop",
        description="How a picture becomes square. crop: the centre of it. pad: all of it, with bars at two sides.",
    )
    raw_limit_gb: float = Field(
        default=8.0,
        ge=0,
        le=16384,
        description="Splits are kept as raw pixels up to this size in GiB, above it as JPEG: smaller, slower to read. "
        "PrepareData's disk (processing.volume_gb) has to hold it twice, beside the source.",
    )
    validation_fraction: float = Field(
        default=0.15,
        gt=0,
        lt=1,
        description="Share of the pictures that tuning and training are measured on; taken from the training pictures "
        "where the source separates the test ones. Means nothing where it brings a validation split along.",
    )
    test_fraction: float = Field(
        default=0.3,
        gt=0,
        lt=1,
        description="Share of the pictures kept for EvaluateModel. Means nothing for cifar10 and cifar100, "
        "nor where the source brings a test split along.",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Which pictures go into which split.")

    @property
    def raw_limit_mib(self) -> int:
        return round(self.raw_limit_gb * 1024)


class DoctorSection(Section):
    """What PrepareData does about faults of the pictures. fail: ends there. warn: only reports them, as all do."""

    unreadable: Literal["drop", "fail"] = Field(
        default="drop", description="Damaged or truncated files, and those with too many pixels."
    )
    not_pictures: Literal["warn", "fail"] = Field(default="warn", description="Files that are no pictures.")
    duplicates: Literal["warn", "drop", "fail"] = Field(
        default="warn",
        description="The same picture, or nearly the same, twice in one split. drop: all but the first go.",
    )
    leaks: Literal["move", "drop", "warn", "fail"] = Field(
        default="move",
        description="The same picture, or nearly the same, in two splits. move: all of them into the one held out most "
        "(test, then validation). drop: those in the other splits go.",
    )
    conflicting_labels: Literal["warn", "drop", "fail"] = Field(
        default="warn", description="The same picture, or nearly the same, under two labels. drop: all of them go."
    )
    small_classes: Literal["fail", "warn"] = Field(
        default="fail", description="Classes with fewer than minimum_per_class pictures to train on."
    )
    minimum_per_class: int = Field(
        default=2, ge=1, le=1_000_000, description="A class with fewer training pictures is a small one."
    )
    imbalance: Literal["warn", "fail"] = Field(
        default="warn", description="The largest class is more than max_imbalance times as large as the smallest."
    )
    max_imbalance: float = Field(
        default=10.0, ge=1, le=1_000_000, description="Largest class divided by smallest, in training."
    )
    odd_sizes: Literal["warn", "drop", "fail"] = Field(
        default="warn",
        description="Pictures whose short side is below half of dataset.image_size, or longer than max_aspect allows.",
    )
    max_aspect: float = Field(default=3.0, ge=1, le=1_000_000, description="Long side divided by short side.")
