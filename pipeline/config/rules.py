"""What single keys cannot know: rules between keys and between sections of pipeline.yaml."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from pipeline.config.architectures import misfits
from pipeline.config.dataset import DatasetSection
from pipeline.config.deploy_rules import deploy_rules, kinds_rules
from pipeline.config.deploying import DeploySection
from pipeline.config.health import health_rules
from pipeline.config.instances import accelerator
from pipeline.config.problems import Problem, allowed_by, quoted
from pipeline.config.sections import EvaluationSection, SecuritySection
from pipeline.config.serving import server_rules
from pipeline.config.training import PYTHON_FILE, ModelSection, Range, TrainingSection, TuningSection, file_name
from pipeline.config.tunable import TUNABLE, is_choice, is_whole
from pipeline.dataset_source import ARCHIVES, in_s3, is_foreign_archive

Problems = Iterator[Problem]
_OWN_TEST = ("cifar10", "cifar100")
_START_ENDINGS = {"weights": (".pth", ".pt"), "warm_start": (".tar.gz",)}
_STAYS_RANDOM = "what is not trained would stay random; name model.weights or model.warm_start"
_S3_ADDRESS = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/|$)")


def dataset_rules(dataset: DatasetSection) -> Problems:
    yield from _source(dataset)
    if dataset.kind == "manifest" and dataset.manifest is None:
        says = "null: manifest needs the name of its .csv or .jsonl file in the source, such as labels.csv"
        yield Problem(("dataset", "manifest"), says)
    if dataset.kind != "manifest" and dataset.manifest is not None:
        says = f"{quoted(dataset.manifest)}: only with `kind: manifest`; write null"
        yield Problem(("dataset", "manifest"), says)
    # CIFAR's test split is its own.
    held_out = dataset.validation_fraction + (0 if dataset.kind in _OWN_TEST else dataset.test_fraction)
    if held_out >= 0.9 and dataset.kind in _OWN_TEST:
        says = f"{dataset.validation_fraction} leaves too little to train on; it stays below 0.9"
        yield Problem(("dataset", "validation_fraction"), says)
    elif held_out >= 0.9:
        says = f"{dataset.test_fraction} with validation_fraction {dataset.validation_fraction} leaves too little"
        yield Problem(("dataset", "test_fraction"), f"{says} to train on; their sum stays below 0.9")


def _source(dataset: DatasetSection) -> Problems:
    path, source = ("dataset", "source"), dataset.source
    if dataset.kind == "digits" and source is not None:
        yield Problem(path, f"{quoted(source)}: digits brings its pictures along; write null")
    elif dataset.kind != "digits" and source is None:
        yield Problem(path, f"null: {dataset.kind} needs a folder, an archive, or an s3:// address")
    elif source and "://" in source and not in_s3(source):
        yield Problem(path, f"{quoted(source)}: a folder, an archive, or an s3:// address, nothing else")
    elif source and in_s3(source) and not _S3_ADDRESS.match(source):
        yield Problem(path, f"{quoted(source)}: an address is like s3://bucket/folder/ or s3://bucket/pictures.zip")
    elif source and is_foreign_archive(source):
        yield Problem(path, f"{quoted(source)}: this kind of archive is not read; allowed: {', '.join(ARCHIVES)}")


def model_rules(model: ModelSection, dataset: DatasetSection) -> Problems:
    if model.file is None:
        for key, says in misfits(model.name, model.stem, dataset.image_size):
            yield Problem(("model" if key == "stem" else "dataset", key), says)


def file_rules(model: ModelSection) -> Problems:
    if model.file is None:
        return
    path = ("model", "file")
    if "://" in model.file:
        says = f"{quoted(model.file)}: a Python file of this machine, nothing else; it travels with the code"
        yield Problem(path, says)
    elif not PYTHON_FILE.fullmatch(file_name(model.file)):
        says = f"{quoted(model.file)}: its name is of letters, digits, _ and -, and ends in .py, such as nets/mine.py"
        yield Problem(path, says)
    if "name" in model.model_fields_set:
        says = f"{quoted(model.name)} beside file: the network is that of the file; leave it out"
        yield Problem(("model", "name"), says)
    if model.stem != "torchvision":
        yield Problem(("model", "stem"), f"{quoted(model.stem)}: file brings its own first layer; leave it out")


def start_rules(model: ModelSection) -> Problems:
    for key, endings in _START_ENDINGS.items():
        if source := model.starts.get(key):
            yield from _start(("model", key), source, endings)
    if len(model.starts) > 1:
        yield Problem(("model", "warm_start"), f"{quoted(model.warm_start)} beside weights: a model has one start")
    if not model.starts and model.trainable_layers != "all":
        yield Problem(("model", "trainable_layers"), f"{model.trainable_layers}: {_STAYS_RANDOM}, or write all")


def searched_layers_rules(model: ModelSection, tuning: TuningSection) -> Problems:
    if tuning.enabled and "trainable_layers" in tuning.ranges and not model.starts:
        yield Problem(("tuning", "ranges", "trainable_layers"), _STAYS_RANDOM)


def _start(path: tuple[str, str], source: str, endings: tuple[str, ...]) -> Problems:
    kinds = " or ".join(endings)
    if "://" in source and not in_s3(source):
        yield Problem(path, f"{quoted(source)}: a file, or an s3:// address, nothing else")
    elif in_s3(source) and not _S3_ADDRESS.match(source):
        yield Problem(path, f"{quoted(source)}: an address is like s3://bucket/folder/file{endings[0]}")
    elif not source.endswith((*endings, "/") if in_s3(source) else endings):
        folder = ", or is a folder that holds one and ends in /" if in_s3(source) else ""
        yield Problem(path, f"{quoted(source)}: its name ends in {kinds}{folder}")


def spot_rules(training: TrainingSection) -> Problems:
    wait, path = training.max_wait_minutes, ("training", "max_wait_minutes")
    if wait is not None and not training.spot:
        yield Problem(path, f"{wait}: only with `spot: true`; write null")
    elif wait is not None and wait < training.max_runtime_minutes:
        yield Problem(path, f"{wait} is below max_runtime_minutes ({training.max_runtime_minutes}), which it includes")


def precision_rules(training: TrainingSection) -> Problems:
    if training.hyperparameters.precision == "float16" and accelerator(training.instance_type) == "cpu":
        says = f'"float16": {training.instance_type} has no GPU; write auto, or take a machine with one'
        yield Problem(("training", "hyperparameters", "precision"), says)


def hosts_rules(training: TrainingSection) -> Problems:
    count, told = training.instance_count, training.hyperparameters
    if told.batch_size < count:
        says = f"{told.batch_size}: {count} machines (training.instance_count) share each batch; write {count} or more"
        yield Problem(("training", "hyperparameters", "batch_size"), says)
    if told.sync_batch_norm and accelerator(training.instance_type) == "cpu":
        says = f"true: {training.instance_type} has no GPU; write false, or take a machine with several"
        yield Problem(("training", "hyperparameters", "sync_batch_norm"), says)


def network_rules(security: SecuritySection) -> Problems:
    if bool(security.subnets) != bool(security.security_groups):
        key = "security_groups" if security.subnets else "subnets"
        yield Problem(("security", key), "[]: a VPC needs subnets and security_groups, or neither")


def champion_rules(evaluation: EvaluationSection) -> Problems:
    if evaluation.not_worse_than_champion and not evaluation.compare_with_champion:
        yield Problem(("evaluation", "not_worse_than_champion"), "true: only with `compare_with_champion: true`")
    if evaluation.champion_margin and not evaluation.not_worse_than_champion:
        says = f"{evaluation.champion_margin}: only with `not_worse_than_champion: true`; write 0"
        yield Problem(("evaluation", "champion_margin"), says)


def function_rules(evaluation: EvaluationSection, deploy: DeploySection) -> Problems:
    if evaluation.champion_function and evaluation.champion_function == deploy.function:
        says = f"{quoted(evaluation.champion_function)}: is deploy.function; each of the two has code of its own"
        yield Problem(("evaluation", "champion_function"), says)
    elif not evaluation.champion_function and (deploy.function or "").endswith(":function:darkroom-champion"):
        says = "function:darkroom-champion is what evaluation.champion_function means when it is left out"
        yield Problem(("deploy", "function"), f"{says}; each of the two has code of its own")
    elif not deploy.function and (evaluation.champion_function or "").endswith(":function:darkroom-deploy"):
        says = "function:darkroom-deploy is what deploy.function means when it is left out"
        yield Problem(("evaluation", "champion_function"), f"{says}; each of the two has code of its own")


def tuning_rules(tuning: TuningSection) -> Problems:
    if not tuning.enabled:
        return
    if not tuning.ranges:
        yield Problem(("tuning", "ranges"), "{}: at least one name from training.hyperparameters, or `enabled: false`")
    for name, searched in tuning.ranges.items():
        yield from _range(name, searched)
    yield from _limits(tuning)
    yield from _grid(tuning) if tuning.strategy == "Grid" else ()
    yield from _hyperband(tuning) if tuning.strategy == "Hyperband" else ()


def _limits(tuning: TuningSection) -> Problems:
    if tuning.max_jobs is None and tuning.strategy != "Grid":
        yield Problem(
            ("tuning", "max_jobs"), f"null: only Grid knows its number of trials; {tuning.strategy} needs one"
        )
    if tuning.max_jobs is not None and tuning.max_parallel_jobs > tuning.max_jobs:
        says = f"{tuning.max_parallel_jobs} is more than max_jobs ({tuning.max_jobs})"
        yield Problem(("tuning", "max_parallel_jobs"), says)


def _grid(tuning: TuningSection) -> Problems:
    for name, searched in tuning.ranges.items():
        if searched.values is None:
            yield Problem(("tuning", "ranges", name), "Grid takes choices only: write `values: [...]`")
    product = math.prod(len(searched.values or (1,)) for searched in tuning.ranges.values())
    if tuning.max_jobs not in (None, product):
        says = f"{tuning.max_jobs}: Grid tries all {product} combinations; write {product} or null"
        yield Problem(("tuning", "max_jobs"), says)


def _hyperband(tuning: TuningSection) -> Problems:
    if tuning.early_stopping:
        yield Problem(("tuning", "early_stopping"), "true: Hyperband stops trials itself; write false")
    if "epochs" in tuning.ranges:
        yield Problem(("tuning", "ranges", "epochs"), "Hyperband gives out the epochs itself; leave them out")
    if tuning.epochs < 2:
        yield Problem(
            ("tuning", "epochs"), f"{tuning.epochs}: Hyperband compares trials after some of their epochs; 2 or more"
        )


def _range(name: str, searched: Range) -> Problems:
    path = ("tuning", "ranges", name)
    if name not in TUNABLE:
        near = difflib.get_close_matches(name, TUNABLE, n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(TUNABLE)}"
        yield Problem(path, f"is not a hyperparameter that can be searched; {hint}")
        return
    interval = searched.min is not None and searched.max is not None
    any_bound = searched.min is not None or searched.max is not None
    if interval == (searched.values is not None) or (any_bound and not interval):
        yield Problem(path, "either `values: [...]`, or both `min` and `max`")
        return
    yield from _choice(path, name, searched) if searched.values is not None else ()
    yield from _interval(path, name, searched) if interval else ()


def _choice(path: tuple[str, ...], name: str, searched: Range) -> Problems:
    values = searched.values or ()
    for index, value in enumerate(values):
        yield from _value((*path, "values", index), name, value)
    if len(set(map(str, values))) != len(values):
        yield Problem((*path, "values"), f"{quoted(list(values))} holds a value twice")
    if searched.scaling != "Auto":
        yield Problem((*path, "scaling"), f"{quoted(searched.scaling)}: only for an interval; leave it out")


def _interval(path: tuple[str, ...], name: str, searched: Range) -> Problems:
    low, high = searched.min, searched.max
    assert low is not None and high is not None
    if is_choice(name):
        yield Problem(path, f"{name} is a choice: write `values: [...]`")
        return
    yield from _value((*path, "min"), name, low)
    yield from _value((*path, "max"), name, high)
    if low >= high:
        yield Problem((*path, "min"), f"{low} is not below max ({high})")
    if searched.scaling == "Logarithmic" and low <= 0:
        yield Problem((*path, "scaling"), f"Logarithmic needs min above 0, not {low}")
    if searched.scaling == "ReverseLogarithmic" and not (low >= 0 and high < 1):
        yield Problem(
            (*path, "scaling"), f"ReverseLogarithmic needs an interval inside 0 <= x < 1, not {low} to {high}"
        )
    if searched.scaling == "ReverseLogarithmic" and is_whole(name):
        yield Problem((*path, "scaling"), "ReverseLogarithmic is for fractions, not for whole numbers")


def _value(path: tuple[str | int, ...], name: str, value: Any) -> Problems:
    try:
        TUNABLE[name].model_validate({name: value})
    except ValidationError:
        allowed = allowed_by(TUNABLE[name].model_json_schema(), (name,))
        yield Problem(path, f"{quoted(value)} is not allowed for {name}; allowed: {allowed}")


# Each rule runs until it reads a key that is itself wrong, so that nothing is reported twice.
RULES: tuple[tuple[tuple[str, ...], Callable[..., Problems]], ...] = (
    (("dataset",), dataset_rules),
    (("model", "dataset"), model_rules),
    (("model",), file_rules),
    (("model",), start_rules),
    (("training",), spot_rules),
    (("training",), precision_rules),
    (("training",), hosts_rules),
    (("health",), health_rules),
    (("security",), network_rules),
    (("tuning",), tuning_rules),
    (("evaluation",), champion_rules),
    (("evaluation", "deploy"), function_rules),
    (("serving", "deploy", "pipeline"), server_rules),
    (("deploy",), deploy_rules),
    (("deploy", "security"), kinds_rules),
    (("model", "tuning"), searched_layers_rules),
)
