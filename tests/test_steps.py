"""What each step asks of SageMaker, seen in the definitions that the builder makes of all steps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from training import hyperparameters

from pipeline.builder import build
from pipeline.config import config_schema, load_config
from pipeline.config.instances import accelerator, has_nvme

REPOSITORY = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "data" / "golden"
CONFIGS = {"shipped": REPOSITORY / "pipeline.yaml", **{path.stem: path for path in sorted(GOLDEN.glob("*.yaml"))}}
Document = dict[str, Any]
TOLD = ("HyperParameters", "Environment")
# Reads {"program": [[arguments], …]} and prints what the programs' own parsers say to them.
PARSE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import evaluate, lambda_champion, prepare
from rollout import asking
from training import hyperparameters
folders = {"SM_CHANNEL_TRAIN": "a", "SM_CHANNEL_VALIDATION": "b", "SM_MODEL_DIR": "c", "SM_OUTPUT_DATA_DIR": "d"}
parsers = {"prepare": prepare.parser(), "evaluate": evaluate.parser(), "train": hyperparameters.parser(folders)}
refused = []
for program, calls in json.load(sys.stdin).items():
    for arguments in calls:
        try:
            parsers[program].parse_args(arguments)
        except BaseException as error:
            refused.append(f"{program} {arguments}: {error!r}")
print(json.dumps({"refused": refused, "deploy": asking.NEEDED, "champion": lambda_champion.NEEDED}))
"""


def definition(name: str) -> Document:
    """Built from the golden configurations: test_builder compares these with the golden definitions."""
    document: Document = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return document


def compiled(folder: Path, text: str, digests: dict[str, str] | None = None) -> Document:
    """The definition of a configuration of one's own, over entry points that hold nothing."""
    for program in ("prepare.py", "train.py", "evaluate.py", "lambda_deploy.py", "lambda_champion.py"):
        (folder / program).write_text("")
    (folder / "pipeline.yaml").write_text(text)
    document: Document = json.loads(build(load_config(folder / "pipeline.yaml"), folder, digests or {}).definition_json)
    return document


def steps(document: Document) -> dict[str, Document]:
    found = {}
    for step in document["Steps"]:
        inner = [*step["Arguments"].get("IfSteps", ()), *step["Arguments"].get("ElseSteps", ())]
        found.update({each["Name"]: each for each in (step, *inner)})
    return found


