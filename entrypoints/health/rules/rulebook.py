"""Which rules there are: AWS's names and parameters, what each one needs, and what scales with the job's length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from health.rules import activations, classes, losses, scaling, steps, system, tensors, weights
from health.rules.parameters import NAMES, PATTERNS, RANGE, YES, Type, Value, number, one_of, only, whole
from health.rules.scaling import Job
from health.verdicts import Verdict
from health.view import Records

LARGE = 1e30


class Rule(NamedTuple):
    """`needs`: kinds of recorded tensors, and tables. `refused`: AWS's parameters that mean nothing here. `scaled`:
    what takes the place of defaults in a job of this length. `of_job`: arguments that the job gives, not a setting."""

    function: Callable[..., Verdict]
    needs: tuple[str, ...]
    types: Mapping[str, Type] = {}
    refused: Mapping[str, str] = {}
    scaled: Callable[[Job, Records], dict[str, Value]] | None = None
    of_job: tuple[str, ...] = ()


ONE_LOSS = "there is one loss here, the one that training minimises: leave it out"
OWN_LABELS = "labels and predictions are the network's own: leave it out"
NOT_HERE = {  # AWS's rules that are not about the training of a network on pictures, or are done otherwise
    "ProfilerReport": "the profile is always written",
    "SimilarAcrossRuns": "it compares two jobs: darkroom's report of a run does",
    "CheckInputImages": "PrepareData measures mean and deviation, and training normalises by them",
    "NLPSequenceRatio": "it is about texts",
    "TreeDepth": "it is about XGBoost",
    "FeatureImportanceOverweight": "it is about XGBoost",
    "CreateXgboostReport": "it is about XGBoost",
}
CHOICE = {"collection_names": NAMES, "tensor_regex": PATTERNS}
PROFILER = {"scan_interval_us": "rules are judged after each record: leave it out"}
PERCENT, SHARE, POINTS = number(0, 100), number(0, 1), whole(0, 1_000_000)
WINDOW = {"patience": POINTS, "window": whole(1, 1_000_000)}
BOOK: dict[str, Rule] = {
    "VanishingGradient": Rule(tensors.vanishing_gradient, ("gradient",), {"threshold": number(0, 1)}),
    "ExplodingTensor": Rule(
        tensors.exploding_tensor,
        ("weight", "gradient", "update", "input", "output", "loss"),
        {**CHOICE, "only_nan": YES},
    ),
    "PoorWeightInitialization": Rule(
        weights.poor_weight_initialization,
        ("input", "gradient", "loss"),
        {
            "activation_inputs_regex": PATTERNS,
            "threshold": number(1, LARGE),
            "distribution_range": number(0, LARGE),
            "patience": whole(1, 1_000_000),
            "steps": whole(1, 1_000_000),
        },
        scaled=scaling.first_steps,
    ),
    "SaturatedActivation": Rule(
        activations.saturated_activation,
        ("output",),
        {
            **CHOICE,
            "threshold_tanh": RANGE,
            "threshold_sigmoid": RANGE,
            "threshold_layer": PERCENT,
        },
        {"threshold_inactivity": "values of a layer are counted here, not inactive nodes: leave it out"},
    ),
    "DeadRelu": Rule(
        activations.dead_relu,
        ("output",),
        {"tensor_regex": PATTERNS, "threshold_inactivity": PERCENT, "threshold_layer": PERCENT},
    ),
    "WeightUpdateRatio": Rule(
        weights.weight_update_ratio,
        ("update", "loss"),
        {
            "num_steps": only(1),
            "large_threshold": number(0, LARGE),
            "small_threshold": number(0, LARGE),
            "epsilon": only(1e-9),
        },
    ),
    "AllZero": Rule(tensors.all_zero, ("gradient", "output"), {**CHOICE, "threshold": PERCENT}),
    "TensorVariance": Rule(
        tensors.tensor_variance,
        ("weight",),
        {**CHOICE, "max_threshold": number(0, LARGE), "min_threshold": number(0, LARGE)},
    ),
    "UnchangedTensor": Rule(
        weights.unchanged_tensor,
        ("weight", "gradient", "loss"),
        {**CHOICE, "num_steps": whole(2, 1_000_000), "rtol": only(1e-5), "atol": only(1e-8), "equal_nan": YES},
        scaled=scaling.same_records,
    ),
    "ClassImbalance": Rule(
        classes.class_imbalance,
        ("classes",),
        {
            "threshold_imbalance": number(1, LARGE),
            "threshold_misprediction": SHARE,
            "samples": whole(1, 1_000_000_000),
        },
        dict.fromkeys(("argmax", "labels_regex", "predictions_regex"), OWN_LABELS),
        scaling.labels,
    ),
    "Confusion": Rule(
        classes.confusion,
        ("classes",),
        {"min_diag": SHARE, "max_off_diag": SHARE},
        {
            "category_no": "the classes are the data set's: leave it out",
            **dict.fromkeys(("labels", "predictions", "labels_collection", "predictions_collection"), OWN_LABELS),
        },
    ),
    "LossNotDecreasing": Rule(
        losses.loss_not_decreasing,
        ("loss",),
        {
            "num_steps": whole(1, 1_000_000),
            "diff_percent": number(0, 100),
            "mode": one_of("EVAL", "TRAIN", "GLOBAL"),
        },
        dict.fromkeys(("collection_names", "tensor_regex", "use_losses_collection"), ONE_LOSS),
        scaling.loss_steps,
        ("epochs",),
    ),
    "Overfit": Rule(
        losses.overfit,
        ("loss",),
        {
            "start_step": whole(0, 1_000_000_000),
            "patience": whole(1, 1_000_000),
            "ratio_threshold": number(0, LARGE),
        },
        {"tensor_regex": ONE_LOSS},
        scaling.overfit_epochs,
    ),
    "Overtraining": Rule(
        losses.overtraining,
        ("loss",),
        {
            "patience_train": whole(1, 1_000_000),
            "patience_validation": whole(1, 1_000_000),
            "delta": number(0, LARGE),
        },
        scaled=scaling.still_epochs,
    ),
    "StalledTrainingRule": Rule(
        losses.stalled_training,
        ("loss",),
        {"threshold": number(0, 1e9, above=True)},
        {
            "stop_training_on_fire": "write on_issue: stop",
            "training_job_name_prefix": "the job that is judged is this one: leave it out",
        },
        scaling.stall_seconds,
        ("now",),
    ),
    "BatchSize": Rule(
        system.batch_size,
        ("system",),
        {**dict.fromkeys(("cpu_threshold_p95", "gpu_threshold_p95", "gpu_memory_threshold_p95"), PERCENT), **WINDOW},
        PROFILER,
    ),
    "CPUBottleneck": Rule(
        system.cpu_bottleneck,
        ("system",),
        {**dict.fromkeys(("threshold", "gpu_threshold", "cpu_threshold"), PERCENT), "patience": POINTS},
        PROFILER,
    ),
    "IOBottleneck": Rule(
        system.io_bottleneck,
        ("system",),
        {**dict.fromkeys(("threshold", "gpu_threshold", "io_threshold"), PERCENT), "patience": POINTS},
        PROFILER,
    ),
    "LowGPUUtilization": Rule(
        system.low_gpu_utilization,
        ("system",),
        {"threshold_p95": PERCENT, "threshold_p5": PERCENT, **WINDOW},
        PROFILER,
    ),
    "GPUMemoryIncrease": Rule(system.gpu_memory_increase, ("system",), {"increase": PERCENT, **WINDOW}, PROFILER),
    "LoadBalancing": Rule(system.load_balancing, ("system",), {"threshold": SHARE, "patience": POINTS}, PROFILER),
    "OverallSystemUsage": Rule(system.overall_system_usage, ("system",), {}, PROFILER),
    "Dataloader": Rule(
        steps.dataloader,
        ("system", "loss"),
        {"min_threshold": number(0, 10_000), "max_threshold": number(0, 10_000)},
        PROFILER,
        of_job=("readers",),
    ),
    "MaxInitializationTime": Rule(
        steps.max_initialization_time,
        ("loss",),
        {"threshold": number(0, 100_000)},
        PROFILER,
        of_job=("start_up_seconds",),
    ),
    "StepOutlier": Rule(
        steps.step_outlier,
        ("loss",),
        {"stddev": number(0, 1000, above=True), "mode": one_of("EVAL", "TRAIN"), "n_outliers": whole(0, 1_000_000)},
        PROFILER,
    ),
}
