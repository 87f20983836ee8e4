"""training.hyperparameters: names, ranges and defaults of what train.py is told, grouped as in pipeline.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.section import Section


class Hyperparameters(Section):
    """What train.py is told; tuned values take the place of these."""

    epochs: int = Field(default=8, ge=1, le=1000, description="Passes over the training split (TrainingEpochs).")
    early_stopping: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="End after so many epochs without a lower validation loss, and keep the best one. 0: never.",
    )

    lr: float = Field(default=0.03, gt=0, le=10, description="Highest learning rate of the schedule.")
    schedule: Literal["onecycle", "cosine", "constant"] = Field(
        default="onecycle",
        description="What lr does after its warm-up from a tenth. onecycle: falls to 0. constant: stays. "
        "cosine: falls to 0 from the first step on, warm-up or not.",
    )
    warmup: float = Field(default=0.25, ge=0, le=0.9, description="Share of all steps in which lr rises.")

    batch_size: int = Field(default=64, ge=1, le=65536, description="Pictures a batch.")
    accumulate: int = Field(
        default=1, ge=1, le=1024, description="Batches whose gradients make one step: large batches in little memory."
    )

    optimizer: Literal["sgd", "adam", "adamw"] = Field(
        default="sgd", description="sgd (with Nesterov momentum), adam or adamw."
    )
    momentum: float = Field(default=0.9, ge=0, le=0.9999, description="Momentum of sgd; the others ignore it.")
    weight_decay: float = Field(default=0.0005, ge=0, le=1, description="Pull of the weights towards zero.")
    clip_norm: float = Field(
        default=0.0, ge=0, le=1_000_000, description="Longest gradient, over all weights; longer ones are cut. 0: any."
    )
    ema: float = Field(
        default=0.0,
        ge=0,
        le=0.99999,
        description="Decay of a moving average of the weights, such as 0.999, which is measured and kept in their "
        "place. 0: the weights themselves.",
    )

    label_smoothing: float = Field(default=0.1, ge=0, le=0.9, description="Share of the target that all classes get.")
    augment: Literal["none", "flip", "shift"] = Field(
        default="shift", description="none; shift: random crops; flip: crops and mirror images (not for digits)."
    )
    mixup: float = Field(default=0.0, ge=0, le=10, description="Alpha of mixup: two pictures blended. 0: off.")
    cutmix: float = Field(default=0.0, ge=0, le=10, description="Alpha of cutmix: a patch of another one. 0: off.")

    sampling: Literal["shuffled", "balanced"] = Field(
        default="shuffled", description="balanced: every class is drawn as often, rare ones repeatedly."
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description="balanced: pictures of rare classes weigh more in the loss, by their number.",
    )

    sync_batch_norm: bool = Field(
        default=False,
        description="Several GPUs: batch norm sees the whole batch, not each GPU's part; for parts of a few pictures.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="auto: bfloat16 where the machine is faster with it. float16: for GPUs without bfloat16.",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Start weights and order of the pictures.")