def parameters(document: Document) -> dict[str, Document]:
    return {each["Name"]: each for each in document["Parameters"]}


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(JSON path, value) of everything below `node`."""
    yield path, node
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield from nodes(value, f"{path}.{key}")


def ends_in_slash(address: Any) -> bool:
    if isinstance(address, str):
        return address.endswith("/")
    return "Get" in address or address["Std:Join"]["Values"][-1] == ""


HEALTH = ("health_rules", "health_every", "profile")
every_config = pytest.mark.parametrize("name", CONFIGS)


def test_the_shipped_pipeline_has_the_nine_steps_of_the_contract() -> None:
    types = {name: step["Type"] for name, step in steps(definition("shipped")).items()}
    assert types == {
        "PrepareData": "Processing",
        "FindChampion": "Lambda",
        "TuneModel": "Tuning",
        "TrainModel": "Training",
        "EvaluateModel": "Processing",
        "CheckAccuracy": "Condition",
        "RegisterModel": "RegisterModel",
        "DeployModel": "Lambda",
        "AccuracyTooLow": "Fail",
    }


@every_config
def test_every_step_has_words_for_studio(name: str) -> None:
    for step in steps(definition(name)).values():
        assert step["DisplayName"] and step["Description"].endswith("."), step["Name"]


@every_config
def test_every_parameter_is_used_and_every_used_one_exists(name: str) -> None:
    document = definition(name)
    used = {node["Get"].split(".")[1] for _, node in nodes(document["Steps"]) if isinstance(node, dict) and
            str(node.get("Get", "")).startswith("Parameters.")}  # fmt: skip
    assert used == set(parameters(document))


@every_config
def test_parameters_have_only_what_the_service_takes_and_a_default_in_their_enum(name: str) -> None:
    for parameter in definition(name)["Parameters"]:
        assert set(parameter) <= {"Name", "Type", "DefaultValue", "EnumValues"}
        if values := parameter.get("EnumValues"):
            assert len(values) == len(set(values)) <= 16
            assert parameter["DefaultValue"] in values


@every_config
def test_containers_are_told_nothing_but_text(name: str) -> None:
    for path, node in nodes(definition(name)["Steps"]):
        if path.endswith(TOLD):
            assert all(isinstance(value, str) or list(value) == ["Std:Join"] for value in node.values()), path
        if path.endswith(("ContainerArguments", "Values")):
            assert all(isinstance(value, str | dict) for value in node), path


@every_config
def test_every_folder_address_ends_in_a_slash(name: str) -> None:
    addresses = [(path, node) for path, node in nodes(definition(name)) if path.endswith(("S3Uri", "S3OutputPath"))]
    objects = (".pth",)  # one object, which as a prefix is a folder's only entry
    folders = [
        (path, node)
        for path, node in addresses
        if "ModelMetrics" not in path and not (isinstance(node, str) and node.endswith(objects))
    ]
    assert len(folders) > 8
    assert [path for path, node in folders if not ends_in_slash(node)] == []


@every_config
def test_cache_keys_hold_neither_digest_nor_execution(name: str) -> None:
    for path, node in nodes(definition(name)["Steps"]):
        if path.endswith(
            ("HyperParameters", "Environment", "ContainerArguments", "InputDataConfig", "ProcessingInputs")
        ):
            assert "Execution." not in json.dumps(node), path
        if path.endswith(TOLD):
            assert not re.search(r"[0-9a-f]{16}", json.dumps(node)), path


@every_config
def test_only_steps_that_can_be_cached_or_retried_say_so(name: str) -> None:
    for step in steps(definition(name)).values():
        assert ("CacheConfig" in step) == (step["Type"] in ("Processing", "Tuning", "Training"))
        kinds = {kind for policy in step.get("RetryPolicies", ()) for kind in policy["ExceptionType"]}
        match step["Type"]:
            case "Processing" | "Training":
                pass
            case "Tuning":
                assert "SageMaker.JOB_INTERNAL_ERROR" not in kinds
            case "RegisterModel":
                assert all(kind.startswith("Step.") for kind in kinds)
            case _:
                assert kinds == set()


def test_without_tuning_train_model_takes_the_values_of_the_file() -> None:
    document = definition("tuning_off")
    assert "TuneModel" not in steps(document)
    values = steps(document)["TrainModel"]["Arguments"]["HyperParameters"]
    assert (values["lr"], values["batch_size"]) == ("0.03", "64")
    assert not {"MaxTuningJobs", "MaxParallelTuningJobs", "TuningEpochs"} & set(parameters(document))
    assert all(step.get("CacheConfig") in (None, {"Enabled": False}) for step in steps(document).values())
    assert not any("RetryPolicies" in step for step in steps(document).values())


def test_tuned_values_reach_training_as_text_and_stand_in_one_place_only() -> None:
    arguments = {name: step["Arguments"] for name, step in steps(definition("shipped")).items()}
    static = arguments["TuneModel"]["TrainingJobDefinition"]["StaticHyperParameters"]
    values = arguments["TrainModel"]["HyperParameters"]
    best = "Steps.TuneModel.BestTrainingJob.TunedHyperParameters"
    for name in ("lr", "batch_size"):
        assert values[name] == {"Std:Join": {"On": "", "Values": [{"Get": f"{best}['{name}']"}]}}
        assert name not in static
    assert set(static) | {"lr", "batch_size", *HEALTH} == set(values)


@every_config
def test_train_py_is_told_every_value_that_it_takes_and_no_other(name: str) -> None:
    values = steps(definition(name))["TrainModel"]["Arguments"]["HyperParameters"]
    told = {key for key in values if not key.startswith("sagemaker_")}
    left_out = {"model", "stem"} if "model_file" in told else {"model_file"}
    assert told - {"checkpoint_minutes", *HEALTH} == set(hyperparameters.NAMES) - left_out


@every_config
def test_train_model_is_told_how_its_health_is_judged_and_trials_are_not(name: str) -> None:
    arguments = {step: body["Arguments"] for step, body in steps(definition(name)).items()}
    assert set(HEALTH) <= set(arguments["TrainModel"]["HyperParameters"])
    if "TuneModel" in arguments:
        trials = arguments["TuneModel"]["TrainingJobDefinition"]["StaticHyperParameters"]
        assert not set(HEALTH) & set(trials)


def test_every_setting_of_health_reaches_train_model(tmp_path: Path) -> None:
    document = compiled(tmp_path, "health: {rules: {Overfit: {patience: 3}}, every: 10, profile: false}")
    values = steps(document)["TrainModel"]["Arguments"]["HyperParameters"]
    assert [values[name] for name in HEALTH] == ["Overfit:patience=3", "10", "False"]


def test_only_the_model_that_is_kept_becomes_an_onnx_graph(tmp_path: Path) -> None:
    document = compiled(tmp_path, "model: {onnx: true}")
    assert steps(document)["TrainModel"]["Arguments"]["HyperParameters"]["onnx"] == "True"
    trials = steps(document)["TuneModel"]["Arguments"]["TrainingJobDefinition"]["StaticHyperParameters"]
    assert "onnx" not in trials
    assert hyperparameters.parser({}).parse_args(["--onnx", "True"]).onnx is True


def test_the_shipped_tuning_searches_two_values_in_four_trials_of_two_epochs() -> None:
    document = definition("shipped")
    defaults = {name: each["DefaultValue"] for name, each in parameters(document).items()}
    assert (defaults["MaxTuningJobs"], defaults["TuningEpochs"], defaults["AccuracyThreshold"]) == (4, 2, 0.95)
    ranges = steps(document)["TuneModel"]["Arguments"]["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert [each["Name"] for entries in ranges.values() for each in entries] == ["lr", "batch_size"]


def test_a_grid_has_as_many_trials_as_combinations() -> None:
    job = steps(definition("grid"))["TuneModel"]["Arguments"]["HyperParameterTuningJobConfig"]
    assert job["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 6
    assert list(job["ParameterRanges"]) == ["CategoricalParameterRanges"]
    assert "MaxTuningJobs" not in parameters(definition("grid"))


def test_hyperband_gives_out_epochs_and_stops_trials_itself() -> None:
    job = steps(definition("hyperband"))["TuneModel"]["Arguments"]["HyperParameterTuningJobConfig"]
    assert job["StrategyConfig"]["HyperbandStrategyConfig"] == {"MinResource": 1, "MaxResource": 9}
    assert job["TrainingJobEarlyStoppingType"] == "Off"
    assert job["HyperParameterTuningJobObjective"] == {"Type": "Minimize", "MetricName": "validation_loss"}


def test_searched_epochs_are_no_parameter() -> None:
    document = definition("spot")
    assert not {"TuningEpochs", "TrainingEpochs"} & set(parameters(document))
    ranges = steps(document)["TuneModel"]["Arguments"]["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert ranges["IntegerParameterRanges"][0] == {
        "Name": "epochs",
        "MinValue": "2",
        "MaxValue": "6",
        "ScalingType": "Auto",
    }


def test_a_trial_has_as_many_machines_as_the_training_has() -> None:
    arguments = {name: step["Arguments"] for name, step in steps(definition("shipped")).items()}
    for job in (arguments["TrainModel"], arguments["TuneModel"]["TrainingJobDefinition"]):
        assert job["ResourceConfig"]["InstanceCount"] == {"Get": "Parameters.TrainingInstanceCount"}


def test_spot_training_waits_as_long_as_it_may() -> None:
    arguments = {name: step["Arguments"] for name, step in steps(definition("spot")).items()}
    for job in (arguments["TrainModel"], arguments["TuneModel"]["TrainingJobDefinition"]):
        assert job["EnableManagedSpotTraining"] is True
        assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 14400}
    assert "MaxWaitTimeInSeconds" not in json.dumps(definition("shipped"))


def test_train_model_alone_keeps_checkpoints_at_an_address_that_no_execution_changes() -> None:
    arguments = {name: step["Arguments"] for name, step in steps(definition("spot")).items()}
    assert arguments["TrainModel"]["CheckpointConfig"] == {
        "S3Uri": "s3://darkroom-111122223333-us-east-1/darkroom-digits/checkpoints/",
        "LocalPath": "/opt/ml/checkpoints",
    }
    assert arguments["TrainModel"]["HyperParameters"]["checkpoint_minutes"] == "5"
    assert "heckpoint" not in json.dumps(arguments["TuneModel"])
    assert "heckpoint" not in json.dumps(definition("shipped"))


def test_checkpoints_may_lie_elsewhere(tmp_path: Path) -> None:
    text = "training: {checkpoints: {enabled: true, address: 's3://b-1/states/cats/'}}"
    job = steps(compiled(tmp_path, text))["TrainModel"]["Arguments"]
    assert job["CheckpointConfig"]["S3Uri"] == "s3://b-1/states/cats/"


def channels(document: Document) -> dict[str, list[Any]]:
    """Channel → where it lies, in TuneModel and in TrainModel."""
    found: dict[str, list[Any]] = {}
    arguments = {name: step["Arguments"] for name, step in steps(document).items()}
    for job in (arguments["TuneModel"]["TrainingJobDefinition"], arguments["TrainModel"]):
        for channel in job["InputDataConfig"]:
            found.setdefault(channel["ChannelName"], []).append(channel["DataSource"]["S3DataSource"]["S3Uri"])
    return found


def test_what_training_starts_from_is_a_channel_of_trials_and_training_alike() -> None:
    assert list(channels(definition("shipped"))) == ["code", "train", "validation"]
    found = channels(definition("transfer"))
    assert found["weights"] == ["s3://vision-models/weights/resnet50.pth"] * 2
    assert "warm_start" not in found


def test_a_file_of_this_machine_is_known_by_its_content_alone(tmp_path: Path) -> None:
    found = channels(compiled(tmp_path, "model: {warm_start: ../old/model.tar.gz}", {"warm_start": "0a1b"}))
    assert found["warm_start"] == ["s3://darkroom-111122223333-us-east-1/darkroom-digits/warm_start/0a1b/"] * 2


def test_searched_layers_are_whole_numbers_or_words_and_dropout_is_neither() -> None:
    ranges = steps(definition("transfer"))["TuneModel"]["Arguments"]["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert [each["Name"] for each in ranges["IntegerParameterRanges"]] == ["trainable_layers"]
    assert [each["Name"] for each in ranges["ContinuousParameterRanges"]] == ["dropout", "lr"]


def test_everything_that_security_asks_for_reaches_every_job() -> None:
    arguments = {name: step["Arguments"] for name, step in steps(definition("imagefolder_secure")).items()}
    key = "arn:aws:kms:eu-central-1:444455556666:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"
    vpc = {"SecurityGroupIds": ["sg-0a1b2c3d4e5f6a7b8"], "Subnets": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"]}
    for name, role in (("PrepareData", "prepare"), ("EvaluateModel", "evaluate")):
        job = arguments[name]
        assert job["NetworkConfig"] == {
            "EnableInterContainerTrafficEncryption": True,
            "EnableNetworkIsolation": True,
            "VpcConfig": vpc,
        }
        assert job["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == key
        assert job["ProcessingOutputConfig"]["KmsKeyId"] == key
        assert job["RoleArn"].endswith(f"role/{role}")
    trial = arguments["TuneModel"]["TrainingJobDefinition"]
    for job, role in ((trial, "tune"), (arguments["TrainModel"], "train")):
        assert job["EnableNetworkIsolation"] and job["EnableInterContainerTrafficEncryption"]
        assert job["VpcConfig"] == vpc
        assert job["OutputDataConfig"]["KmsKeyId"] == job["ResourceConfig"]["VolumeKmsKeyId"] == key
        assert job["RoleArn"].endswith(f"role/{role}")
    assert arguments["RegisterModel"]["SecurityConfig"] == {"KmsKeyId": key}
    deploy = arguments["DeployModel"]
    assert deploy["role_arn"].endswith("role/serve")
    assert (deploy["kms_key"], deploy["network_isolation"]) == (key, "true")
    ids = {"SecurityGroupIds": deploy["security_groups"].split(","), "Subnets": deploy["subnets"].split(",")}
    assert ids == vpc
    tags = [{"Key": "cost-center", "Value": "0042"}, {"Key": "team", "Value": "vision"}]
    assert all(arguments[name]["Tags"] == tags for name in ("PrepareData", "TuneModel", "TrainModel", "EvaluateModel"))


def test_a_machine_that_encrypts_its_own_disks_gets_no_key_for_them(tmp_path: Path) -> None:
    key = "arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"
    text = f"security: {{kms_key: '{key}'}}\ndeploy: {{instance_type: %s}}\n"
    payload = steps(compiled(tmp_path, text % "ml.c5d.large"))["DeployModel"]["Arguments"]
    assert "kms_key" not in payload
    payload = steps(compiled(tmp_path, text % "ml.c5.large"))["DeployModel"]["Arguments"]
    assert payload["kms_key"] == key


def test_isolation_and_encryption_are_on_unless_switched_off() -> None:
    for name, isolated in (("shipped", True), ("gpu", False)):
        found = [node for path, node in nodes(definition(name)) if path.endswith("EnableNetworkIsolation")]
        assert found == [isolated] * 4
    assert "VpcConfig" not in json.dumps(definition("shipped"))
    assert "Kms" not in json.dumps(definition("shipped"))


def test_local_disks_get_no_key_and_machines_stay_of_one_kind() -> None:
    document = definition("gpu")
    arguments = {name: step["Arguments"] for name, step in steps(document).items()}
    assert "VolumeKmsKeyId" not in arguments["TrainModel"]["ResourceConfig"]
    assert "VolumeKmsKeyId" in arguments["PrepareData"]["ProcessingResources"]["ClusterConfig"]
    offered = parameters(document)["TrainingInstanceType"]["EnumValues"]
    assert {(accelerator(each), has_nvme(each)) for each in offered} == {("gpu", True)}
    offered = parameters(document)["ProcessingInstanceType"]["EnumValues"]
    assert {(accelerator(each), has_nvme(each)) for each in offered} == {("cpu", False)}


def test_the_image_follows_the_machine() -> None:
    arguments = {name: step["Arguments"] for name, step in steps(definition("gpu")).items()}
    registry = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch"
    assert (
        arguments["TrainModel"]["AlgorithmSpecification"]["TrainingImage"]
        == f"{registry}:2.13-cu133-amzn2023-sagemaker"
    )
    assert arguments["PrepareData"]["AppSpecification"]["ImageUri"] == f"{registry}:2.13-cpu-amzn2023-sagemaker"


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("s3://vision/pictures", "s3://vision/pictures/"),
        ("s3://vision/pictures/", "s3://vision/pictures/"),
        ("../some where/Dog Breeds/", "s3://darkroom-111122223333-us-east-1/darkroom-digits/datasets/Dog-Breeds/"),
        ("s3://vision/dogs.zip", "s3://vision/dogs.zip"),
        ("s3://vision/cifar-10-python.tar.gz", "s3://vision/cifar-10-python.tar.gz"),
        ("s3://vision/dogs.TGZ", "s3://vision/dogs.TGZ"),
        ("s3://vision/dogs.zip/", "s3://vision/dogs.zip/"),
        ("s3://pictures.zip", "s3://pictures.zip/"),
        ("../a/dog breeds.tar.gz", "s3://darkroom-111122223333-us-east-1/darkroom-digits/datasets/dog-breeds/"),
        (".zip", "s3://darkroom-111122223333-us-east-1/darkroom-digits/datasets/local/"),
        ("..", "s3://darkroom-111122223333-us-east-1/darkroom-digits/datasets/local/"),
        ("/data/é", "s3://darkroom-111122223333-us-east-1/darkroom-digits/datasets/local/"),
    ],
)
def test_dataset_uri_has_a_default_without_a_path_of_this_machine(tmp_path: Path, source: str, address: str) -> None:
    document = compiled(tmp_path, f"dataset: {{kind: imagefolder, source: {json.dumps(source, ensure_ascii=False)}}}")
    assert parameters(document)["DatasetUri"]["DefaultValue"] == address
    inputs = steps(document)["PrepareData"]["Arguments"]["ProcessingInputs"]
    assert [each["InputName"] for each in inputs] == ["code", "dataset"]


def prepare_arguments(folder: Path, text: str) -> list[str]:
    found: list[str] = steps(compiled(folder, text))["PrepareData"]["Arguments"]["AppSpecification"][
        "ContainerArguments"
    ]
    assert len(found) <= 100
    assert all(len(word) <= 256 for word in found)
    return found


def test_prepare_data_is_told_every_setting_of_data_and_doctor(tmp_path: Path) -> None:
    name = f"{'x' * 196}.csv"
    text = f"dataset: {{kind: manifest, source: pics, manifest: {name}, square: pad, raw_limit_gb: 0.5}}\n"
    words = prepare_arguments(tmp_path, text + "doctor: {leaks: drop, max_aspect: 4}")
    told = {words[number]: words[number + 1] for number in range(0, len(words), 2) if words[number] != "--doctor"}
    assert (told["--kind"], told["--square"], told["--manifest"]) == ("manifest", "pad", name)
    assert told["--raw-limit-mib"] == "512"
    doctor = dict(words[number + 1].split("=") for number, word in enumerate(words) if word == "--doctor")
    assert set(doctor) == set(config_schema()["$defs"]["DoctorSection"]["properties"])
    assert (doctor["leaks"], doctor["max_aspect"], doctor["duplicates"]) == ("drop", "4.0", "warn")


# One other value for each key of these sections that the programs are told.
OTHER = {
    "image_size": 64, "square": "pad", "raw_limit_gb": 1, "validation_fraction": 0.1, "test_fraction": 0.1, "seed": 1,
    "unreadable": "fail", "not_pictures": "fail", "duplicates": "drop", "leaks": "warn", "conflicting_labels": "drop",
    "small_classes": "warn", "minimum_per_class": 3, "imbalance": "fail", "max_imbalance": 5, "odd_sizes": "drop",
    "max_aspect": 2, "kind": "cifar10", "manifest": "other.csv",
}  # fmt: skip


def test_another_value_of_any_key_is_another_cache_key(tmp_path: Path) -> None:
    sections = {"dataset": "DatasetSection", "doctor": "DoctorSection"}
    seen = []
    for section, title in sections.items():
        for key in config_schema()["$defs"][title]["properties"]:
            if key == "source":
                continue  # its address is an input, which is compared, too
            dataset: Document = {"kind": "imagefolder", "source": "pics"}
            dataset |= {"kind": "manifest"} if key == "manifest" else {}
            document = {"dataset": dataset, "doctor": {}}
            document[section] |= {key: OTHER[key]}
            seen.append(prepare_arguments(tmp_path, json.dumps(document)))
    assert len({tuple(words) for words in seen}) == len(OTHER)
    assert tuple(prepare_arguments(tmp_path, "dataset: {kind: imagefolder, source: pics}")) not in map(tuple, seen)


def test_equal_numbers_are_the_same_words_however_they_are_written(tmp_path: Path) -> None:
    written = prepare_arguments(tmp_path, "dataset: {raw_limit_gb: 8}\ndoctor: {max_imbalance: 10, max_aspect: 3}")
    assert written == prepare_arguments(tmp_path, "{}")


def test_digits_need_no_dataset_input() -> None:
    document = definition("shipped")
    assert "DatasetUri" not in parameters(document)
    inputs = steps(document)["PrepareData"]["Arguments"]["ProcessingInputs"]
    assert [each["InputName"] for each in inputs] == ["code"]


@every_config
def test_a_package_says_where_it_comes_from_within_the_services_limits(name: str) -> None:
    arguments = steps(definition(name))["RegisterModel"]["Arguments"]
    assert not {"Tags", "ModelPackageName", "CertifyForMarketplace"} & set(arguments)
    properties = arguments["CustomerMetadataProperties"]
    assert properties["execution"] == {"Get": "Execution.PipelineExecutionArn"}
    assert len(properties) <= 50
    for text in [*properties, *(value for value in properties.values() if isinstance(value, str))]:
        assert re.fullmatch(r"[\w .:/=+@-]{1,256}", text)


@every_config
def test_a_package_names_the_page_that_its_evaluation_left(name: str) -> None:
    page = steps(definition(name))["RegisterModel"]["Arguments"]["CustomerMetadataProperties"]["page"]
    folder = {"Get": "Steps.EvaluateModel.ProcessingOutputConfig.Outputs['report'].S3Output.S3Uri"}
    assert page == {"Std:Join": {"On": "", "Values": [folder, "model.html"]}}


@pytest.mark.parametrize(("name", "number"), [("shipped", 1), ("transfer", 2)])
def test_a_gate_that_is_not_met_names_both_values_of_each_condition(name: str, number: int) -> None:
    message = steps(definition(name))["AccuracyTooLow"]["Arguments"]["ErrorMessage"]["Std:Join"]["Values"]
    conditions = steps(definition(name))["CheckAccuracy"]["Arguments"]["Conditions"]
    assert len(conditions) == number
    for condition in conditions:
        assert condition["LeftValue"] in message
        assert condition["RightValue"] in message


def test_the_champion_is_looked_for_at_once_and_never_remembered() -> None:
    champion = steps(definition("shipped"))["FindChampion"]
    assert "Steps." not in json.dumps(champion)
    assert "CacheConfig" not in champion
    assert champion["Arguments"]["model_package_group"] == "darkroom-digits"


def test_the_champion_is_an_input_and_an_argument_of_evaluate_model_so_that_the_cache_sees_it() -> None:
    job = steps(definition("shipped"))["EvaluateModel"]["Arguments"]
    source = next(each["S3Input"] for each in job["ProcessingInputs"] if each["InputName"] == "champion")
    assert source["S3Uri"] == {"Get": "Steps.FindChampion.OutputParameters['archive']"}
    words = job["AppSpecification"]["ContainerArguments"]
    assert words[words.index("--champion-dir") + 1] == source["LocalPath"]
    package = {"Get": "Steps.FindChampion.OutputParameters['model_package_arn']"}
    assert words[words.index("--champion-package") + 1] == package
    assert (
        steps(definition("shipped"))["RegisterModel"]["Arguments"]["CustomerMetadataProperties"]["champion"] == package
    )


def test_the_gate_asks_about_the_champion_only_where_the_configuration_does() -> None:
    condition = steps(definition("transfer"))["CheckAccuracy"]["Arguments"]["Conditions"][1]
    assert condition["Type"] == "LessThanOrEqualTo"
    assert condition["LeftValue"]["Std:JsonGet"]["Path"] == "darkroom.behind_champion"
    assert condition["RightValue"] == {"Get": "Parameters.ChampionMargin"}
    assert parameters(definition("transfer"))["ChampionMargin"]["DefaultValue"] == 0.005
    assert "ChampionMargin" not in parameters(definition("shipped"))


def test_a_lambda_function_may_have_another_name(tmp_path: Path) -> None:
    arn = "arn:aws:lambda:us-east-1:111122223333:function:find:live"
    document = compiled(tmp_path, f"evaluation: {{champion_function: '{arn}'}}")
    assert steps(document)["FindChampion"]["FunctionArn"] == arn


def test_the_programs_take_every_argument_that_the_definitions_and_the_configuration_allow(tmp_path: Path) -> None:
    calls: dict[str, list[list[str]]] = {"prepare": sources(tmp_path), "evaluate": [], "train": corner_values()}
    for name in CONFIGS:
        arguments = {step: body["Arguments"] for step, body in steps(definition(name)).items()}
        calls["prepare"].append(arguments["PrepareData"]["AppSpecification"]["ContainerArguments"])
        words = arguments["EvaluateModel"]["AppSpecification"]["ContainerArguments"]
        calls["evaluate"].append([word if isinstance(word, str) else "none" for word in words])
        given = arguments["TrainModel"]["HyperParameters"]
        fixed = [(key, value) for key, value in given.items() if isinstance(value, str) and "sagemaker" not in key]
        calls["train"].append([text for key, value in fixed for text in (f"--{key}", value)])
    answer = told(calls)
    assert answer["refused"] == []
    assert set(answer["deploy"]) <= set(steps(definition("shipped"))["DeployModel"]["Arguments"])
    assert set(answer["champion"]) == set(steps(definition("shipped"))["FindChampion"]["Arguments"])


def sources(folder: Path) -> list[list[str]]:
    """The arguments of PrepareData for each kind, each of them with another setting of the doctor, too."""
    fields = config_schema()["$defs"]["DatasetSection"]["properties"]
    found = []
    for kind in fields["kind"]["enum"]:
        dataset = {"kind": kind, "square": "pad", "source": None if kind == "digits" else "pics"}
        dataset |= {"manifest": "lists/labels.csv"} if kind == "manifest" else {}
        found.append(prepare_arguments(folder, json.dumps({"dataset": dataset, "doctor": {"max_aspect": 2.5}})))
    return found


def corner_values() -> list[list[str]]:
    """Each hyperparameter at the ends of what pipeline.yaml allows."""
    found = []
    sections = config_schema()["$defs"]
    model = {name: sections["ModelSection"]["properties"][name] for name in ("stem", "dropout", "trainable_layers")}
    minutes = {"checkpoint_minutes": sections["CheckpointsSection"]["properties"]["every_minutes"]}
    every = {"health_every": {"minimum": 0, "maximum": 1_000_000}}
    for name, node in {**sections["Hyperparameters"]["properties"], **model, **minutes, **every}.items():
        ends = [node[key] for key in ("minimum", "maximum", "default") if key in node]
        found += [[f"--{name}", str(value)] for value in node.get("enum", ends)]
    assert len(found) > 25
    return found


def told(calls: dict[str, list[list[str]]]) -> Document:
    command = [sys.executable, "-c", PARSE, str(REPOSITORY / "entrypoints")]
    done = subprocess.run(command, input=json.dumps(calls), capture_output=True, text=True, check=True)
    answer: Document = json.loads(done.stdout)
    return answer
