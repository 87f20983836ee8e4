"""The builder: golden definitions, byte stability, and what a change of code changes.

PYTHONPATH=. .venv/bin/python tests/test_builder.py     writes tests/data/golden/*.json anew
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import own_network, own_rules
from pipeline.builder import Asset, Compiled, build
from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.source import program_files
from pipeline.validate import validate

REPOSITORY = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "data" / "golden"
CONFIGS = {"shipped": REPOSITORY / "pipeline.yaml", **{path.stem: path for path in sorted(GOLDEN.glob("*.yaml"))}}
# Goldens show what the builder makes of a configuration: their programs stay the same when entrypoints/ changes.
PROGRAMS = {
    "prepare.py": "import data\n",
    "train.py": 'import data, model\nSHIPS = ("inference.py",)\n',
    "evaluate.py": "import data, model\n",
    "lambda_deploy.py": "def handler(event, context): ...\n",
    "lambda_champion.py": "def handler(event, context): ...\n",
    "data.py": "",
    "model.py": "",
    "inference.py": "import model\n",
}


def write_programs(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in PROGRAMS.items():
        (root / name).write_text(text, encoding="utf-8")
    return root


def compiled(name: str, root: Path) -> Compiled:
    write_programs(root)
    config = load_config(CONFIGS[name])
    network = own_network.read(config.model.file, str(CONFIGS[name]), str(root))
    rules = own_rules.read([each.file for each in config.health.own], str(CONFIGS[name]), str(root))
    return build(config, root, own=own_rules.beside(network, rules))


# A run in a process of its own: prints what was built, and dies at the first connection or write.
BUILD_ALONE = """
import hashlib, os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        os.write(2, f"network: {event} {arguments}".encode()); os._exit(3)
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        os.write(2, f"write: {arguments}".encode()); os._exit(4)
sys.addaudithook(watch)
from pathlib import Path
from pipeline.builder import build
from pipeline.config import load_config
compiled = build(load_config(Path(sys.argv[1])), Path(sys.argv[2]))
bodies = [asset.uri.encode() + asset.body for asset in compiled.assets] + [each.zip for each in compiled.functions]
print(hashlib.sha256(b"".join(bodies)).hexdigest())
print(compiled.definition_json)
"""


@pytest.mark.parametrize("name", CONFIGS)
def test_each_golden_definition_is_what_the_builder_makes(name: str, tmp_path: Path) -> None:
    made = compiled(name, tmp_path).definition_json
    assert made == (GOLDEN / f"{name}.json").read_text(encoding="utf-8"), "refresh it: see the top of this file"


def test_goldens_have_no_leftovers() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(CONFIGS)


def build_alone(folder: Path, seed: str) -> str:
    root = write_programs(folder / "entrypoints")
    config = folder / "pipeline.yaml"
    config.write_text(CONFIGS["imagefolder_secure"].read_text(encoding="utf-8"), encoding="utf-8")
    environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY), "HOME": str(folder)}
    command = [sys.executable, "-B", "-c", BUILD_ALONE, str(config), str(root)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_folders_and_hash_seeds_give_the_same_bytes_without_network_or_writes(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "far away").mkdir()
    first, second = build_alone(tmp_path / "here", "1"), build_alone(tmp_path / "far away", "2")
    assert first == second
    assert str(tmp_path) not in first


def test_the_environment_is_left_as_it_was(tmp_path: Path) -> None:
    before = dict(os.environ)
    compiled("shipped", tmp_path)
    assert dict(os.environ) == before


def test_editing_an_entry_point_changes_only_the_programs_that_import_it(tmp_path: Path) -> None:
    root = tmp_path / "entrypoints"
    shutil.copytree(REPOSITORY / "entrypoints", root, ignore=shutil.ignore_patterns("__pycache__"))
    config = load_config(CONFIGS["shipped"])
    programs = ("prepare.py", "evaluate.py", "train.py")
    before = addresses(build(config, root))
    for users, module in alike(root, programs).items():
        module.write_text(module.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
        after = addresses(build(config, root))
        assert {program for program in before if after[program] != before[program]} == users, module.name
        before = after


def alike(root: Path, programs: tuple[str, ...]) -> dict[frozenset[str], Path]:
    """One module for each set of programs that import the same modules: a build takes 0.3 s."""
    closures = {Path(program).stem: program_files(root, program) for program in programs}
    found = {
        frozenset(stem for stem, files in closures.items() if module.name in files): module
        for module in sorted(root.glob("*.py"))
    }
    assert len(found) >= 5
    return found


def addresses(built: Compiled) -> dict[str, str]:
    """Program → the folder in S3 that its content names."""
    folders = {asset.uri.split("/code/")[1].split("/")[0] for asset in code_assets(built)}
    return {folder.rsplit("-", 1)[0]: folder for folder in folders}


def code_assets(built: Compiled) -> list[Asset]:
    return [asset for asset in built.assets if "/code/" in asset.uri]


def test_every_address_of_code_in_the_definition_has_its_asset(tmp_path: Path) -> None:
    built = compiled("shipped", tmp_path)
    folders = {asset.uri.rsplit("/", 1)[0] + "/" for asset in code_assets(built)}
    assert {text for text in strings(json.loads(built.definition_json)) if "/code/" in text and "s3" in text} == folders


def strings(node: object) -> list[str]:
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


def test_processing_gets_plain_files_and_training_an_archive(tmp_path: Path) -> None:
    names = {asset.uri.split("/code/")[1].split("-")[0] + " " + asset.uri.rsplit("/", 1)[1] for asset in
             code_assets(compiled("shipped", tmp_path))}  # fmt: skip
    assert names == {
        *("prepare prepare.py", "prepare data.py"),
        *("evaluate evaluate.py", "evaluate data.py", "evaluate model.py"),
        "train sourcedir.tar.gz",
    }


def test_what_stands_for_no_champion_is_put_where_the_step_looks_for_it(tmp_path: Path) -> None:
    """An S3 input without objects fails the job: the first run has nothing approved."""
    built = compiled("shipped", tmp_path)
    marker = next(step for step in json.loads(built.definition_json)["Steps"] if step["Name"] == "FindChampion")
    asset = next(asset for asset in built.assets if asset not in code_assets(built))
    assert asset.uri == marker["Arguments"]["without_champion"]
    assert asset.body


def test_without_a_comparison_there_is_neither_function_nor_object_for_it(tmp_path: Path) -> None:
    built = compiled("tuning_off", tmp_path)
    assert [function.handler for function in built.functions] == ["lambda_deploy.handler"]
    assert list(built.assets) == code_assets(built)
    assert "hampion" not in built.definition_json


def choices(*texts: str) -> st.SearchStrategy[Any]:
    return st.sampled_from([yaml.safe_load(text) for text in texts])


KEY = "arn:aws:kms:us-east-1:111122223333:alias/keys/vision"
# Each section in the forms in which it makes a difference to requests.
SECTIONS = {
    "pipeline": choices("{}", "{name: A, prefix: a/b.c/d}", f"{{name: {'x' * 63}, region: us-gov-west-1}}"),
    "dataset": choices(
        "{}",
        "{kind: imagefolder, source: pics, image_size: 224, square: pad}",
        "{kind: imagefolder, source: 's3://pictures'}",
        "{kind: cifar10, source: 's3://pictures/cifar-10-python.tar.gz', raw_limit_gb: 0}",
        f"{{kind: manifest, source: p.zip, manifest: {'x' * 196}.csv, raw_limit_gb: 16384, test_fraction: 1.0e-9}}",
    ),
    "doctor": choices("{}", "{leaks: fail, small_classes: warn, minimum_per_class: 1000000, max_aspect: 1.0000001}"),
    "processing": choices("{}", "{instance_type: ml.g4dn.xlarge}", "{instance_type: ml.r5d.large, volume_gb: 16384}"),
    "model": choices(
        "{}",
        "{name: resnet50, stem: small, dropout: 0.9}",
        f"{{file: nets/{'x' * 196}.py, dropout: 0.5}}",
        "{name: mobilenet_v3_small, weights: 's3://vision-models/w/', trainable_layers: 0}",
        "{warm_start: 's3://vision-models/runs/1/output/model.tar.gz', trainable_layers: 9999}",
    ),
    "training": choices(
        "{}",
        "{instance_type: ml.g5.xlarge, spot: true}",
        "{instance_type: ml.p5.48xlarge, instance_count: 4, max_runtime_minutes: 7200}",
        "{instance_type: ml.c6i.32xlarge, hyperparameters: {lr: 1.0e-7, seed: 2147483647, weight_decay: 0, "
        "class_weights: balanced}}",
        "{checkpoints: {enabled: true, every_minutes: 0}}",
        "{hyperparameters: {schedule: constant, warmup: 0, accumulate: 1024, optimizer: adam, clip_norm: 1000000, "
        "ema: 0.99999, early_stopping: 1000, mixup: 10, cutmix: 10, sampling: balanced}}",
    ),
    "health": choices(
        "{}",
        "{rules: {}, profile: false}",
        "{managed: true}",
        "{rules: {}, managed: true, every: 1000000}",
        "{rules: {AllZero: {tensor_regex: [a.*, ' b$'], on_issue: stop}, DeadRelu: }, own_rules: [r/x.py], every: 1}",
    ),
    "tuning": choices(
        "{}",
        "{enabled: false}",
        "{strategy: Hyperband, max_jobs: 750, max_parallel_jobs: 100, epochs: 1000}",
        "{strategy: Random, early_stopping: true, target: 1, patience: 3, stop_when_converged: true}",
        "{strategy: Grid, max_jobs: null, ranges: {momentum: {values: [0, 0.9]}, augment: {values: [none, flip]}}}",
        "{ranges: {epochs: {min: 1, max: 1000, scaling: Logarithmic}, momentum: {min: 0, max: 0.9999, scaling: "
        "ReverseLogarithmic}, lr: {min: 1.0e-9, max: 10}, optimizer: {values: [sgd]}}, max_runtime_minutes: 43200}",
    ),
    "evaluation": choices(
        "{}",
        "{compare_with_champion: false, accuracy_threshold: 0}",
        "{not_worse_than_champion: true, champion_margin: 0.99}",
    ),
    "registry": choices("{}", "{group: g, approval_status: Rejected}"),
    "deploy": choices(
        "{}",
        "{endpoint_name: e, instance_type: ml.g5.xlarge, instance_count: 100, scaling: null}",
        "{smoke_test: false, asynchronous: {output: 's3://answers/a/'}, scaling: {min: 0, metric: backlog}}",
    ),
    "cache": choices("{}", "{enabled: false}", "{expire_after: P1Y2M4DT5H6M}"),
    "retries": choices(
        "{}",
        "{processing: null, tuning: null, training: null, register_model: null}",
        "{tuning: {max_attempts: 20, interval_seconds: 3600, backoff_rate: 10}, training: {backoff_rate: 1}}",
    ),
    "security": choices(
        "{}",
        "{network_isolation: false, encrypt_traffic: false}",
        f"{{kms_key: '{KEY}', subnets: [subnet-0a1b2c3d], security_groups: [sg-0a1b2c3d, sg-1a1b2c3d]}}",
    ),
    "images": choices("{}", "{framework_version: '2.13'}", "{processing: a.b/c:1, training: 'a.b/c@sha256:0'}"),
    "tags": choices("{}", "{a: '', 'B c': 'x:/=+-@_.'}"),
}


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=st.fixed_dictionaries(SECTIONS))
def test_what_the_configuration_accepts_the_service_would_take(tmp_path: Path, document: dict[str, Any]) -> None:
    (tmp_path / "pipeline.yaml").write_text(json.dumps(document))
    built = build(load_config(tmp_path / "pipeline.yaml"), write_programs(tmp_path / "entrypoints"))
    findings = [str(finding) for finding in validate(json.loads(built.definition_json))]
    assert [each for each in findings if "AWS's image holds no smdebug" not in each] == []


def test_what_the_run_needs_stands_beside_the_definition(tmp_path: Path) -> None:
    built = compiled("imagefolder_secure", tmp_path)
    assert built.name == "dog-breeds"
    assert built.role_arn == "arn:aws:iam::444455556666:role/service-role/pipelines"
    assert built.tags == (("cost-center", "0042"), ("team", "vision"))
    function = built.functions[0]
    assert function.arn == "arn:aws:lambda:eu-central-1:444455556666:function:deploy:live"
    assert function.handler == "lambda_deploy.handler"
    with zipfile.ZipFile(io.BytesIO(function.zip)) as zipped:
        assert zipped.namelist() == ["lambda_deploy.py"]
    assert built.images == (
        "444455556666.dkr.ecr.eu-central-1.amazonaws.com/serving/vision:1.4",
        "763104351884.dkr.ecr.eu-central-1.amazonaws.com/pytorch:2.12-cpu-amzn2023-sagemaker",
    )


def test_the_description_explains_every_parameter_on_one_short_line(tmp_path: Path) -> None:
    built = compiled("imagefolder_secure", tmp_path)
    for parameter in json.loads(built.definition_json)["Parameters"]:
        assert f"{parameter['Name']}: " in built.description
    assert "\n" not in built.description
    assert len(built.description) <= 3072


def test_a_region_without_images_is_a_config_error(tmp_path: Path) -> None:
    config = tmp_path / "pipeline.yaml"
    config.write_text("pipeline: {region: xx-nowhere-9}")
    with pytest.raises(ConfigError, match="pipeline.region"):
        build(load_config(config), write_programs(tmp_path / "entrypoints"))


def test_a_region_without_debugger_is_a_config_error_that_says_what_does_without(tmp_path: Path) -> None:
    config = tmp_path / "pipeline.yaml"
    config.write_text("pipeline: {region: me-central-1}\nhealth: {managed: true}")
    with pytest.raises(ConfigError) as caught:
        build(load_config(config), write_programs(tmp_path / "entrypoints"))
    assert caught.value.problems == ('health.managed: true: AWS lists no Debugger in pipeline.region "me-central-1"',)
    assert "write managed: false" in caught.value.hint
    assert "closed it to new customers" in caught.value.hint


def test_image_addresses_of_ones_own_need_no_known_region(tmp_path: Path) -> None:
    config = tmp_path / "pipeline.yaml"
    own = "111122223333.dkr.ecr.xx-nowhere-9.amazonaws.com/mine:1"
    config.write_text(f"pipeline: {{region: xx-nowhere-9}}\nimages: {{processing: {own}, training: {own}}}")
    assert own in build(load_config(config), write_programs(tmp_path / "entrypoints")).images


def refresh() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name in CONFIGS:
            (GOLDEN / f"{name}.json").write_text(compiled(name, Path(folder)).definition_json, encoding="utf-8")


if __name__ == "__main__":
    refresh()
