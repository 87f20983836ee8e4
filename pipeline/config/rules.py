"""What single keys cannot know: rules between keys and between sections of pipeline.yaml."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pipeline.config.architectures import misfits
from pipeline.config.dataset import DatasetSection
from pipeline.config.deploy_rules import deploy_rules, kinds_rules
from pipeline.config.deploying import DeploySection
from pipeline.config.health import health_rules
from pipeline.config.instances import accelerator
from pipeline.config.problems import Problem, quoted
from pipeline.config.sections import EvaluationSection, SecuritySection
from pipeline.config.serving import server_rules
from pipeline.config.training import PYTHON_FILE, ModelSection, TrainingSection, TuningSection, file_name
from pipeline.config.tuning_rules import tuning_rules
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
