"""Config and entrypoints/ → Compiled: one byte-stable definition and all that it refers to."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipeline import source
from pipeline.config import Config
from pipeline.config.instances import accelerator
from pipeline.config.training import OWN
from pipeline.errors import ConfigError
from pipeline.infra import packaging

if TYPE_CHECKING:
    from sagemaker.mlops.workflow.pipeline import Pipeline

    from steps.context import Context

PROCESSING_PROGRAMS = ("prepare.py", "evaluate.py")
TRAINING_PROGRAM = "train.py"
_NONE: Mapping[str, str] = MappingProxyType({})
_NO_FILES: Mapping[str, bytes] = MappingProxyType({})
EVALUATOR = "debugger"  # images by purpose
NO_CHAMPION = b"There is no approved model: EvaluateModel compares with nothing.\n"
# What the SDK asks for while it is imported; none of it reaches the definition.
_OFFLINE = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "SAGEMAKER_VALIDATE_ROLE": "false",
    # No file of this machine may change what is compiled.
    "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": os.devnull,
    "SAGEMAKER_USER_CONFIG_OVERRIDE": os.devnull,
}


@dataclass(frozen=True)
class Asset:
    """An object that has to be in S3 before the pipeline starts."""

    uri: str
    body: bytes


@dataclass(frozen=True)
class FunctionAsset:
    """The code of a Lambda function that a step invokes."""

    arn: str
    zip: bytes
    handler: str


@dataclass(frozen=True)
class Compiled:
    """`images` are those that this Python stands in for where there is no Docker."""

    name: str
    definition_json: str
    description: str
    role_arn: str
    tags: tuple[tuple[str, str], ...]
    assets: tuple[Asset, ...]
    functions: tuple[FunctionAsset, ...]
    images: tuple[str, ...]


def build(
    config: Config, root: Path, digests: Mapping[str, str] = _NONE, own: Mapping[str, bytes] = _NO_FILES
) -> Compiled:
    """Compiles without network, credentials or a clock; `root` is the folder of the entry points.

    `digests`: for each key of config.model.local_files the name that the file's content gives. `own`: the file of
    config.model.file and those that it imports, by their paths below its folder; those of config.health in rules/.
    """
    assets, code = _code(config, root, own)
    with _offline():
        from steps.context import Context
        from steps.parameters import description, parameters

        session = _Session(config.pipeline.region)
        starts = {key: config.model_address(key, digests.get(key, "")) for key in config.model.starts}
        context = Context(config, parameters(config), code, _images(config), session, starts)
        document = json.loads(_pipeline(context).definition())
        about = description(config, list(context.parameters))
    return Compiled(
        name=config.pipeline.name,
        definition_json=_text(document),
        description=about,
        role_arn=config.pipeline.role_arn,
        tags=tuple(sorted(config.tags.items())),
        assets=assets,
        functions=tuple(_functions(config, root)),
        images=tuple(sorted({context.images["processing"], context.images["training"], config.serving_image})),
    )


def _code(config: Config, root: Path, own: Mapping[str, bytes]) -> tuple[tuple[Asset, ...], dict[str, str]]:
    """Each program under an address that its content names: plain files for Processing, an archive for training."""
    assets: list[Asset] = []
    code: dict[str, str] = {}
    for program in (*PROCESSING_PROGRAMS, TRAINING_PROGRAM):
        files = source.program_files(root, program)
        if program == TRAINING_PROGRAM:
            files |= {f"{OWN}/{name}": body for name, body in own.items()}
        code[program] = config.pipeline.address("code", f"{Path(program).stem}-{source.digest(files)}")
        if program == TRAINING_PROGRAM:
            files = {"sourcedir.tar.gz": source.archive(files)}
        assets += [Asset(code[program] + name, body) for name, body in files.items()]
    if config.evaluation.compare_with_champion:
        assets.append(Asset(config.no_champion_address, NO_CHAMPION))
    return tuple(assets), code


def _functions(config: Config, root: Path) -> Iterator[FunctionAsset]:
    programs = {packaging.DEPLOY: config.deploy_function}
    if config.evaluation.compare_with_champion:
        programs[packaging.CHAMPION] = config.champion_function
    for program, arn in programs.items():
        body = source.zip_archive(source.program_files(root, program))
        yield FunctionAsset(arn, body, f"{Path(program).stem}.handler")


def _pipeline(context: Context) -> Pipeline:
    from sagemaker.mlops.workflow.pipeline import Pipeline

    from steps.accuracy_too_low import accuracy_too_low
    from steps.check_accuracy import check_accuracy
    from steps.deploy_model import deploy_model
    from steps.evaluate_model import evaluate_model
    from steps.find_champion import find_champion
    from steps.prepare_data import prepare_data
    from steps.register_model import register_model
    from steps.train_model import train_model
    from steps.tune_model import tune_model

    data = prepare_data(context)
    champion = find_champion(context) if context.config.evaluation.compare_with_champion else None
    tuned = tune_model(context, data) if context.config.tuning.enabled else None
    model = train_model(context, data, tuned)
    evaluation = evaluate_model(context, data, model, champion)
    package = register_model(context, model, evaluation, champion)
    good = [package, deploy_model(context, package)]
    check = check_accuracy(context, evaluation, good, [accuracy_too_low(context, evaluation)])
    return Pipeline(
        name=context.config.pipeline.name,
        parameters=list(context.parameters.values()),
        pipeline_experiment_config=None,
        steps=[step for step in (data, champion, tuned, model, evaluation, check) if step is not None],
        sagemaker_session=context.session,
    )


def _images(config: Config) -> dict[str, str]:
    return {
        "processing": config.images.processing or _aws_image(config, config.processing.instance_type),
        "training": config.images.training or _aws_image(config, config.training.instance_type),
        **({EVALUATOR: _evaluator_image(config)} if config.health.managed else {}),
    }


def _aws_image(config: Config, instance_type: str) -> str:
    from sagemaker.core import image_uris

    region, version = config.pipeline.region, config.images.framework_version
    # One machine of each accelerator stands for all: the image depends on nothing else.
    machine = "ml.g5.xlarge" if accelerator(instance_type) == "gpu" else "ml.m5.xlarge"
    try:
        found: str = image_uris.retrieve(
            "pytorch-amzn2023", region, version=version, instance_type=machine, image_scope="training"
        )
    except ValueError as exc:
        problem = f'pipeline.region: "{region}": AWS lists no PyTorch {version} image there'
        hint = "name full addresses in images.processing and images.training, or take another region"
        raise ConfigError("pipeline.yaml", [problem], hint) from exc
    return found


def _evaluator_image(config: Config) -> str:
    """Of AWS's own rules; SageMaker starts it, wherever the pipeline runs."""
    from sagemaker.core import image_uris

    region = config.pipeline.region
    try:
        found: str = image_uris.retrieve("debugger", region)
    except ValueError as exc:
        problem = f'health.managed: true: AWS lists no Debugger in pipeline.region "{region}"'
        hint = (
            "write managed: false: the rules in health.rules judge without Debugger, in every region and account; "
            "AWS has closed it to new customers since 2026-07-30"
        )
        raise ConfigError("pipeline.yaml", [problem], hint) from exc
    return found


def _text(document: dict[str, Any]) -> str:
    """Indented for people; the SDK's empty members are left out. Order is that of construction, which is fixed."""
    filled = {key: value for key, value in document.items() if value is not None}
    return json.dumps(filled, indent=2, ensure_ascii=False) + "\n"


class _Session:
    """Stands where the SDK expects a session: knows the region, and has no client to call anything with."""

    local_mode = False

    def __init__(self, region: str) -> None:
        self.boto_region_name = region
        self.boto_session = self

    def client(self, _service: str) -> None:
        """The pipeline asks for a scheduler client when it is made; compiling never uses it."""


@contextmanager
def _offline() -> Iterator[None]:
    """The environment that the SDK needs to be imported in, and silence about its own deprecations."""
    before = {name: os.environ.get(name) for name in _OFFLINE}
    os.environ.update(_OFFLINE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
