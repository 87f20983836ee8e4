"""The rules of training health and what they take, as the rulebook of entrypoints/health has them: a test compares."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeGuard


class Kind(NamedTuple):
    """What a parameter may be. `words` end the sentence "allowed: …"; `text` raises ValueError for what is not."""

    words: str
    text: Callable[[object], str]
    schema: Mapping[str, Any]


class Rule(NamedTuple):
    """`refused`: AWS's parameters that mean nothing here, and why."""

    takes: Mapping[str, Kind] = {}
    refused: Mapping[str, str] = {}


def number(low: float, high: float, above: bool = False) -> Kind:
    """`above`: `low` itself is out."""

    def text(value: object) -> str:
        if not _is_number(value) or not low <= value <= high or (above and value == low):
            raise ValueError
        return repr(float(value))

    least = {"exclusiveMinimum" if above else "minimum": low}
    return Kind(
        f"a number {'above' if above else 'from'} {low:g} to {high:g}",
        text,
        {"type": "number", **least, "maximum": high},
    )


def whole(low: int, high: int) -> Kind:
    def text(value: object) -> str:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return str(value)

    return Kind(f"a whole number from {low} to {high}", text, {"type": "integer", "minimum": low, "maximum": high})


def only(fixed: float) -> Kind:
    """AWS's default, which is built into what is recorded."""

    def text(value: object) -> str:
        if not _is_number(value) or value != fixed:
            raise ValueError
        return repr(fixed)

    return Kind(f"{fixed:g} only, which is measured while recording; leave it out", text, {"const": fixed})


