"""Which rules there are: AWS's names and parameters, what each one needs, and how it scales with the job's length."""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from health import own_rule, rules_activations, rules_classes, rules_losses, rules_tensors, rules_weights
from health.parameters import NAMES, PATTERNS, RANGE, YES, Type, Value, number, one_of, only, whole
from health.verdicts import Verdict, failed
from health.view import Records

LARGE = 1e30


class Job(NamedTuple):
    """What a rule knows of the job, beside its records. `every`: steps from one record of tensors to the next, 0 for
    none. `examples`: pictures that all epochs show. `now`: the time, while training runs."""

    steps: int
    epochs: int
    every: int = 0
    classes: int = 0
    examples: int = 0
    now: float | None = None
    start_up_seconds: float | None = None


class Rule(NamedTuple):
    """`needs`: kinds of recorded tensors, and tables. `refused`: AWS's parameters that mean nothing here. `scaled`:
    what takes the place of defaults in a job of this length. `of_job`: arguments that the job gives, not a setting."""

    function: Callable[..., Verdict]
    needs: tuple[str, ...]
    types: Mapping[str, Type] = {}
    refused: Mapping[str, str] = {}
    scaled: Callable[[Job, Records], dict[str, Value]] | None = None
    of_job: tuple[str, ...] = ()


class Setting(NamedTuple):
    """A rule as somebody asked for it: its name, or the file of a rule of one's own; `given` are parameters."""

    rule: str
    given: Mapping[str, Value] = {}
    on_issue: str = "warn"


def opened(setting: Setting, folder: Path = Path()) -> Rule:
    """Runs the code of a rule of one's own, whose file is named from `folder`. Raises Refusal."""
    if setting.rule.endswith(".py"):
        return Rule(own_rule.load(folder / setting.rule), ())
    return BOOK[setting.rule]


def judged(setting: Setting, rule: Rule, records: Records, job: Job) -> Verdict:
    """The rule's word, with what was scaled in the message; whatever the rule raises is status Error."""
    arguments: dict[str, object] = dict(setting.given)
    notes = []
    for name, value in (rule.scaled(job, records) if rule.scaled else {}).items():
        default = defaults(rule)[name]
        if name not in arguments and value != default:
            arguments[name] = value
            notes.append(f"{name} is {value:g} instead of {default:g}")
    arguments |= {name: getattr(job, name) for name in rule.of_job}
    try:
        with np.errstate(all="ignore"):
            verdict = rule.function(records, **arguments)
    except Exception as error:  # no rule, be it our own, may end a training of hours
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        return failed(setting.rule, f"{where}: {own_rule.cause(error)}", "report this: the rule has a bug")
    if notes:
        scaled = f"{verdict.message} ({'; '.join(notes)}, in a job of {job.steps:,} steps and {job.epochs:,} epochs)"
        verdict = verdict._replace(message=scaled)
    return verdict._replace(ours=verdict.ours or ours(rule))


def defaults(rule: Rule) -> dict[str, Value]:
    """AWS's, as the function has them."""
    parameters = inspect.signature(rule.function).parameters.values()
    return {each.name: each.default for each in parameters if each.name in rule.types}


def effective(settings: tuple[Setting, ...], name: str) -> dict[str, Value]:
    """Parameters of the first setting of that rule, or its defaults; the recorder needs tolerances and thresholds."""
    given: Mapping[str, Value] = next((each.given for each in settings if each.rule == name), {})
    return {**defaults(BOOK[name]), **given}


def needs(settings: tuple[Setting, ...]) -> set[str]:
    """Kinds of tensors and tables; a rule of one's own may look at anything."""
    if any(each.rule not in BOOK for each in settings):
        return {need for rule in BOOK.values() for need in rule.needs}
    return {need for each in settings for need in BOOK[each.rule].needs}


def ours(rule: Rule) -> str:
    """What follows "Ours:" in the docstring."""
    return " ".join((inspect.getdoc(rule.function) or "").partition("Ours: ")[2].split())


