"""health.managed: what SageMaker Debugger is asked for, compared with what AWS publishes of it."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import smdebug_rulesconfig
from health.debugger import evaluate
from health.rules import settings as rule_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from smdebug_rulesconfig.profiler_rules import rules as profiler

from pipeline import cache_keys
from pipeline.builder import build
from pipeline.config import load_config
from pipeline.config.health import HealthSection, health_rules
from pipeline.config.health_managed import (
    DEBUGGER,
    INCLUDES,
    MUST_CHOOSE,
    OURS_ALONE,
    PROFILER,
    collections,
    debugger_rules,
    profiler_rules,
)
from pipeline.config.health_rules import NAMES, PATTERNS, RANGE, RULES, YES
from pipeline.errors import ConfigError
from pipeline.validate import validate
from pipeline.validate.debugger_names import COLLECTIONS, DEBUGGER_RULES, EVALUATORS, PROFILER_RULES

GOLDEN = Path(__file__).parent / "data" / "golden"
AWS = json.loads(
    (Path(smdebug_rulesconfig.__file__).parent / "debugger_rules/rule_config_jsons/ruleConfigs.json").read_text()
)
# AWS's guide ("List of Debugger built-in rules"), the parameters of each rule: smdebug_rulesconfig has none of these.
CHOICE = ("collection_names", "tensor_regex")
GUIDE: dict[str, tuple[str, ...]] = {
    "VanishingGradient": ("threshold",),
    "ExplodingTensor": (*CHOICE, "only_nan"),
    "PoorWeightInitialization": ("activation_inputs_regex", "threshold", "distribution_range", "patience", "steps"),
    "SaturatedActivation": (
        *CHOICE,
        *("threshold_tanh_min", "threshold_tanh_max", "threshold_sigmoid_min", "threshold_sigmoid_max"),
        *("threshold_inactivity", "threshold_layer"),
    ),
    "DeadRelu": ("tensor_regex", "threshold_inactivity", "threshold_layer"),
    "WeightUpdateRatio": ("num_steps", "large_threshold", "small_threshold", "epsilon"),
    "AllZero": (*CHOICE, "threshold"),
    "TensorVariance": (*CHOICE, "max_threshold", "min_threshold"),
    "UnchangedTensor": (*CHOICE, "num_steps", "rtol", "atol", "equal_nan"),
    "LossNotDecreasing": (*CHOICE, "use_losses_collection", "num_steps", "diff_percent", "mode"),
    "Overfit": ("tensor_regex", "start_step", "patience", "ratio_threshold"),
    "Overtraining": ("patience_train", "patience_validation", "delta"),
    "StalledTrainingRule": ("threshold", "stop_training_on_fire", "training_job_name_prefix"),
}
# One value of each kind that rules take; numbers by their ranges.
SOME: dict[int, Any] = {id(NAMES): "weights", id(PATTERNS): [".*conv", "fc.*"], id(RANGE): [-3, 4.5], id(YES): True}

# In a process of its own: an import of smdebug brings an old finder of modules, which warns at each later import.
SMDEBUG = """
import json, sys
from smdebug.core.collection import CollectionKeys
from smdebug.core.json_config import add_collections_to_manager, collect_hook_config_params, get_include_collections
from smdebug.core.modes import ModeKeys
from smdebug.pytorch.collection import CollectionManager
hook, manager = json.loads(sys.argv[1]), CollectionManager()
add_collections_to_manager(manager, hook, collect_hook_config_params(hook))
def saved(collection, mode):
    config = manager.get(collection).save_config
    return [step for step in range(101) if config.should_save_step(mode, step)]
print(json.dumps({
    "known": [value for key, value in vars(CollectionKeys).items() if key.isupper()],
    "included": get_include_collections(hook),
    "saved": {f"{name} {mode.name}": saved(name, mode)
              for name in ("weights", "gradients", "losses") for mode in (ModeKeys.TRAIN, ModeKeys.EVAL)},
    "patterns": manager.get("AllZero_tensors").include_regex,
}))
"""


def every_parameter(name: str) -> dict[str, Any]:
    """One allowed value for each parameter of a rule."""
    return {key: SOME.get(id(kind), some_number(kind.schema)) for key, kind in RULES[name].takes.items()}


def some_number(schema: Any) -> Any:
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    return int(min(least + 1, schema.get("maximum", 1)))


def train_model(folder: Path, health: str, more: str = "") -> dict[str, Any]:
    """TrainModel's arguments for a section of health, which is valid but for what needs smdebug in the image."""
    config = folder / "pipeline.yaml"
    config.write_text(f"health: {health}\nsecurity: {{network_isolation: false}}\n{more}")
    root = folder / "entrypoints"
    root.mkdir(exist_ok=True)
    for name in ("prepare.py", "train.py", "evaluate.py", "lambda_deploy.py", "lambda_champion.py"):
        (root / name).write_text("")
    document = json.loads(build(load_config(config), root).definition_json)
    assert validate(document) == []
    assert "Debug" not in json.dumps([step for step in document["Steps"] if step["Name"] == "TuneModel"])
    return next(step["Arguments"] for step in document["Steps"] if step["Name"] == "TrainModel")