def one_of(*words: str) -> Kind:
    def text(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError
        return value

    return Kind(f"one of {', '.join(words)}", text, {"enum": list(words)})


def _yes(value: object) -> str:
    if not isinstance(value, bool):
        raise ValueError
    return "true" if value else "false"


def _range(value: object) -> str:
    match value:
        case [low, high] if _is_number(low) and _is_number(high) and low < high:
            return f"{float(low)!r},{float(high)!r}"
    raise ValueError


def _patterns(value: object) -> str:
    parts = _parts(value)
    for part in parts:
        try:
            re.compile(part)
            part.encode()
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError from error
    return ",".join(parts)


def _names(value: object) -> str:
    parts = _parts(value)
    if not set(parts) <= set(COLLECTIONS):
        raise ValueError
    return ",".join(parts)


def _parts(value: object) -> list[str]:
    """Of a list of texts, or of one with commas as AWS has it: no pattern holds one."""
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise ValueError
    parts = [part.strip() for part in texts if isinstance(part, str) and "," not in part]
    if not parts or not all(parts) or len(parts) < len(texts):
        raise ValueError
    return parts


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and type(value) is not bool and abs(value) <= 1e300


COLLECTIONS = (
    *("all", "weights", "biases", "gradients", "losses"),
    *("relu_input", "relu_output", "sigmoid_input", "tanh_input"),
)
_LIST: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
YES = Kind("true or false", _yes, {"type": "boolean"})
RANGE = Kind(
    "a minimum and a maximum, such as [-23, 16.99999]",
    _range,
    {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
)
PATTERNS = Kind("a regular expression without a comma, or a list of some", _patterns, _LIST)
NAMES = Kind(f"a list of some of {', '.join(COLLECTIONS)}", _names, _LIST)

LARGE, MILLION = 1e30, 1_000_000
ONE_LOSS = "there is one loss here, the one that training minimises: leave it out"
OWN_LABELS = "labels and predictions are the network's own: leave it out"
XGBOOST = "it is about XGBoost"
NOT_HERE = {
    "ProfilerReport": "the profile is always written",
    "SimilarAcrossRuns": "it compares two jobs: darkroom's report of a run does",
    "CheckInputImages": "PrepareData measures mean and deviation, and training normalises by them",
    "NLPSequenceRatio": "it is about texts",
    **dict.fromkeys(("TreeDepth", "FeatureImportanceOverweight", "CreateXgboostReport"), XGBOOST),
}
COMMON = {"base_trial": "the rule looks at this job itself: leave it out"}
_CHOICE = {"collection_names": NAMES, "tensor_regex": PATTERNS}
_PERCENT, _SHARE, _POINTS, _COUNT = number(0, 100), number(0, 1), whole(0, MILLION), whole(1, MILLION)
_WINDOW = {"patience": _POINTS, "window": _COUNT}
_PROFILER = {"scan_interval_us": "rules are judged after each record: leave it out"}
RULES: dict[str, Rule] = {
    "VanishingGradient": Rule({"threshold": _SHARE}),
    "ExplodingTensor": Rule({**_CHOICE, "only_nan": YES}),
    "PoorWeightInitialization": Rule(
        {
            "activation_inputs_regex": PATTERNS,
            "threshold": number(1, LARGE),
            "distribution_range": number(0, LARGE),
            "patience": _COUNT,
            "steps": _COUNT,
        }
    ),
    "SaturatedActivation": Rule(
        {**_CHOICE, "threshold_tanh": RANGE, "threshold_sigmoid": RANGE, "threshold_layer": _PERCENT},
        {"threshold_inactivity": "values of a layer are counted here, not inactive nodes: leave it out"},
    ),
    "DeadRelu": Rule({"tensor_regex": PATTERNS, "threshold_inactivity": _PERCENT, "threshold_layer": _PERCENT}),
    "WeightUpdateRatio": Rule(
        {
            "num_steps": only(1),
            "large_threshold": number(0, LARGE),
            "small_threshold": number(0, LARGE),
            "epsilon": only(1e-9),
        }
    ),
    "AllZero": Rule({**_CHOICE, "threshold": _PERCENT}),
    "TensorVariance": Rule({**_CHOICE, "max_threshold": number(0, LARGE), "min_threshold": number(0, LARGE)}),
    "UnchangedTensor": Rule(
        {**_CHOICE, "num_steps": whole(2, MILLION), "rtol": only(1e-5), "atol": only(1e-8), "equal_nan": YES}
    ),
    "ClassImbalance": Rule(
        {"threshold_imbalance": number(1, LARGE), "threshold_misprediction": _SHARE, "samples": whole(1, 10**9)},
        dict.fromkeys(("argmax", "labels_regex", "predictions_regex"), OWN_LABELS),
    ),
    "Confusion": Rule(
        {"min_diag": _SHARE, "max_off_diag": _SHARE},
        {
            "category_no": "the classes are the data set's: leave it out",
            **dict.fromkeys(("labels", "predictions", "labels_collection", "predictions_collection"), OWN_LABELS),
        },
    ),
    "LossNotDecreasing": Rule(
        {"num_steps": _COUNT, "diff_percent": _PERCENT, "mode": one_of("EVAL", "TRAIN", "GLOBAL")},
        dict.fromkeys(("collection_names", "tensor_regex", "use_losses_collection"), ONE_LOSS),
    ),
    "Overfit": Rule(
        {"start_step": whole(0, 10**9), "patience": _COUNT, "ratio_threshold": number(0, LARGE)},
        {"tensor_regex": ONE_LOSS},
    ),
    "Overtraining": Rule({"patience_train": _COUNT, "patience_validation": _COUNT, "delta": number(0, LARGE)}),
    "StalledTrainingRule": Rule(
        {"threshold": number(0, 1e9, above=True)},
        {
            "stop_training_on_fire": "write on_issue: stop",
            "training_job_name_prefix": "the job that is judged is this one: leave it out",
        },
    ),
    "BatchSize": Rule(
        {**dict.fromkeys(("cpu_threshold_p95", "gpu_threshold_p95", "gpu_memory_threshold_p95"), _PERCENT), **_WINDOW},
        _PROFILER,
    ),
    "CPUBottleneck": Rule(
        {**dict.fromkeys(("threshold", "gpu_threshold", "cpu_threshold"), _PERCENT), "patience": _POINTS}, _PROFILER
    ),
    "IOBottleneck": Rule(
        {**dict.fromkeys(("threshold", "gpu_threshold", "io_threshold"), _PERCENT), "patience": _POINTS}, _PROFILER
    ),
    "LowGPUUtilization": Rule({"threshold_p95": _PERCENT, "threshold_p5": _PERCENT, **_WINDOW}, _PROFILER),
    "GPUMemoryIncrease": Rule({"increase": _PERCENT, **_WINDOW}, _PROFILER),
    "LoadBalancing": Rule({"threshold": _SHARE, "patience": _POINTS}, _PROFILER),
    "OverallSystemUsage": Rule({}, _PROFILER),
    "Dataloader": Rule(dict.fromkeys(("min_threshold", "max_threshold"), number(0, 10_000)), _PROFILER),
    "MaxInitializationTime": Rule({"threshold": number(0, 100_000)}, _PROFILER),
    "StepOutlier": Rule(
        {"stddev": number(0, 1000, above=True), "mode": one_of("EVAL", "TRAIN"), "n_outliers": whole(0, MILLION)},
        _PROFILER,
    ),
}
