"""pipeline.yaml: what is accepted, and the line that each mistake gets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from preparation import actions
from pydantic import ValidationError
from training import hyperparameters

from pipeline.config import Config, config_schema, load_config
from pipeline.config.architectures import NAMES
from pipeline.config.instances import accelerator, has_nvme, service_enum
from pipeline.errors import ConfigError
from pipeline.validate.rules_jobs import NVME

SHIPPED = Path(__file__).parent.parent / "pipeline.yaml"
FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:mine"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "pipeline.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(folder: Path, text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_config(written(folder, text))
    assert caught.value.hint
    return caught.value.problems


def keys(node: dict[str, Any], schema: dict[str, Any], path: str = "") -> set[str]:
    """Every key of pipeline.yaml that the schema knows, with dots."""
    node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node
    found: set[str] = set()
    for name, inner in node.get("properties", {}).items():
        found |= {f"{path}{name}"} | keys(inner, schema, f"{path}{name}.")
    return found


def written_keys(document: dict[str, Any], path: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in document.items():
        found |= {f"{path}{name}"} | (written_keys(value, f"{path}{name}.") if isinstance(value, dict) else set())
    return found


def test_the_shipped_file_holds_exactly_the_defaults() -> None:
    assert load_config(SHIPPED) == Config()


def test_the_shipped_file_shows_every_key_with_a_comment_at_each_section() -> None:
    document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    schema = config_schema()
    known = {key for key in keys(schema, schema) if not key.startswith("health.rules.")}  # of which the file names some
    assert known <= written_keys(document)
    assert len(SHIPPED.read_text(encoding="utf-8").splitlines()) < 190


def test_the_schema_describes_every_key() -> None:
    schema = config_schema()
    defined = schema["$defs"]
    described = [name for name, node in defined.items() if node.get("description")]
    known = [each for node in (schema, *defined.values()) for each in node.get("properties", {}).items()]
    missing = [
        name for name, node in known if "description" not in node and node["$ref"].split("/")[-1] not in described
    ]
    assert missing == []
    assert json.loads(json.dumps(schema)) == schema


def test_every_key_that_a_program_tells_people_to_change_exists() -> None:
    programs = SHIPPED.parent.glob("entrypoints/**/*.py")
    named = {key for path in programs for key in re.findall(r"([a-z_.]+) in pipeline\.yaml", path.read_text())}
    assert len(named) >= 4
    assert named <= keys(config_schema(), config_schema())


def test_an_empty_section_takes_defaults_and_derived_values(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, 'pipeline: {name: cats, region: cn-north-1, account: "123456789012"}'))
    assert config.pipeline.address("code") == "s3://darkroom-123456789012-cn-north-1/cats/code/"
    assert config.role("train_model") == "arn:aws-cn:iam::123456789012:role/darkroom-execution"
    assert config.deploy_function == "arn:aws-cn:lambda:cn-north-1:123456789012:function:darkroom-deploy"
    assert config.champion_function == "arn:aws-cn:lambda:cn-north-1:123456789012:function:darkroom-champion"
    assert config.no_champion_address == "s3://darkroom-123456789012-cn-north-1/cats/champion/none/no-approved-model"
    assert config.serving_image == "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/darkroom-serve:2.12"
    assert (config.package_group, config.endpoint_name) == ("cats", "cats-staging")


def test_a_longest_name_still_gives_a_valid_endpoint_name(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, f"pipeline: {{name: {'a' * 54}-{'b' * 8}}}"))
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", config.endpoint_name)


def test_a_description_of_several_lines_becomes_one(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "pipeline:\n  description: |\n    Two\n    lines.\n"))
    assert config.pipeline.description == "Two lines."


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().pipeline.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("trainign: {}", "trainign: is not a key here; did you mean `training`?"),
        ("training: {epochs: 3}", "training.epochs: is not a key here; known: checkpoints, hyperparameters, "),
        ("training: {instance_cout: 1}", "training.instance_cout: is not a key here; did you mean `instance_count`?"),
        (
            "training: {instance_count: 0}",
            "training.instance_count: 0 is not allowed; allowed: a whole number from 1 to 100",
        ),
        ("training: {instance_count: '2'}", 'training.instance_count: "2" is not allowed; allowed: a whole number'),
        ("training: {spot: yes}", 'training.spot: "yes" is not allowed; allowed: true or false'),
        ("training: [1]", "training: [1] is not allowed; allowed: keys and values: instance_type, "),
        ("training: {instance_type: ml.m5.xlrage}", 'training.instance_type: "ml.m5.xlrage": is not a machine'),
        (
            "training: {instance_type: ml.p3.2xlarge}",
            'training.instance_type: "ml.p3.2xlarge": the images hold no code',
        ),
        ("training: {max_wait_minutes: 5}", "training.max_wait_minutes: 5: only with `spot: true`"),
        ("training: {spot: true, max_wait_minutes: 5}", "training.max_wait_minutes: 5 is below max_runtime_minutes"),
        (
            "evaluation: {not_worse_than_champion: true, compare_with_champion: false}",
            "evaluation.not_worse_than_champion: true: only with `compare_with_champion: true`",
        ),
        ("evaluation: {champion_margin: 0.1}", "evaluation.champion_margin: 0.1: only with `not_worse_than_champion"),
        ("evaluation: {not_worse_than_champion: true, champion_margin: 1}", "evaluation.champion_margin: 1"),
        (
            f"evaluation: {{champion_function: '{FUNCTION}'}}\ndeploy: {{function: '{FUNCTION}'}}",
            f'evaluation.champion_function: "{FUNCTION}": is deploy.function; each of the two has code of its own',
        ),
        (
            "deploy: {function: 'arn:aws:lambda:eu-west-1:111122223333:function:darkroom-champion'}",
            "deploy.function: function:darkroom-champion is what evaluation.champion_function means when it is",
        ),
        (
            "evaluation: {champion_function: 'arn:aws:lambda:eu-west-1:111122223333:function:darkroom-deploy'}",
            "evaluation.champion_function: function:darkroom-deploy is what deploy.function means when it is left out",
        ),
        (
            "training: {hyperparameters: {lr: 0}}",
            "training.hyperparameters.lr: 0 is not allowed; allowed: a number above 0",
        ),
        ("training: {hyperparameters: {lr: .inf}}", "training.hyperparameters.lr: "),
        ("training: {hyperparameters: {lr: 1e999}}", "training.hyperparameters.lr: inf is not allowed"),
        (
            "pipeline: {account: 111122223333}",
            "pipeline.account: 111122223333 is not allowed; allowed: text (AWS account",
        ),
        (
            "model: {file: nets/mine.txt}",
            'model.file: "nets/mine.txt": its name is of letters, digits, _ and -, and ends',
        ),
        ("model: {file: nets/my net.py}", 'model.file: "nets/my net.py": its name is of letters, digits, _ and -, and'),
        ("model: {file: 's3://b-1/mine.py'}", 'model.file: "s3://b-1/mine.py": a Python file of this machine, nothing'),
        ("model: {file: n.py, name: resnet18}", 'model.name: "resnet18" beside file: the network is that of the file'),
        ("model: {file: n.py, stem: small}", 'model.stem: "small": file brings its own first layer; leave it out'),
        (
            "model: {file: n.py, trainable_layers: 0}",
            "model.trainable_layers: 0: what is not trained would stay random",
        ),
        ("pipeline: {name: a--}", 'pipeline.name: "a--" is not allowed'),
        ("pipeline: {name: null}", "pipeline.name: null is not allowed"),
        ("pipeline: {role: admin}", 'pipeline.role: "admin" is not allowed'),
        (
            "dataset: {kind: mnist}",
            'dataset.kind: "mnist" is not allowed; allowed: one of digits, imagefolder, cifar10',
        ),
        ("dataset: {source: pics}", 'dataset.source: "pics": digits brings its pictures along; write null'),
        ("dataset: {kind: imagefolder}", "dataset.source: null: imagefolder needs a folder, an archive, or an s3://"),
        ("dataset: {kind: cifar10}", "dataset.source: null: cifar10 needs a folder, an archive, or an s3:// address"),
        ("dataset: {kind: imagefolder, source: 'http://x/'}", 'dataset.source: "http://x/": a folder, an archive, or'),
        (
            "dataset: {kind: cifar10, source: 's3://'}",
            'dataset.source: "s3://": an address is like s3://bucket/folder/',
        ),
        (
            "dataset: {kind: cifar10, source: 's3://b-1/x.tar.bz2'}",
            'dataset.source: "s3://b-1/x.tar.bz2": this kind of archive is not read; allowed: .zip, .tar, .tar.gz',
        ),
        ("dataset: {kind: imagefolder, source: dogs.RAR}", 'dataset.source: "dogs.RAR": this kind of archive is not'),
        (
            "dataset: {kind: manifest, source: pics}",
            "dataset.manifest: null: manifest needs the name of its .csv or .jsonl file in the source",
        ),
        (
            "dataset: {kind: imagefolder, source: pics, manifest: labels.csv}",
            'dataset.manifest: "labels.csv": only with `kind: manifest`; write null',
        ),
        ("dataset: {manifest: labels.csv}", 'dataset.manifest: "labels.csv": only with `kind: manifest`; write null'),
        (
            "dataset: {kind: manifest, source: pics, manifest: labels.txt}",
            'dataset.manifest: "labels.txt" is not allowed; allowed: text of at most 200 characters or null (kind',
        ),
        ("dataset: {square: stretch}", 'dataset.square: "stretch" is not allowed; allowed: one of crop, pad'),
        ("dataset: {raw_limit_gb: -1}", "dataset.raw_limit_gb: -1 is not allowed; allowed: a number from 0 to 16384"),
        (
            "dataset: {kind: cifar100, source: c, validation_fraction: 0.9}",
            "dataset.validation_fraction: 0.9 leaves too little to train on; it stays below 0.9",
        ),
        ("doctor: {leaks: remove}", 'doctor.leaks: "remove" is not allowed; allowed: one of move, drop, warn, fail'),
        ("doctor: {unreadable: warn}", 'doctor.unreadable: "warn" is not allowed; allowed: one of drop, fail'),
        ("doctor: {duplicate: drop}", "doctor.duplicate: is not a key here; did you mean `duplicates`?"),
        (
            "doctor: {minimum_per_class: 0}",
            "doctor.minimum_per_class: 0 is not allowed; allowed: a whole number fr",
        ),
        ("doctor: {max_aspect: 0.5}", "doctor.max_aspect: 0.5 is not allowed; allowed: a number from 1"),
        (
            "training: {hyperparameters: {class_weights: auto}}",
            'training.hyperparameters.class_weights: "auto" is not allowed; allowed: one of none, balanced',
        ),
        (
            "model: {dropout: 1}",
            "model.dropout: 1 is not allowed; allowed: a number from 0 to 0.9",
        ),
        (
            "model: {trainable_layers: some, weights: w.pth}",
            'model.trainable_layers: "some" is not allowed; allowed: one of all or a whole number from 0 to 9999',
        ),
        (
            "model: {trainable_layers: 0}",
            "model.trainable_layers: 0: what is not trained would stay random; name model.weights or model.warm_start",
        ),
        ("model: {weights: resnet18}", 'model.weights: "resnet18": its name ends in .pth or .pt'),
        ("model: {weights: ''}", 'model.weights: "" is not allowed; allowed: text of at least 1 and at most 900'),
        ("model: {weights: 'https://x/w.pth'}", 'model.weights: "https://x/w.pth": a file, or an s3:// address, no'),
        ("model: {weights: 's3://'}", 'model.weights: "s3://": an address is like s3://bucket/folder/file.pth'),
        ("model: {weights: 's3://b-1/w'}", 'model.weights: "s3://b-1/w": its name ends in .pth or .pt, or is a folder'),
        ("model: {warm_start: model.zip}", 'model.warm_start: "model.zip": its name ends in .tar.gz'),
        (
            "model: {weights: w.pth, warm_start: model.tar.gz}",
            'model.warm_start: "model.tar.gz" beside weights: a model has one start',
        ),
        (
            "training: {checkpoints: true}",
            "training.checkpoints: true is not allowed; allowed: keys and values: enabled",
        ),
        (
            "training: {checkpoints: {every_minutes: -1}}",
            "training.checkpoints.every_minutes: -1 is not allowed; allowed: a whole number from 0 to 1440",
        ),
        *(
            (
                f"training: {{checkpoints: {{address: '{address}'}}}}",
                f'training.checkpoints.address: "{address}" is not allowed; allowed: text or null (S3 folder, en',
            )
            for address in ("s3://b-1/x", "s3://b-1/", "s3://b-1//x/", "/opt/x/", "s3://b-1/x y/")
        ),
        (
            "training: {hyperparameters: {warmup: 1}}",
            "training.hyperparameters.warmup: 1 is not allowed; allowed: a number from 0 to 0.9",
        ),
        ("training: {hyperparameters: {ema: 1}}", "training.hyperparameters.ema: 1 is not allowed; allowed: a number"),
        (
            "training: {hyperparameters: {precision: float16}}",
            'training.hyperparameters.precision: "float16": ml.m5.xlarge has no GPU; write auto',
        ),
        (
            "training: {instance_count: 8, hyperparameters: {batch_size: 7}}",
            "training.hyperparameters.batch_size: 7: 8 machines (training.instance_count) share each batch; write 8",
        ),
        (
            "training: {hyperparameters: {sync_batch_norm: true}}",
            "training.hyperparameters.sync_batch_norm: true: ml.m5.xlarge has no GPU; write false",
        ),
        (
            "dataset: {validation_fraction: 0.6, test_fraction: 0.4}",
            "dataset.test_fraction: 0.4 with validation_fraction",
        ),
        (
            "model: {name: resnet81}",
            'model.name: "resnet81": is not a classifier of torchvision that can be trained; there',
        ),
        ("model: {name: vit_b_16}", "dataset.image_size: 32: vit_b_16 takes 224 only"),
        ("model: {name: alexnet}", "dataset.image_size: 32: alexnet shrinks it to nothing; 63 or more"),
        ("model: {name: inception_v3}", "dataset.image_size: 32: inception_v3 shrinks it to nothing; 75 or more"),
        ("model: {name: vgg11, stem: small}", 'model.stem: "small": only for a resnet, resnext, wide_resnet'),
        ("cache: {expire_after: 30 days}", 'cache.expire_after: "30 days" is not allowed; allowed: text (ISO 8601'),
        ("cache: {expire_after: P0D}", 'cache.expire_after: "P0D" is not allowed'),
        ("pipeline: {account: '١٢٣٤٥٦٧٨٩٠١٢'}", "pipeline.account: "),
        ('pipeline: {name: "a\\n"}', "pipeline.name: "),
        ("cache: {expire_after: P}", 'cache.expire_after: "P" is not allowed'),
        ("retries: {training: 3}", "retries.training: 3 is not allowed; allowed: keys and values: max_attempts"),
        (
            "security: {subnets: [subnet-0a1b2c3d]}",
            "security.security_groups: []: a VPC needs subnets and security_groups",
        ),
        ("security: {subnets: [x]}", 'security.subnets[0]: "x" is not allowed; allowed: text such as subnet-'),
        ("security: {kms_key: alias/x}", 'security.kms_key: "alias/x" is not allowed'),
        ("tags: {'aws:x': '1'}", "tags.aws:x: is not allowed as a name; "),
        ("tags: {n: 3}", "tags.n: 3 is not allowed; allowed: text"),
        (
            "evaluation: {accuracy_threshold: 95}",
            "evaluation.accuracy_threshold: 95 is not allowed; allowed: a number from 0",
        ),
        (
            "registry: {approval_status: approved}",
            'registry.approval_status: "approved" is not allowed; allowed: one of Pend',
        ),
        (
            "images: {framework_version: 2.12}",
            "images.framework_version: 2.12 is not allowed; allowed: one of 2.12, 2.13",
        ),
    ],
)
def test_each_mistake_is_named_with_path_value_and_what_is_allowed(tmp_path: Path, text: str, line: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(line)
    assert "\n" not in found[0]


@pytest.mark.parametrize(
    ("tuning", "line"),
    [
        ("{ranges: {}}", "tuning.ranges: {}: at least one name"),
        (
            "{ranges: {lrr: {min: 1, max: 2}}}",
            "tuning.ranges.lrr: is not a hyperparameter that can be searched; did you mean",
        ),
        ("{ranges: {seed: {min: 1, max: 2}}}", "tuning.ranges.seed: is not a hyperparameter that can be searched"),
        ("{ranges: {lr: {min: 0.1}}}", "tuning.ranges.lr: either `values: [...]`, or both `min` and `max`"),
        ("{ranges: {lr: {min: 0.1, max: 1, values: [1]}}}", "tuning.ranges.lr: either"),
        ("{ranges: {lr: {min: 0, values: [1]}}}", "tuning.ranges.lr: either"),
        ("{ranges: {lr: {min: 0.1, max: 0.1}}}", "tuning.ranges.lr.min: 0.1 is not below max (0.1)"),
        ("{ranges: {lr: {min: 0.1, max: 99}}}", "tuning.ranges.lr.max: 99 is not allowed for lr; allowed: a number"),
        (
            "{ranges: {lr: {min: a, max: 99}}}",
            'tuning.ranges.lr.min: "a" is not allowed; allowed: a whole number or a number',
        ),
        (
            "{ranges: {batch_size: {min: 1.5, max: 3}}}",
            "tuning.ranges.batch_size.min: 1.5 is not allowed for batch_size",
        ),
        ("{ranges: {batch_size: {values: [32, 32]}}}", "tuning.ranges.batch_size.values: [32, 32] holds a value twice"),
        ("{ranges: {batch_size: {values: [32, 0]}}}", "tuning.ranges.batch_size.values[1]: 0 is not allowed"),
        ("{ranges: {optimizer: {min: 1, max: 2}}}", "tuning.ranges.optimizer: optimizer is a choice"),
        ("{ranges: {optimizer: {values: [lion]}}}", 'tuning.ranges.optimizer.values[0]: "lion" is not allowed'),
        ("{ranges: {precision: {values: [auto]}}}", "tuning.ranges.precision: is not a hyperparameter that can be"),
        (
            "{ranges: {trainable_layers: {values: [all, 0]}}}",
            "tuning.ranges.trainable_layers: what is not trained would stay random; name model.weights or",
        ),
        ("{ranges: {dropout: {min: 0, max: 1}}}", "tuning.ranges.dropout.max: 1 is not allowed for dropout; allowed:"),
        ("{ranges: {mixup: {min: 0, max: 11}}}", "tuning.ranges.mixup.max: 11 is not allowed for mixup; allowed: a"),
        ("{ranges: {accumulate: {min: 1, max: 2.5}}}", "tuning.ranges.accumulate.max: 2.5 is not allowed for"),
        ("{ranges: {lr: {values: [1], scaling: Linear}}}", 'tuning.ranges.lr.scaling: "Linear": only for an interval'),
        (
            "{ranges: {momentum: {min: 0, max: 0.5, scaling: Logarithmic}}}",
            "tuning.ranges.momentum.scaling: Logarithmic needs min above 0, not 0",
        ),
        (
            "{ranges: {lr: {min: 0.5, max: 2, scaling: ReverseLogarithmic}}}",
            "tuning.ranges.lr.scaling: ReverseLogarithmic needs an interval inside 0 <= x < 1",
        ),
        ("{max_parallel_jobs: 9}", "tuning.max_parallel_jobs: 9 is more than max_jobs (4)"),
        ("{max_jobs: null}", "tuning.max_jobs: null: only Grid knows its number of trials"),
        ("{strategy: Grid, max_jobs: null}", "tuning.ranges.lr: Grid takes choices only"),
        (
            "{strategy: Grid, ranges: {lr: {values: [0.1, 0.2, 0.3]}, batch_size: {values: [32, 64]}}}",
            "tuning.max_jobs: 4: Grid tries all 6 combinations; write 6 or null",
        ),
        ("{strategy: Hyperband, early_stopping: true}", "tuning.early_stopping: true: Hyperband stops trials itself"),
        ("{strategy: Hyperband, epochs: 1}", "tuning.epochs: 1: Hyperband compares trials"),
        (
            "{strategy: Hyperband, ranges: {epochs: {min: 2, max: 6}}}",
            "tuning.ranges.epochs: Hyperband gives out the epochs itself",
        ),
        ("{objective: accuracy}", 'tuning.objective: "accuracy" is not allowed; allowed: one of validation_accuracy'),
        ("{patience: 2}", "tuning.patience: 2 is not allowed; allowed: a whole number from 3 to 750 or null"),
    ],
)
def test_each_mistake_in_tuning_is_named(tmp_path: Path, tuning: str, line: str) -> None:
    found = problems(tmp_path, f"tuning: {tuning}")
    assert len(found) == 1
    assert found[0].startswith(line)


OUTSIDE = ("../labels.csv", "a/../../b.csv", "/labels.csv", "~/l.csv")
NO_FILE = ("-l.csv", "./l.csv", ".csv", "a/.csv", r"a\\b.csv", "labels", "l.csv/", "x" * 200 + ".csv")


@pytest.mark.parametrize("name", OUTSIDE + NO_FILE)
def test_a_manifest_is_a_file_below_its_source(tmp_path: Path, name: str) -> None:
    found = problems(tmp_path, f'dataset: {{kind: manifest, source: pics, manifest: "{name}"}}')
    assert [line.partition(":")[0] for line in found] == ["dataset.manifest"]


@pytest.mark.parametrize("name", ["labels.csv", "lists/2024 März.jsonl", "..a.ndjson", "a..b/c.csv"])
def test_a_manifest_may_lie_deeper(tmp_path: Path, name: str) -> None:
    text = f'dataset: {{kind: manifest, source: pics, manifest: "{name}"}}'
    assert load_config(written(tmp_path, text)).dataset.manifest == name


def test_a_test_fraction_means_nothing_to_cifar(tmp_path: Path) -> None:
    text = "dataset: {kind: cifar10, source: cifar-10-python.tar.gz, validation_fraction: 0.2, test_fraction: 0.9}"
    assert load_config(written(tmp_path, text)).dataset.kind == "cifar10"


def test_the_doctor_of_the_programs_knows_the_same_settings() -> None:
    fields = config_schema()["$defs"]["DoctorSection"]["properties"]
    assert {name: tuple(node["enum"]) for name, node in fields.items() if "enum" in node} == actions.ACTIONS
    assert all(node["enum"][0] == node["default"] for node in fields.values() if "enum" in node)
    assert Config().doctor.model_dump() == actions.Settings()._asdict()


def test_train_py_offers_the_same_choices_and_reads_each_value() -> None:
    """A value that is taken and not read would be one that people believe to have set."""
    fields = config_schema()["$defs"]["Hyperparameters"]["properties"]
    options = {action.dest: action for action in hyperparameters.parser({})._actions}
    assert set(fields) <= set(hyperparameters.NAMES)
    for name, node in fields.items():
        assert set(options[name].choices or ()) == set(node.get("enum", ())), name
    programs = "".join(path.read_text(encoding="utf-8") for path in SHIPPED.parent.glob("entrypoints/**/*.py"))
    assert [name for name in fields if not re.search(rf"\bargs\.{name}\b", programs)] == []


@pytest.mark.parametrize("start", ["a b/w.pt", "s3://b-1/w.pth", "s3://b-1/folder/"])
def test_layers_can_be_searched_where_the_others_have_a_start(tmp_path: Path, start: str) -> None:
    ranges = "{trainable_layers: {values: [all, 0, 2]}, dropout: {min: 0, max: 0.5}}"
    config = load_config(written(tmp_path, f"model: {{weights: '{start}'}}\ntuning: {{ranges: {ranges}}}"))
    assert config.model.local_files == ({} if start.startswith("s3:") else {"weights": start})


def test_tuning_that_is_switched_off_is_not_judged(tmp_path: Path) -> None:
    assert not load_config(written(tmp_path, "tuning: {enabled: false, strategy: Grid}")).tuning.enabled


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "tunning: {}\nmodel: {nam: x}\ndataset: {kind: imagefolder}\ntraining: {volume_gb: 0}\npipeline: {name: ''}"
    paths = [line.split(":")[0] for line in problems(tmp_path, text)]
    assert paths == ["pipeline.name", "dataset.source", "model.nam", "training.volume_gb", "tunning"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "(file): is empty"),
        ("- a", "(file): holds a list"),
        ("just words", "(file): holds only the value"),
        ("a: 1\na: 2", "line 2, column 1: the key 'a' stands here a second time"),
        ("pipeline: {name: a, name: b}", "line 1, column 21: the key 'name' stands here a second time"),
        ("a: &x [1]\nb: *x", "anchors and aliases are refused"),
        ("a: &a [lol]\nb: &b [*a, *a]\nc: &c [*b, *b]", "anchors and aliases are refused"),
        ("a: !!python/object/apply:os.system ['echo']", "could not determine a constructor for the tag"),
        ("a: " + "[" * 30 + "]" * 30, "nested deeper than 20 levels"),
        ("a: " + "[" * 100_000, "line 1"),
        ("1: x", "the key 1 is not text"),
        ("[a]: x", "is not text"),
        ("{a: 1}: x", "is not text"),
        ("a: [1", "line 1"),
        ("a: 1\n---\nb: 2", "line 2"),
        ("a: \x07", "(file): "),
        (b"a: \xff\xfe", "byte 3 is not UTF-8"),
        ("# " + "x" * 300_000, "(file): is larger than 256 KiB"),
    ],
)
def test_hostile_yaml_is_refused_in_one_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert says in found[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml.*cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")


def test_numbers_and_words_mean_what_they_look_like(tmp_path: Path) -> None:
    text = "training: {hyperparameters: {lr: 1e-3}}\ntags: {country: no, time: 12:30, day: 2026-01-01, hex: 0x1F}"
    config = load_config(written(tmp_path, text))
    assert config.training.hyperparameters.lr == 0.001
    assert config.tags == {"country": "no", "time": "12:30", "day": "2026-01-01", "hex": "0x1F"}


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(alphabet="ab:{}[]&*!|>-'\"#%@`,? \n\t\\0129.ée\x00", max_size=60))
def test_any_text_is_a_config_or_a_config_error(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    try:
        load_config(path)
    except ConfigError as exc:
        assert exc.problems


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
KEYS = sorted(key for key in keys(config_schema(), config_schema()) if key.count(".") == 1)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(key=st.sampled_from(KEYS), value=VALUES)
def test_any_value_of_any_key_is_taken_or_named(tmp_path: Path, key: str, value: object) -> None:
    section, name = key.split(".")
    path = written(tmp_path, json.dumps({section: {name: value}}))
    try:
        load_config(path)
    except ConfigError as exc:
        assert all("\n" not in line for line in exc.problems)


@pytest.mark.parametrize(
    ("machine", "kind", "nvme"),
    [
        ("ml.m5.xlarge", "cpu", False),
        ("ml.m5d.xlarge", "cpu", True),
        ("ml.r5d.large", "cpu", True),
        ("ml.c5n.xlarge", "cpu", False),
        ("ml.m7i-flex.large", "cpu", False),
        ("ml.g4dn.xlarge", "gpu", True),
        ("ml.g5.xlarge", "gpu", True),
        ("ml.g6e.xlarge", "gpu", True),
        ("ml.p4d.24xlarge", "gpu", True),
        ("ml.p6-b200.48xlarge", "gpu", True),
        ("ml.p3.2xlarge", "other", False),
        ("ml.m7g.large", "other", False),
        ("ml.c7gn.large", "other", False),
        ("ml.trn1.2xlarge", "other", False),
        ("ml.inf2.xlarge", "other", False),
    ],
)
def test_machines_are_told_apart(machine: str, kind: str, nvme: bool) -> None:
    assert (accelerator(machine), has_nvme(machine)) == (kind, nvme)


@pytest.mark.parametrize("shape", ["TrainingInstanceType", "ProcessingInstanceType"])
def test_validation_knows_the_same_machines_with_disks_of_their_own(shape: str) -> None:
    """Two lists: each part is remembered by the digest of its own folder."""
    ours = [name for name in service_enum(shape) if accelerator(name) != "other"]
    assert [name for name in ours if has_nvme(name) != bool(NVME.match(name))] == []


def test_the_list_of_networks_is_torchvisions() -> None:
    import torchvision.models

    assert set(torchvision.models.list_models(module=torchvision.models)) == set(NAMES)


def test_a_wrong_key_hides_no_other_mistake_of_its_section(tmp_path: Path) -> None:
    text = "tuning: {max_jobs: lots, max_parallel_jobs: 9, ranges: {lr: {min: 1, max: 0.1}, sped: {values: [1]}}}"
    found = problems(tmp_path, text)
    assert [line.partition(":")[0] for line in found] == [
        "tuning.max_jobs",
        "tuning.ranges.lr.min",
        "tuning.ranges.sped",
    ]


def test_nothing_is_said_of_the_default_of_a_wrong_key(tmp_path: Path) -> None:
    """With kind digits, a source would be one too many."""
    found = problems(tmp_path, "dataset: {kind: imagfolder, source: pictures}\nmodel: {weights: 3, stem: small}")
    assert [line.partition(":")[0] for line in found] == ["dataset.kind", "model.weights"]
