"""What SageMaker Debugger is asked for where health.managed is true: rules in AWS's words, and tensors for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.config.health_rules import NAMES, RANGE, RULES, YES
from pipeline.config.problems import Problem, quoted

Given = Mapping[str, Any]
Texts = dict[str, str]
# steps from one record to the next where health.every is null: how long the job is, a definition cannot tell
EVERY = 100
LONGEST = 256  # characters of a value in RuleParameters and CollectionParameters
REPORT = "ProfilerReport"
LOSSES = "losses"
# Rule → collections of tensors that it looks at where none are chosen; AWS's guide has them with each rule.
DEBUGGER: dict[str, tuple[str, ...]] = {
    "VanishingGradient": ("gradients",),
    "ExplodingTensor": ("gradients", LOSSES),
    "PoorWeightInitialization": ("relu_input", "gradients", LOSSES),
    "SaturatedActivation": ("tanh_input", "sigmoid_input"),
    "DeadRelu": ("relu_output",),
    "WeightUpdateRatio": ("weights",),
    "AllZero": ("gradients", "relu_output"),
    "TensorVariance": ("weights",),
    "UnchangedTensor": ("weights",),
    **dict.fromkeys(("LossNotDecreasing", "Overfit", "Overtraining", "StalledTrainingRule"), (LOSSES,)),
}
MUST_CHOOSE = ("AllZero", "TensorVariance", "UnchangedTensor")  # AWS's ask for collection_names or tensor_regex
PROFILER = (
    *("BatchSize", "CPUBottleneck", "IOBottleneck", "LowGPUUtilization"),
    *("GPUMemoryIncrease", "LoadBalancing", "OverallSystemUsage"),
)
_FRAMEWORK = "AWS's reads framework metrics, which ended with PyTorch 2.0: it would be green without having seen a step"
_CLASSES = "AWS's reads tensors of labels and predictions, which are not saved"
OURS_ALONE = {
    **dict.fromkeys(("StepOutlier", "MaxInitializationTime", "Dataloader"), _FRAMEWORK),
    **dict.fromkeys(("ClassImbalance", "Confusion"), _CLASSES),
}
# smdebug knows weights, gradients, biases and losses by itself.
INCLUDES = {
    "all": ".*",
    **{name: f".*{name}" for name in ("relu_input", "relu_output", "sigmoid_input", "tanh_input")},
}
_PATTERN_KEYS = ("tensor_regex", "activation_inputs_regex")
_INITIAL = "PoorWeightInitialization"
_INITIAL_STEPS = 10  # AWS's default
_MOST_STEPS = 30  # so many of 7 digits fit into one value
_FEW_STEPS = 3  # of tensors: a ResNet18's gradients are 45 MB


class Rule(NamedTuple):
    """`parameters`: those of the configuration, as AWS names and texts them."""

    name: str
    parameters: Texts


def debugger_rules(rules: Given) -> list[Rule]:
    """Of tensors and losses."""
    return [Rule(name, _debugger_texts(name, given or {})) for name, given in rules.items() if name in DEBUGGER]


def profiler_rules(rules: Given) -> list[Rule]:
    """Of the machine; the report that AWS writes judges by the same parameters."""
    chosen = [Rule(name, _texts(name, given or {})) for name, given in rules.items() if name in PROFILER]
    told = {f"{rule.name}_{key}": text for rule in chosen for key, text in rule.parameters.items()}
    return [Rule(REPORT, told), *chosen]


def collections(rules: Given, every: int | None) -> dict[str, Texts]:
    """Collection → its parameters: what the rules look at, and the losses in any case."""
    interval, found = str(every or EVERY), {LOSSES: _losses(every or EVERY)}
    for name, given in _debugged(rules):
        for each in _looked_at(name, given):
            include = {"include_regex": INCLUDES[each]} if each in INCLUDES else {}
            found.setdefault(each, {**include, "save_interval": interval})
        if patterns := _patterns(name, given):
            found[f"{name}_tensors"] = {"include_regex": patterns, "save_interval": interval}
    for name, given in _debugged(rules):
        if name == _INITIAL:  # what it looks at comes before the first interval has passed
            steps = given.get("steps", _INITIAL_STEPS)
            for each in (*_looked_at(name, given), *([f"{name}_tensors"] if _patterns(name, given) else [])):
                found[each]["train.save_steps"] = _first_steps(steps, _MOST_STEPS if each == LOSSES else _FEW_STEPS)
        if name == "WeightUpdateRatio" and "num_steps" in given:  # AWS's compares weights that many steps apart
            found["weights"]["train.save_interval"] = str(given["num_steps"])
    return found


def managed_problems(rules: Given) -> Iterator[Problem]:
    """What our rules take, and AWS's do not; of rules that are right otherwise."""
    for name, given in rules.items():
        for key, value in (given or {}).items():
            if key != "on_issue" and name not in OURS_ALONE and (says := _misfit(name, key, value)):
                yield Problem(("health", "rules", name, key), f"{quoted(value)}: {says}, or write managed: false")


def _misfit(name: str, key: str, value: Any) -> str | None:
    text = RULES[name].takes[key].text(value)
    if len(text) > LONGEST:
        return f"AWS's rule takes {LONGEST} characters, and this has {len(text)}; shorten it"
    if "\n" in text:
        return "AWS's rule takes one line"
    if key in _PATTERN_KEYS and any(part.startswith("update/") for part in text.split(",")):
        return "there are updates in our own records alone; choose weights or gradients"
    if _is_whole(name, key):
        least = 1 if key in ("patience", "window", "increase") or name not in PROFILER else 0
        if float(value) != int(value) or value < least:
            return f"AWS's rule takes whole numbers from {least}; round it"
    return None


def _is_whole(name: str, key: str) -> bool:
    return (name in PROFILER and (name, key) != ("LoadBalancing", "threshold")) or name == "StalledTrainingRule"


def _debugged(rules: Given) -> list[tuple[str, Given]]:
    return [(name, given or {}) for name, given in rules.items() if name in DEBUGGER]


def _debugger_texts(name: str, given: Given) -> Texts:
    chosen = {"collection_names", "tensor_regex"} & given.keys()
    choice = {"collection_names": ",".join(DEBUGGER[name])} if name in MUST_CHOOSE and not chosen else {}
    return {**choice, **_texts(name, given)}


def _texts(name: str, given: Given) -> Texts:
    found: Texts = {}
    for key, value in given.items():
        if key == "on_issue":  # ours alone: AWS's rules only tell
            continue
        kind = RULES[name].takes[key]
        if kind is RANGE:
            found |= {f"{key}_min": repr(float(value[0])), f"{key}_max": repr(float(value[1]))}
        elif kind is YES:
            found[key] = str(value)
        else:
            found[key] = str(int(value)) if _is_whole(name, key) else kind.text(value)
    return found


def _looked_at(name: str, given: Given) -> tuple[str, ...]:
    if "collection_names" in given:
        return tuple(NAMES.text(given["collection_names"]).split(","))
    if name == _INITIAL and _patterns(name, given):
        return DEBUGGER[name][1:]
    return () if _patterns(name, given) else DEBUGGER[name]


def _patterns(name: str, given: Given) -> str:
    return next((RULES[name].takes[key].text(given[key]) for key in _PATTERN_KEYS if key in given), "")


def _losses(every: int) -> Texts:
    """One number each: ten times as often as tensors; of validation all of them, which tell a mean only together."""
    return {"train.save_interval": str(max(1, every // 10)), "eval.save_interval": "1"}


def _first_steps(steps: int, most: int) -> str:
    return ",".join(map(str, range(0, steps, -(-steps // most))))