def problems(rules: dict[str, Any]) -> list[str]:
    section = HealthSection.model_validate({"rules": rules, "managed": True})
    return [".".join(map(str, problem.path)) + ": " + problem.says for problem in health_rules(section)]


def test_without_the_switch_there_is_nothing_of_debugger(tmp_path: Path) -> None:
    assert not {key for key in train_model(tmp_path, "{}") if "Debug" in key or "Profiler" in key}


def test_every_rule_is_judged_by_debugger_by_its_profiler_or_by_ours_alone() -> None:
    assert sorted([*DEBUGGER, *PROFILER, *OURS_ALONE]) == sorted(RULES)


def test_names_of_rules_are_those_that_aws_publishes() -> None:
    published = {name for name, each in inspect.getmembers(profiler, inspect.isclass) if name != "ProfilerRuleBase"}
    assert set(AWS) | {"OverallFrameworkMetrics"} | published == DEBUGGER_RULES | PROFILER_RULES
    assert set(AWS) == DEBUGGER_RULES
    assert set(DEBUGGER) <= DEBUGGER_RULES
    assert set(PROFILER) <= published


@pytest.mark.parametrize("name", DEBUGGER)
def test_parameters_have_the_names_of_awss_guide(name: str) -> None:
    [rule] = debugger_rules({name: {**every_parameter(name), "on_issue": "stop"}})
    assert rule.parameters.keys() <= set(GUIDE[name])
    assert all(isinstance(text, str) for text in rule.parameters.values())


@pytest.mark.parametrize("name", PROFILER)
def test_profiler_rules_take_what_awss_library_takes(name: str) -> None:
    report, rule = profiler_rules({name: {**every_parameter(name), "on_issue": "warn"}})
    getattr(profiler, name)(**{key: json.loads(text) for key, text in rule.parameters.items()})
    profiler.ProfilerReport(**{key: json.loads(text) for key, text in report.parameters.items()})
    assert len(report.parameters) == len(rule.parameters)


def test_the_report_is_there_without_any_rule(tmp_path: Path) -> None:
    request = train_model(tmp_path, "{rules: {}, managed: true}")
    assert [rule["RuleParameters"] for rule in request["ProfilerRuleConfigurations"]] == [
        {"rule_to_invoke": "ProfilerReport"}
    ]
    assert "DebugRuleConfigurations" not in request
    assert [each["CollectionName"] for each in request["DebugHookConfig"]["CollectionConfigurations"]] == ["losses"]


@pytest.mark.parametrize("name", DEBUGGER)
def test_collections_are_those_of_awss_library_and_known_to_smdebug(name: str) -> None:
    found = collections({name: {}}, 500)
    for each in AWS[name].get("CollectionConfigurations", ()):
        asked = found[each["CollectionName"]]
        assert asked.get("include_regex") == each["CollectionParameters"].get("include_regex")
        assert asked.get("save_interval", "500") == "500"
    assert all(each in COLLECTIONS or "include_regex" in parameters for each, parameters in found.items())


def test_chosen_tensors_are_saved_as_they_are_chosen() -> None:
    rules = {
        "AllZero": {"tensor_regex": ["fc.*", ".*bias"]},
        "ExplodingTensor": {"collection_names": "all,biases", "tensor_regex": ".*bn"},
        "PoorWeightInitialization": {"activation_inputs_regex": ".*ReLU_input"},
        "DeadRelu": {"tensor_regex": ".*ReLU_output"},
    }
    found = collections(rules, 10)
    assert list(found) == [
        *("losses", "AllZero_tensors", "all", "biases", "ExplodingTensor_tensors", "gradients"),
        *("PoorWeightInitialization_tensors", "DeadRelu_tensors"),
    ]
    assert found["AllZero_tensors"] == {"include_regex": "fc.*,.*bias", "save_interval": "10"}
    assert found["all"]["include_regex"] == INCLUDES["all"] == ".*"
    assert found["PoorWeightInitialization_tensors"]["train.save_steps"] == "0,4,8"
    assert found["losses"]["train.save_steps"] == "0,1,2,3,4,5,6,7,8,9"