def _loss_steps(job: Job, records: Records) -> dict[str, Value]:
    """AWS's default interval of saving is 500 steps, so that losses ten steps apart were never compared there."""
    return {"num_steps": max(1, min(10, job.steps // 4), min(500, job.steps // 10))}


def _first_steps(job: Job, records: Records) -> dict[str, Value]:
    steps = max(min(10, job.steps), min(200, job.steps // 20))
    return {"steps": steps, "patience": max(1, steps // 2)}


def _overfit_epochs(job: Job, records: Records) -> dict[str, Value]:
    return {"patience": max(1, min(10, job.epochs // 10))}


def _still_epochs(job: Job, records: Records) -> dict[str, Value]:
    """AWS's, in jobs of 30 epochs and more."""
    share = min(1.0, job.epochs / 30)
    return {"patience_train": math.ceil(5 * share), "patience_validation": math.ceil(10 * share)}


def _same_records(job: Job, records: Records) -> dict[str, Value]:
    return {"num_steps": 3 if not job.every or job.steps // job.every >= 6 else 2}


def _labels(job: Job, records: Records) -> dict[str, Value]:
    """AWS's 500 are for ten classes."""
    if not job.classes:
        return {}
    return {"samples": max(1, min(50 * job.classes, job.examples // 2 or 50 * job.classes))}


def _stall_seconds(job: Job, records: Records) -> dict[str, Value]:
    """As long as the whole job should take, from 5 minutes to AWS's 30."""
    seconds = records.steps["seconds"][records.steps["mode"] == "train"]
    seconds = seconds[np.isfinite(seconds)]
    if not len(seconds):
        return {}
    return {"threshold": float(min(1800, max(300, round(job.steps * float(np.median(seconds))))))}


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
PERCENT, SHARE = number(0, 100), number(0, 1)
BOOK: dict[str, Rule] = {
    "VanishingGradient": Rule(rules_tensors.vanishing_gradient, ("gradient",), {"threshold": number(0, 1)}),
    "ExplodingTensor": Rule(
        rules_tensors.exploding_tensor,
        ("weight", "gradient", "update", "input", "output", "loss"),
        {**CHOICE, "only_nan": YES},
    ),
    "PoorWeightInitialization": Rule(
        rules_weights.poor_weight_initialization,
        ("input", "gradient", "loss"),
        {
            "activation_inputs_regex": PATTERNS,
            "threshold": number(1, LARGE),
            "distribution_range": number(0, LARGE),
            "patience": whole(1, 1_000_000),
            "steps": whole(1, 1_000_000),
        },
        scaled=_first_steps,
    ),
    "SaturatedActivation": Rule(
        rules_activations.saturated_activation,
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
        rules_activations.dead_relu,
        ("output",),
        {"tensor_regex": PATTERNS, "threshold_inactivity": PERCENT, "threshold_layer": PERCENT},
    ),
    "WeightUpdateRatio": Rule(
        rules_weights.weight_update_ratio,
        ("update", "loss"),
        {
            "num_steps": only(1),
            "large_threshold": number(0, LARGE),
            "small_threshold": number(0, LARGE),
            "epsilon": only(1e-9),
        },
    ),
    "AllZero": Rule(rules_tensors.all_zero, ("gradient", "output"), {**CHOICE, "threshold": PERCENT}),
    "TensorVariance": Rule(
        rules_tensors.tensor_variance,
        ("weight",),
        {**CHOICE, "max_threshold": number(0, LARGE), "min_threshold": number(0, LARGE)},
    ),
    "UnchangedTensor": Rule(
        rules_weights.unchanged_tensor,
        ("weight", "gradient", "loss"),
        {**CHOICE, "num_steps": whole(2, 1_000_000), "rtol": only(1e-5), "atol": only(1e-8), "equal_nan": YES},
        scaled=_same_records,
    ),
    "ClassImbalance": Rule(
        rules_classes.class_imbalance,
        ("classes",),
        {
            "threshold_imbalance": number(1, LARGE),
            "threshold_misprediction": SHARE,
            "samples": whole(1, 1_000_000_000),
        },
        dict.fromkeys(("argmax", "labels_regex", "predictions_regex"), OWN_LABELS),
        _labels,
    ),
    "Confusion": Rule(
        rules_classes.confusion,
        ("classes",),
        {"min_diag": SHARE, "max_off_diag": SHARE},
        {
            "category_no": "the classes are the data set's: leave it out",
            **dict.fromkeys(("labels", "predictions", "labels_collection", "predictions_collection"), OWN_LABELS),
        },
    ),
    "LossNotDecreasing": Rule(
        rules_losses.loss_not_decreasing,
        ("loss",),
        {
            "num_steps": whole(1, 1_000_000),
            "diff_percent": number(0, 100),
            "mode": one_of("EVAL", "TRAIN", "GLOBAL"),
        },
        dict.fromkeys(("collection_names", "tensor_regex", "use_losses_collection"), ONE_LOSS),
        _loss_steps,
    ),
    "Overfit": Rule(
        rules_losses.overfit,
        ("loss",),
        {
            "start_step": whole(0, 1_000_000_000),
            "patience": whole(1, 1_000_000),
            "ratio_threshold": number(0, LARGE),
        },
        {"tensor_regex": ONE_LOSS},
        _overfit_epochs,
    ),
    "Overtraining": Rule(
        rules_losses.overtraining,
        ("loss",),
        {
            "patience_train": whole(1, 1_000_000),
            "patience_validation": whole(1, 1_000_000),
            "delta": number(0, LARGE),
        },
        scaled=_still_epochs,
    ),
    "StalledTrainingRule": Rule(
        rules_losses.stalled_training,
        ("loss",),
        {"threshold": number(0, 1e9, above=True)},
        {
            "stop_training_on_fire": "write on_issue: stop",
            "training_job_name_prefix": "the job that is judged is this one: leave it out",
        },
        _stall_seconds,
        ("now",),
    ),
}