def test_rules_that_ask_for_a_choice_are_given_one_unless_there_is_one() -> None:
    for rule in debugger_rules({name: {} for name in MUST_CHOOSE}):
        assert set(rule.parameters["collection_names"].split(",")) <= {"weights", "gradients", "relu_output"}
    [rule] = debugger_rules({"AllZero": {"tensor_regex": "fc.*"}})
    assert rule.parameters == {"tensor_regex": "fc.*"}


def test_intervals_follow_every_and_first_steps_are_saved_whatever_it_is() -> None:
    found = collections({"PoorWeightInitialization": {"steps": 1_000_000}, "VanishingGradient": None}, None)
    assert found["gradients"]["save_interval"] == "100"
    assert found["losses"]["train.save_interval"] == "10"
    assert len(found["losses"]["train.save_steps"]) <= 256
    assert found["losses"]["train.save_steps"].startswith("0,33334,66668,")
    assert collections({"DeadRelu": {}}, 3)["losses"]["train.save_interval"] == "1"


def test_an_update_ratio_over_one_step_saves_weights_at_every_step() -> None:
    assert "train.save_interval" not in collections({"WeightUpdateRatio": {}}, 50)["weights"]
    assert collections({"WeightUpdateRatio": {"num_steps": 1}}, 50)["weights"]["train.save_interval"] == "1"


def test_smdebug_reads_the_hook_as_it_is_meant() -> None:
    steps = json.loads((GOLDEN / "managed.json").read_text())["Steps"]
    hook = next(step["Arguments"]["DebugHookConfig"] for step in steps if step["Name"] == "TrainModel")
    command = [sys.executable, "-W", "ignore", "-c", SMDEBUG, json.dumps(hook)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    read = json.loads(done.stdout.splitlines()[-1])

    assert set(read["known"]) == COLLECTIONS
    assert read["included"] == [each["CollectionName"] for each in hook["CollectionConfigurations"]]
    assert read["saved"]["weights TRAIN"] == [0, 50, 100]
    assert read["saved"]["gradients TRAIN"] == [0, 7, 14, 50, 100]
    assert read["saved"]["losses TRAIN"] == [*range(20), *range(20, 101, 5)]
    assert read["saved"]["losses EVAL"] == list(range(101))
    assert read["patterns"] == [".*bias", "^gradient/"]


def test_a_second_execution_has_the_same_cache_key() -> None:
    steps = json.loads((GOLDEN / "managed.json").read_text())["Steps"]
    request = next(step["Arguments"] for step in steps if step["Name"] == "TrainModel")
    compared = {key: request[key] for key in ("DebugHookConfig", "DebugRuleConfigurations")}
    assert json.loads(cache_keys.key("Training", compared)) == compared
    assert '"Get"' not in json.dumps(compared)
    assert request["DebugHookConfig"]["S3OutputPath"] == "s3://darkroom-111122223333-eu-west-1/managed/debugger/"


@pytest.mark.parametrize("region", sorted(EVALUATORS))
def test_the_evaluator_of_each_region_is_the_sdks(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # the SDK's, which asks for one while it is imported
    from sagemaker.core import image_uris

    host = image_uris.retrieve("debugger", region).split("/")[0]
    assert host.startswith(f"{EVALUATORS[region]}.dkr.ecr.{region}.amazonaws.com")


def test_the_table_has_every_region_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    from sagemaker.core import image_uris

    versions = image_uris.config_for_framework("debugger")["versions"]
    assert versions["latest"]["registries"] == EVALUATORS


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1", "ap-northeast-3"])
def test_every_partition_compiles_to_what_the_validator_takes(region: str, tmp_path: Path) -> None:
    request = train_model(tmp_path, "{managed: true}", f"pipeline: {{region: {region}}}")
    assert EVALUATORS[region] in request["DebugRuleConfigurations"][0]["RuleEvaluatorImage"]


@pytest.mark.parametrize(
    ("rules", "line"),
    [
        ({"AllZero": {"tensor_regex": "a" * 257}}, "takes 256 characters, and this has 257; shorten it"),
        ({"AllZero": {"tensor_regex": ["fc\n.*"]}}, "AWS's rule takes one line"),
        ({"AllZero": {"tensor_regex": ["fc.*", "update/fc.*"]}}, "there are updates in our own records alone"),
        ({"StalledTrainingRule": {"threshold": 90.5}}, "90.5: AWS's rule takes whole numbers from 1; round it"),
        ({"LowGPUUtilization": {"threshold_p95": 60.5}}, "60.5: AWS's rule takes whole numbers from 0; round it"),
        ({"CPUBottleneck": {"patience": 0}}, "0: AWS's rule takes whole numbers from 1; round it"),
    ],
)
def test_what_aws_does_not_take_is_told_with_its_key(rules: dict[str, Any], line: str) -> None:
    [problem] = problems(rules)
    [(name, parameters)] = rules.items()
    assert problem.startswith(f"health.rules.{name}.{next(iter(parameters))}: ")
    assert line in problem
    assert problem.endswith(", or write managed: false")
    assert not list(health_rules(HealthSection.model_validate({"rules": rules})))


def test_rules_that_ours_alone_judge_need_not_please_aws() -> None:
    assert not problems({"StepOutlier": {"stddev": 2.5}, "Confusion": {"min_diag": 0.8}})
    assert [rule.name for rule in profiler_rules({"StepOutlier": {}})] == ["ProfilerReport"]


def test_a_wrong_rule_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("health: {managed: true, rules: {CPUBottleneck: {patience: -1}}}")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "pipeline.yaml")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("name", DEBUGGER)
def test_what_judges_on_this_machine_reads_each_rule_as_ours_are_meant(name: str) -> None:
    parameters = every_parameter(name)
    [rule] = debugger_rules({name: parameters})
    setting = evaluate._setting({"RuleParameters": {"rule_to_invoke": name, **rule.parameters}})
    assert setting == rule_settings.checked(name, parameters)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=6)
PATTERNS_OR_NOT = TEXTS | st.lists(TEXTS, max_size=3) | st.sampled_from([".*", "fc\\.", "a" * 300, "a\nb", "update/fc"])
FREE = st.floats(-1, 2000) | st.integers(-1, 2000) | st.booleans() | st.lists(st.floats(-9, 9), min_size=2, max_size=2)
WHOLE_NAMES = st.lists(st.sampled_from(["all", "weights", "losses", "tanh_input"]), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data(), every=st.none() | st.integers(1, 1_000_000))
def test_what_the_configuration_takes_of_managed_rules_the_service_takes_too(data: st.DataObject, every: Any) -> None:
    rules: dict[str, dict[str, Any]] = {}
    for name in data.draw(st.lists(st.sampled_from(sorted(RULES)), unique=True, max_size=6)):
        keys = data.draw(st.lists(st.sampled_from([*RULES[name].takes, "on_issue"]), unique=True, max_size=3))
        rules[name] = {key: data.draw(PATTERNS_OR_NOT | FREE | WHOLE_NAMES) for key in keys}
    for name, _, key in (
        problem.partition(":")[0].removeprefix("health.rules.").partition(".") for problem in problems(rules)
    ):
        rules[name].pop(key)
    if problems(rules):  # of rules that were right but for these
        return

    assert [str(finding) for finding in validate(asked(rules, every))] == []


def asked(rules: dict[str, Any], every: int | None) -> dict[str, Any]:
    """The golden definition with other rules."""
    document: dict[str, Any] = json.loads((GOLDEN / "managed.json").read_text())
    request = next(step["Arguments"] for step in document["Steps"] if step["Name"] == "TrainModel")
    image = request["DebugRuleConfigurations"][0]["RuleEvaluatorImage"]
    saved = collections(rules, every)
    request["DebugHookConfig"]["CollectionConfigurations"] = [
        {"CollectionName": name, "CollectionParameters": parameters} for name, parameters in saved.items()
    ]
    for key, found in (("Debug", debugger_rules(rules)), ("Profiler", profiler_rules(rules))):
        request[f"{key}RuleConfigurations"] = [
            {
                "RuleConfigurationName": rule.name,
                "RuleEvaluatorImage": image,
                "RuleParameters": {"rule_to_invoke": rule.name, **rule.parameters},
            }
            for rule in found
        ]
    return document
