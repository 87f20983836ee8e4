"""Seeded defects: each mutates one valid definition, and the finding names its step, its place and what is wrong."""

# ruff: noqa: E501  (one defect, one line: they are read as a table)
from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.validate import validate

DATA = Path(__file__).parent / "data"
DROP = object()
BRANCHES = ("IfSteps", "ElseSteps")


class Defect(NamedTuple):
    """At `where` in `step` (empty: in the document) of `source`, put `value`; the finding stands at `at`, else there.

    A dot inside a key is written ~."""

    name: str
    source: str
    step: str
    where: str
    value: Any
    word: str
    at: str | None = None
    severity: str = "error"


def get(target: str) -> dict[str, str]:
    return {"Get": target}


def join(*values: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": "", "Values": list(values)}}


def again(index: int) -> Callable[[list[Any]], list[Any]]:
    """A list with a copy of one of its elements at its end."""
    return lambda items: [*items, copy.deepcopy(items[index])]


def grown(**more: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda old: {**old, **more}


def serverless(**more: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A variant without its instances."""
    chosen = {"MemorySizeInMB": 2048, "MaxConcurrency": 5, **more}
    return lambda old: {"VariantName": old["VariantName"], "ModelName": old["ModelName"], "ServerlessConfig": chosen}


def other_branch(needed: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A condition's arguments with a step in ElseSteps that needs one of IfSteps."""
    return lambda old: {**old, "ElseSteps": [{**old["IfSteps"][0], "Name": "Other", "DependsOn": [needed]}]}


def unmeasured(definition: dict[str, Any]) -> dict[str, Any]:
    """The training of an algorithm that is no script and has no metric definitions."""
    algorithm = {"TrainingImage": "1.dkr.ecr.us-east-1.amazonaws.com/xgboost:1", "TrainingInputMode": "File"}
    return {**definition, "AlgorithmSpecification": algorithm, "StaticHyperParameters": {}}


def in_old_image(**hyperparameters: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312"
    return lambda old: {
        **old,
        "AlgorithmSpecification": {**old["AlgorithmSpecification"], "TrainingImage": image},
        "HyperParameters": {**old["HyperParameters"], **hyperparameters},
    }


def other_image(region: str) -> Callable[[str], str]:
    return lambda old: old.replace("eu-west-1", region)


MANAGED = "golden/managed"
HOOK, DEBUG, PROFILE = (
    "Arguments.DebugHookConfig",
    "Arguments.DebugRuleConfigurations",
    "Arguments.ProfilerRuleConfigurations",
)
SAVED = f"{HOOK}.CollectionConfigurations"
INTERVAL = "Arguments.ProfilerConfig.ProfilingIntervalInMilliseconds"
ALL, CHAIN, DIAMOND, SHIPPED, GRID = (
    "foreign/everything",
    "foreign/chain",
    "foreign/diamond",
    "golden/shipped",
    "golden/grid",
)
CLUSTER = "Arguments.ProcessingResources.ClusterConfig"
INPUT = "Arguments.ProcessingInputs.1"
OUTPUTS = "Arguments.ProcessingOutputConfig.Outputs"
TUNING = "Arguments.HyperParameterTuningJobConfig"
RANGES = f"{TUNING}.ParameterRanges"
STATIC = "Arguments.TrainingJobDefinition.StaticHyperParameters"
HYPER = "Arguments.HyperParameters"
STOP = "Arguments.StoppingCondition"
CONDITIONS = "Arguments.Conditions"
JSON_GET = f"{CONDITIONS}.0.LeftValue.Std:JsonGet"
VARIANT = "Arguments.ProductionVariants.0"
CAPTURE = {
    "InitialSamplingPercentage": 50,
    "DestinationS3Uri": "s3://b/c",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}
PACKAGE = "Arguments.CustomerMetadataProperties"

SHAPES = [
    Defect("missing member", ALL, "Split", "Arguments.RoleArn", DROP, "RoleArn is missing", at="Arguments"),
    Defect("missing inner member", ALL, "Split", f"{CLUSTER}.VolumeSizeInGB", DROP, "VolumeSizeInGB is missing", at=CLUSTER),
    Defect("unknown member", ALL, "Split", "Arguments.ProcessingInput", [], "no member 'ProcessingInput'"),
    Defect("unknown inner member", ALL, "Train", "Arguments.ResourceConfig.InstanceTypes", "x", "no member"),
    Defect("integer as text", ALL, "Split", f"{CLUSTER}.VolumeSizeInGB", "10", "an integer belongs"),
    Defect("boolean as text", ALL, "Train", "Arguments.EnableManagedSpotTraining", "true", "true or false belongs"),
    Defect("true as a number", ALL, "Split", f"{CLUSTER}.VolumeSizeInGB", True, "an integer belongs"),
    Defect("object as list", ALL, "Split", "Arguments.StoppingCondition", [], "an object belongs"),
    Defect("list as text", ALL, "Split", "Arguments.AppSpecification.ContainerEntrypoint", "python3", "a list belongs"),
    Defect("null member", ALL, "Split", "Arguments.Environment", None, "null"),
    Defect("foreign enum", ALL, "Split", f"{INPUT}.S3Input.S3InputMode", "Copy", "not one of the"),
    Defect("foreign instance type", ALL, "Train", "Arguments.ResourceConfig.InstanceType", "ml.m5.tiny", "'ml.m5.tiny'"),
    Defect("pattern of a role", ALL, "Split", "Arguments.RoleArn", "arn:aws:iam::1:role/x-is-too-short", "does not match"),
    Defect("pattern of a model package group", ALL, "Register", "Arguments.ModelPackageGroupName", "a_b", "match"),
    Defect("below the minimum", ALL, "Split", f"{CLUSTER}.InstanceCount", 0, "below the minimum of 1"),
    Defect("above the maximum", ALL, "Split", f"{CLUSTER}.VolumeSizeInGB", 20000, "above the maximum of 16384"),
    Defect("too many arguments", ALL, "Split", "Arguments.AppSpecification.ContainerArguments", ["a"] * 101, "at most 100"),
    Defect("argument too long", ALL, "Split", "Arguments.AppSpecification.ContainerArguments.0", "a" * 257, "at most 256"),
    Defect("environment value too long", ALL, "Evaluate", "Arguments.Environment.STAGE", "a" * 257, "at most 256"),
    Defect("training environment too long", ALL, "Train", "Arguments.Environment.MODE", "a" * 513, "at most 512"),
    Defect("hyperparameter too long", ALL, "Train", f"{HYPER}.kind", "a" * 2501, "at most 2500"),
    Defect("too many hyperparameters", ALL, "Train", HYPER, grown(**{f"h{n}": "1" for n in range(100)}), "at most 100"),
    Defect("number among hyperparameters", ALL, "Train", f"{HYPER}.slope", 0.5, "a string belongs"),
    Defect("number in an environment", ALL, "Train", "Arguments.Environment.MODE", 3, "a string belongs"),
    Defect("number in MinValue", ALL, "Tune", f"{RANGES}.ContinuousParameterRanges.0.MinValue", 0.1, "a string belongs"),
    Defect("number as an argument", ALL, "Split", "Arguments.AppSpecification.ContainerArguments.1", 0.8, "a string belongs"),
    Defect("integer parameter among texts", ALL, "Train", f"{HYPER}.epochs", get("Parameters.Epochs"), "a string belongs"),
    Defect("text parameter as a number", ALL, "Split", f"{CLUSTER}.InstanceCount", get("Parameters.Mode"), "an integer belongs"),
    Defect("float parameter as an integer", ALL, "Split", f"{CLUSTER}.InstanceCount", get("Parameters.Threshold"), "integer"),
    Defect("structure as a text", ALL, "Predict", "Arguments.ModelName", get("Steps.CreateModel.PrimaryContainer"), "an object"),
    Defect("join as a number", ALL, "Split", f"{CLUSTER}.InstanceCount", join("1"), "an integer belongs"),
    Defect("parameter's default outside the place's enum", ALL, "Split", f"{CLUSTER}.InstanceType", get("Parameters.DataUri"), "DataUri defaults to"),
    Defect("parameter's enum outside the place's enum", ALL, "Train", "Arguments.ResourceConfig.InstanceType", get("Parameters.Mode"), "Mode allows 'fast'"),
    Defect("eleven inputs", ALL, "Split", "Arguments.ProcessingInputs", lambda old: old * 6, "at most 10"),
    Defect("eleven outputs", ALL, "Split", OUTPUTS, lambda old: old * 4, "at most 10"),
    Defect("21 channels", ALL, "Train", "Arguments.InputDataConfig", lambda old: old * 11, "at most 20"),
    Defect("41 metrics", ALL, "Train", "Arguments.AlgorithmSpecification.MetricDefinitions", lambda old: old * 21, "at most 40"),
    Defect("metric's regex too long", ALL, "Train", "Arguments.AlgorithmSpecification.MetricDefinitions.0.Regex", "(a)" * 200, "at most 500"),
    Defect("31 categories", ALL, "Tune", f"{RANGES}.CategoricalParameterRanges.0.Values", [str(n) for n in range(31)], "at most 30"),
    Defect("metadata value too long", ALL, "Register", f"{PACKAGE}.verdict", "a" * 257, "at most 256"),
    Defect("metadata with a foreign sign", ALL, "Register", f"{PACKAGE}.verdict", "a;b", "does not match"),
    Defect("51 metadata entries", ALL, "Register", PACKAGE, {f"k{n}": "v" for n in range(51)}, "at most 50"),
    Defect("arguments are no object", ALL, "Split", "Arguments", [], "an object"),
]  # fmt: skip

REFERENCES = [
    Defect("unknown step", ALL, "Predict", "Arguments.ModelName", get("Steps.CreateModl.ModelName"), "CreateModel"),
    Defect("unknown property", ALL, "Predict", "Arguments.ModelName", get("Steps.CreateModel.ModelNam"), "no property ModelNam"),
    Defect("unknown inner property", ALL, "CreateModel", "Arguments.PrimaryContainer.ModelDataUrl", get("Steps.Train.ModelArtifacts.S3"), "no member 'S3'"),
    Defect("step without property", ALL, "Predict", "Arguments.ModelName", get("Steps.CreateModel"), "no property of it"),
    Defect("below a text", ALL, "Predict", "Arguments.ModelName", get("Steps.CreateModel.ModelName.Length"), "nothing lies below"),
    Defect("unknown output", ALL, "Evaluate", f"{INPUT}.S3Input.S3Uri", get("Steps.Split.ProcessingOutputConfig.Outputs['trian'].S3Output.S3Uri"), "no 'trian'"),
    Defect("outputs of a step without outputs", DIAMOND, "Sink", "Arguments.Environment.IMAGE", get("Steps.Beside.ProcessingOutputConfig.Outputs['a'].S3Output.S3Uri"), "no 'a'"),
    Defect("list by dot", ALL, "Evaluate", f"{INPUT}.S3Input.S3Uri", get("Steps.Split.ProcessingOutputConfig.Outputs.train.S3Output.S3Uri"), "is a list"),
    Defect("unknown channel", ALL, "Judge", "Arguments.when", get("Steps.Train.InputDataConfig['test'].ChannelName"), "no 'test'"),
    Defect("unmeasured metric", ALL, "Judge", "Arguments.loss", get("Steps.Train.FinalMetricDataList['accuracy'].Value"), "no 'accuracy'"),
    Defect("untuned hyperparameter", ALL, "Train", f"{HYPER}.slope", get("Steps.Tune.BestTrainingJob.TunedHyperParameters['lr']"), "no 'lr'"),
    Defect("unset environment", DIAMOND, "Sink", "Arguments.Environment.QUALITY", get("Steps.Left.Environment['GRADE']"), "no 'GRADE'"),
    Defect("unknown Lambda output", ALL, "Ask", "Arguments.score", get("Steps.Judge.OutputParameters['scor']"), "no output 'scor'"),
    Defect("Lambda's body", ALL, "Ask", "Arguments.score", get("Steps.Judge.Payload"), "outputs only"),
    Defect("unknown parameter", ALL, "Split", f"{INPUT}.S3Input.S3Uri", get("Parameters.DataUrl"), "no parameter 'DataUrl'"),
    Defect("name of another type's job", ALL, "Split", "Arguments.AppSpecification.ContainerArguments.1", get("Execution.TrainingJobName"), "of a Training step's own job"),
    Defect("name of a job where there is none", ALL, "Judge", "Arguments.when", get("Execution.ProcessingJobName"), "'Judge' is of type Lambda"),
    Defect("unknown execution variable", ALL, "Judge", "Arguments.when", get("Execution.Date"), "no execution variable"),
    Defect("unknown root", ALL, "Judge", "Arguments.when", get("Pipeline.Name"), "a reference starts with"),
    Defect("Get of a number", ALL, "Judge", "Arguments.when", {"Get": 3}, "Get takes a text"),
    Defect("unknown function", ALL, "Judge", "Arguments.when", {"Std:Concat": []}, "no function 'Std:Concat'"),
    Defect("function with company", ALL, "Judge", "Arguments.when", {"Std:Join": {"On": "", "Values": ["a"]}, "x": 1}, "exactly one member"),
    Defect("Join without Values", ALL, "Judge", "Arguments.when", {"Std:Join": {"On": ""}}, "Values is a list", at="Arguments.when.Std:Join.Values"),
    Defect("Join of an object", ALL, "Judge", "Arguments.when", join({"a": 1}), "cannot be joined", at="Arguments.when.Std:Join.Values.0"),
    Defect("JsonGet with a parameter as Path", CHAIN, "IsGood", f"{JSON_GET}.Path", get("Parameters.Threshold"), "must be literal"),
    Defect("JsonGet with a broken Path", CHAIN, "IsGood", f"{JSON_GET}.Path", "quality[0", "not a path"),
    Defect("JsonGet of a step without property files", CHAIN, "IsGood", f"{JSON_GET}.PropertyFile", get("Steps.Step3.PropertyFiles.Quality"), "no property file"),
    Defect("JsonGet of an unknown step", CHAIN, "IsGood", f"{JSON_GET}.PropertyFile", get("Steps.Step9.PropertyFiles.Quality"), "no step 'Step9'"),
    Defect("JsonGet of a Training step", ALL, "Judge", "Arguments.quality.Std:JsonGet.PropertyFile", get("Steps.Train.PropertyFiles.X"), "only Processing"),
    Defect("JsonGet without a file", CHAIN, "IsGood", f"{JSON_GET}.PropertyFile", DROP, "takes Path and either", at=JSON_GET),
    Defect("property file by Get", ALL, "Judge", "Arguments.quality", get("Steps.Evaluate.PropertyFiles.Evaluation"), "read by Std:JsonGet"),
    Defect("property of a Fail step", ALL, "Judge", "Arguments.when", get("Steps.TooLow.ErrorMessage"), "no properties"),
    Defect("property of a Condition step", DIAMOND, "Sink", "Arguments.Environment.IMAGE", get("Steps.Gate.Outcome"), "no step 'Gate'"),
    Defect("DependsOn unknown", CHAIN, "Step2", "DependsOn.0", "Step0", "no step 'Step0'"),
    Defect("DependsOn is no list", CHAIN, "Step2", "DependsOn", "Step1", "a list of step names"),
    Defect("DependsOn with a trigger", CHAIN, "Step2", "DependsOn.0", {"Step": "Step1", "Trigger": "Failed"}, "Trigger"),
    Defect("DependsOn twice", DIAMOND, "Sink", "DependsOn", ["Left", "Right", "Left"], "twice", at="DependsOn.2", severity="warning"),
    Defect("after a Fail step", ALL, "Config", "DependsOn", ["Refused"], "nothing runs after", at="DependsOn.0"),
    Defect("cycle", CHAIN, "Step1", "DependsOn", ["Step3"], "cycle", at="DependsOn.0"),
    Defect("step that needs itself", CHAIN, "Step1", "DependsOn", ["Step1"], "needs itself", at="DependsOn.0"),
    Defect("condition that needs its own branch", CHAIN, "IsGood", "DependsOn", ["Step7"], "cycle", at="DependsOn.0"),
    Defect("from outside into a branch", CHAIN, "Step1", "DependsOn", ["Step5"], "runs only in the IfSteps of IsGood", at="DependsOn.0", severity="warning"),
    Defect("from one branch into the other", CHAIN, "IsGood", "Arguments", other_branch("Step5"), "both never run", at="@Other.DependsOn.0"),
]  # fmt: skip

CONDITION_RULES = [
    Defect("And", CHAIN, "IsGood", f"{CONDITIONS}.0.Type", "And", "no And condition"),
    Defect("unknown condition", CHAIN, "IsGood", f"{CONDITIONS}.0.Type", "AtLeast", "no condition 'AtLeast'"),
    Defect("no conditions", CHAIN, "IsGood", CONDITIONS, [], "at least one condition"),
    Defect("one operand", CHAIN, "IsGood", f"{CONDITIONS}.0.RightValue", DROP, "RightValue is missing", at=f"{CONDITIONS}.0"),
    Defect("surplus member", CHAIN, "IsGood", f"{CONDITIONS}.0.Values", [1], "has no 'Values'"),
    Defect("text against number", ALL, "Gate", f"{CONDITIONS}.3.LeftValue", "much", "never compare", at=f"{CONDITIONS}.3.RightValue"),
    Defect("order of booleans", ALL, "Gate", f"{CONDITIONS}.2.RightValue", True, "no order"),
    Defect("accuracy in percent", "golden/shipped", "CheckAccuracy", f"{CONDITIONS}.0.RightValue", 95, "from 0 to 1"),
    Defect("accuracy below 0", "golden/shipped", "CheckAccuracy", f"{CONDITIONS}.0.RightValue", -0.1, "from 0 to 1"),
    Defect("object as operand", ALL, "Gate", f"{CONDITIONS}.0.RightValue", {"a": 1}, "single values"),
    Defect("Not with Expression", ALL, "MayServe", f"{CONDITIONS}.0.Expression", {}, "refuses Expression", at=f"{CONDITIONS}.0"),
    Defect("In without values", ALL, "Gate", f"{CONDITIONS}.5.Values", [], "at least one value"),
    Defect("Or without conditions", ALL, "Gate", f"{CONDITIONS}.7.Conditions", [], "at least one condition"),
    Defect("branch is no list", CHAIN, "IsGood", "Arguments.ElseSteps", {}, "ElseSteps is a list"),
    Defect("unknown branch", CHAIN, "IsGood", "Arguments.ThenSteps", [], "no 'ThenSteps'"),
    Defect("empty branches", CHAIN, "IsGood", "Arguments", grown(IfSteps=[], ElseSteps=[]), "both branches are empty", severity="warning"),
]  # fmt: skip

NAMES = [
    Defect("step twice", CHAIN, "Step2", "Name", "Step1", "is taken"),
    Defect("step twice in a branch", CHAIN, "Step6", "Name", "Step1", "is taken"),
    Defect("step without a name", CHAIN, "Step7", "Name", DROP, "has a Name", at="Name"),
    Defect("step's name too long", CHAIN, "Step7", "Name", "S" * 65, "at most 64"),
    Defect("step's name with a blank", CHAIN, "Step7", "Name", "Step 7", "no step name"),
    Defect("unknown step type", CHAIN, "Step7", "Type", "Procesing", "no step type"),
    Defect("step type of others", CHAIN, "Step7", "Type", "EMR", "cannot check or run EMR"),
    Defect("unknown step member", CHAIN, "Step7", "Retries", 3, "has no 'Retries'"),
    Defect("property files of a Training step", ALL, "Train", "PropertyFiles", [], "has no 'PropertyFiles'"),
    Defect("description too long", ALL, "Split", "Description", "a" * 3073, "at most 3072"),
    Defect("display name is a number", ALL, "Split", "DisplayName", 1, "a text"),
    Defect("parameter twice", ALL, "", "Parameters.1.Name", "DataUri", "declared twice"),
    Defect("property file twice", CHAIN, "Step4", "PropertyFiles", again(0), "declared twice", at="PropertyFiles.1.PropertyFileName"),
    Defect("output twice", ALL, "Split", f"{OUTPUTS}.1.OutputName", "train", "declared twice"),
    Defect("input twice", ALL, "Split", f"{INPUT}.InputName", "code", "declared twice"),
    Defect("channel twice", ALL, "Train", "Arguments.InputDataConfig.1.ChannelName", "code", "declared twice"),
    Defect("metric twice", ALL, "Train", "Arguments.AlgorithmSpecification.MetricDefinitions.1.Name", "loss", "defined twice"),
    Defect("Lambda output twice", ALL, "Judge", "OutputParameters.1.OutputName", "verdict", "declared twice"),
    Defect("variant twice", ALL, "Config", "Arguments.ProductionVariants", again(0), "declared twice", at="Arguments.ProductionVariants.1.VariantName"),
]  # fmt: skip

DOCUMENT = [
    Defect("wrong version", ALL, "", "Version", "2021-01-01", "2021-01-01"),
    Defect("unknown document member", ALL, "", "ParallelismConfiguration", {}, "no member"),
    Defect("no steps", CHAIN, "", "Steps", [], "at least one step"),
    Defect("steps are no list", CHAIN, "", "Steps", {}, "at least one step"),
    Defect("step is a text", CHAIN, "", "Steps.0", "Step1", "a step is an object"),
    Defect("parameters are no list", CHAIN, "", "Parameters", {}, "Parameters is a list"),
    Defect("too large", CHAIN, "", "Metadata", {"x": "a" * 1_100_000}, "bytes", at="$"),
    Defect("51 steps", CHAIN, "", "Steps", lambda old: old + [{**old[0], "Name": f"More{n}"} for n in range(42)], "51 steps", severity="warning"),
    Defect("unknown experiment member", ALL, "", "PipelineExperimentConfig.Name", "x", "has no 'Name'"),
    Defect("experiment named by a step", ALL, "", "PipelineExperimentConfig.TrialName", get("Steps.Train.TrainingJobName"), "only steps"),
    Defect("parameter with a description", ALL, "", "Parameters.0.Description", "x", "the service refuses it"),
    Defect("parameter of unknown type", ALL, "", "Parameters.0.Type", "Text", "no parameter type"),
    Defect("default of the wrong type", ALL, "", "Parameters.2.DefaultValue", "2", "not of type Integer"),
    Defect("default outside its enum", ALL, "", "Parameters.1.DefaultValue", "slow", "not among EnumValues"),
    Defect("enum value of the wrong type", ALL, "", "Parameters.1.EnumValues.1", 3, "not of type String"),
    Defect("17 enum values", ALL, "", "Parameters.1.EnumValues", ["fast", *(f"m{n}" for n in range(16))], "at most 16"),
    Defect("enum value twice", ALL, "", "Parameters.1.EnumValues", ["fast", "fast"], "stands twice", at="Parameters.1.EnumValues.1"),
    Defect("parameter's name with a dot", ALL, "", "Parameters.5.Name", "May.Register", "no parameter name"),
    Defect("unused parameter", ALL, "", "Parameters", lambda old: [*old, {"Name": "Idle", "Type": "String"}], "nothing uses", at="Parameters.6", severity="warning"),
]  # fmt: skip

POLICIES = [
    Defect("cached RegisterModel", ALL, "Register", "CacheConfig", {"Enabled": True, "ExpireAfter": "P1D"}, "never cached"),
    Defect("cached Lambda", ALL, "Judge", "CacheConfig", {"Enabled": True, "ExpireAfter": "P1D"}, "never cached"),
    Defect("cached Endpoint", ALL, "Serve", "CacheConfig", {"Enabled": True}, "does not list", severity="warning"),
    Defect("no duration", CHAIN, "Step1", "CacheConfig.ExpireAfter", "30 days", "ISO 8601"),
    Defect("duration in seconds", CHAIN, "Step1", "CacheConfig.ExpireAfter", 3600, "ISO 8601"),
    Defect("duration of nothing", CHAIN, "Step1", "CacheConfig.ExpireAfter", "P0D", "expires at once"),
    Defect("Enabled as text", CHAIN, "Step1", "CacheConfig.Enabled", "true", "Enabled is true or false"),
    Defect("unknown cache member", CHAIN, "Step1", "CacheConfig.Expire", "P1D", "no 'Expire'"),
    Defect("key that changes every time", CHAIN, "Step1", "Arguments.Environment", {"RUN": get("Execution.PipelineExecutionId")}, "never a cache hit", at="Arguments.Environment.RUN", severity="warning"),
    Defect("job's name in the key", CHAIN, "Step1", "Arguments.Environment", {"RUN": get("Execution.ProcessingJobName")}, "never a cache hit", at="Arguments.Environment.RUN", severity="warning"),
    Defect("tuning's key that changes every time", SHIPPED, "TuneModel", f"{STATIC}.seed", get("Execution.PipelineExecutionId"), "never a cache hit", severity="warning"),
    Defect("cached with a fixed output", CHAIN, "Step4", f"{OUTPUTS}.0.S3Output.S3Uri", "s3://foreign-111122223333/out/", "overwritten", severity="warning"),
    Defect("retried Lambda", ALL, "Judge", "RetryPolicies", [], "takes no RetryPolicies"),
    Defect("retried Endpoint", ALL, "Serve", "RetryPolicies", [], "takes no RetryPolicies"),
    Defect("job error of a Model step", ALL, "CreateModel", "RetryPolicies.0.ExceptionType.0", "SageMaker.CAPACITY_ERROR", "not an exception"),
    Defect("unknown exception", ALL, "Train", "RetryPolicies.0.ExceptionType.0", "Step.TIMEOUT", "not an exception"),
    Defect("internal error of a tuning", ALL, "Tune", "RetryPolicies", [{"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 2}], "ignores", at="RetryPolicies.0.ExceptionType.0", severity="warning"),
    Defect("attempts and expiry", ALL, "Train", "RetryPolicies.0", grown(ExpireAfterMin=5), "either MaxAttempts or ExpireAfterMin"),
    Defect("neither attempts nor expiry", ALL, "Train", "RetryPolicies.0.MaxAttempts", DROP, "either MaxAttempts", at="RetryPolicies.0"),
    Defect("21 attempts", ALL, "Train", "RetryPolicies.0.MaxAttempts", 21, "from 1 to 20"),
    Defect("interval too long", ALL, "Train", "RetryPolicies.0.IntervalSeconds", 50_000, "from 0 to 43200"),
    Defect("negative backoff", ALL, "Train", "RetryPolicies.0.BackoffRate", -1, "at least 0"),
    Defect("unknown retry member", ALL, "Train", "RetryPolicies.0.Attempts", 2, "no 'Attempts'"),
]  # fmt: skip

JOBS = [
    Defect("training on 0 instances", ALL, "Train", "Arguments.ResourceConfig.InstanceCount", 0, "0 instances"),
    Defect("training of 0 epochs", "golden/gpu", "TrainModel", "Arguments.HyperParameters.epochs", "0", "0 epochs"),
    Defect("volume of 0", ALL, "Train", "Arguments.ResourceConfig.VolumeSizeInGB", 0, "0 GB"),
    Defect("key on NVMe storage", ALL, "Split", CLUSTER, grown(InstanceType="ml.g5.xlarge", VolumeKmsKeyId="k"), "NVMe", at=f"{CLUSTER}.VolumeKmsKeyId"),
    Defect("NVMe in a parameter's enum", "golden/gpu", "TrainModel", "Arguments.ResourceConfig.VolumeKmsKeyId", "k", "parameter TrainingInstanceType"),
    Defect("waiting time without spot", ALL, "Train", "Arguments.EnableManagedSpotTraining", False, "only for spot", at=f"{STOP}.MaxWaitTimeInSeconds"),
    Defect("waiting time below runtime", ALL, "Train", f"{STOP}.MaxWaitTimeInSeconds", 300, "below MaxRuntimeInSeconds"),
    Defect("spot without waiting time", ALL, "Train", f"{STOP}.MaxWaitTimeInSeconds", DROP, "spot training needs", at=STOP),
    Defect("image and algorithm", ALL, "Train", "Arguments.AlgorithmSpecification.AlgorithmName", "a", "either a TrainingImage", at="Arguments.AlgorithmSpecification"),
    Defect("training without resources", ALL, "Train", "Arguments.ResourceConfig", DROP, "ResourceConfig is missing", at="Arguments"),
    Defect("metric without a group", ALL, "Train", "Arguments.AlgorithmSpecification.MetricDefinitions.0.Regex", "loss=[0-9]+", "captures nothing"),
    Defect("metric's regex is broken", ALL, "Train", "Arguments.AlgorithmSpecification.MetricDefinitions.0.Regex", "loss=([0-9]+", "no regular expression"),
    Defect("channel's name with a dash", ALL, "Train", "Arguments.InputDataConfig.1.ChannelName", "the-train", "SM_CHANNEL_"),
    Defect("Gzip channel in File mode", ALL, "Train", "Arguments.InputDataConfig.1.CompressionType", "Gzip", "Pipe mode only"),
    Defect("hyperparameter with a blank", ALL, "Train", f"{HYPER}.kind", "a; rm -rf /", "through a shell"),
    Defect("hyperparameter with a blank in another image", ALL, "Train", "Arguments", in_old_image(kind="a b"), "through a shell", at=f"{HYPER}.kind", severity="warning"),
    Defect("hyperparameter that becomes inf", ALL, "Train", f"{HYPER}.kind", "12e45678", "infinity"),
    Defect("input without LocalPath", ALL, "Split", f"{INPUT}.S3Input.LocalPath", DROP, "LocalPath is missing", at=f"{INPUT}.S3Input"),
    Defect("input without S3InputMode", ALL, "Split", f"{INPUT}.S3Input.S3InputMode", DROP, "S3InputMode is missing", at=f"{INPUT}.S3Input"),
    Defect("input without a source", ALL, "Split", f"{INPUT}.S3Input", DROP, "either an S3Input", at=INPUT),
    Defect("Gzip input in File mode", ALL, "Split", f"{INPUT}.S3Input.S3CompressionType", "Gzip", "Pipe mode only"),
    Defect("LocalPath of two inputs", ALL, "Split", f"{INPUT}.S3Input.LocalPath", "/opt/ml/processing/input/code", "already the LocalPath"),
    Defect("LocalPath is relative", ALL, "Split", f"{INPUT}.S3Input.LocalPath", "input/data", "not absolute"),
    Defect("output without LocalPath", ALL, "Split", f"{OUTPUTS}.0.S3Output.LocalPath", DROP, "LocalPath is missing", at=f"{OUTPUTS}.0.S3Output"),
    Defect("property file that is never written", "golden/shipped", "EvaluateModel", "PropertyFiles.0.OutputName", "evaluations", "no output 'evaluations'"),
    Defect("property file with an absolute path", CHAIN, "Step4", "PropertyFiles.0.FilePath", "/opt/quality.json", "not a file below"),
    Defect("property file without a path", CHAIN, "Step4", "PropertyFiles.0.FilePath", DROP, "FilePath is a text"),
    Defect("input folder without /", ALL, "", "Parameters.0.DefaultValue", "s3://foreign-111122223333/data", "does not end in /", at="Steps.0.Arguments.ProcessingInputs.1.S3Input.S3Uri", severity="warning"),
    Defect("output folder without /", CHAIN, "Step4", f"{OUTPUTS}.0.S3Output.S3Uri.Std:Join.Values.4", "x", "does not end in /", at=f"{OUTPUTS}.0.S3Output.S3Uri", severity="warning"),
    Defect("checkpoints without /", ALL, "Train", "Arguments.CheckpointConfig.S3Uri", "s3://b/checkpoints-1", "does not end in /", severity="warning"),
    Defect("two outputs at one address", ALL, "Split", f"{OUTPUTS}.1.S3Output.S3Uri.Std:Join.Values.3", "train", "is also the output address", at=f"{OUTPUTS}.1.S3Output.S3Uri"),
    Defect("output inside an output", ALL, "Split", f"{OUTPUTS}.1.S3Output.S3Uri.Std:Join.Values.3", "train/test", "begins with", at=f"{OUTPUTS}.1.S3Output.S3Uri"),
    Defect("output inside the checkpoints", ALL, "Train", "Arguments.CheckpointConfig.S3Uri", "s3://foreign-111122223333/runs/", "begins with", at="@Predict.Arguments.TransformOutput.S3OutputPath"),
    Defect("input prefix that takes an output", ALL, "Split", f"{INPUT}.S3Input.S3Uri", "s3://foreign-111122223333/run", "also takes the output"),
]  # fmt: skip

TUNINGS = [
    Defect("Grid with a continuous range", ALL, "Tune", f"{TUNING}.Strategy", "Grid", "categorical ranges only", at=f"{RANGES}.ContinuousParameterRanges"),
    Defect("Grid of another size", GRID, "TuneModel", f"{TUNING}.ResourceLimits.MaxNumberOfTrainingJobs", 3, "points"),
    Defect("Hyperband with early stopping", "golden/hyperband", "TuneModel", f"{TUNING}.TrainingJobEarlyStoppingType", "Auto", "has to be Off"),
    Defect("Hyperband settings of another strategy", ALL, "Tune", f"{TUNING}.StrategyConfig", {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}, "remove it, or choose", at=f"{TUNING}.StrategyConfig.HyperbandStrategyConfig"),
    Defect("min above max as numbers", ALL, "Tune", f"{RANGES}.IntegerParameterRanges.0.MinValue", "10", "not below", at=f"{RANGES}.IntegerParameterRanges.0.MaxValue"),
    Defect("min equals max", ALL, "Tune", f"{RANGES}.IntegerParameterRanges.0.MinValue", "3", "not below", at=f"{RANGES}.IntegerParameterRanges.0.MaxValue"),
    Defect("fraction in an integer range", ALL, "Tune", f"{RANGES}.IntegerParameterRanges.0.MaxValue", "3.5", "not a whole number"),
    Defect("word in a range", ALL, "Tune", f"{RANGES}.ContinuousParameterRanges.0.MaxValue", "high", "not a number"),
    Defect("logarithm of zero", ALL, "Tune", f"{RANGES}.ContinuousParameterRanges.0.MinValue", "0", "Logarithmic"),
    Defect("reverse logarithm up to 2", ALL, "Tune", f"{RANGES}.ContinuousParameterRanges.0", grown(MaxValue="2", ScalingType="ReverseLogarithmic"), "within 0", at=f"{RANGES}.ContinuousParameterRanges.0.ScalingType"),
    Defect("category twice", ALL, "Tune", f"{RANGES}.CategoricalParameterRanges.0.Values.1", "plain", "stands twice"),
    Defect("two ranges of one name", ALL, "Tune", f"{RANGES}.CategoricalParameterRanges.0.Name", "offset", "two ranges"),
    Defect("range named by a parameter", ALL, "Tune", f"{RANGES}.CategoricalParameterRanges.0.Name", get("Parameters.Mode"), "must be literal"),
    Defect("no ranges", ALL, "Tune", RANGES, {}, "nothing is tuned"),
    Defect("objective without a definition", ALL, "Tune", f"{TUNING}.HyperParameterTuningJobObjective.MetricName", "accuracy", "no metric definition"),
    Defect("objective of an image without definitions", ALL, "Tune", "Arguments.TrainingJobDefinition", unmeasured, "only AWS's own", at=f"{TUNING}.HyperParameterTuningJobObjective.MetricName", severity="warning"),
    Defect("no objective", ALL, "Tune", f"{TUNING}.HyperParameterTuningJobObjective", DROP, "without an objective", at=TUNING),
    Defect("tuned and static", ALL, "Tune", f"{STATIC}.offset", "2", "both tuned and static"),
    Defect("the service's own hyperparameter", ALL, "Tune", f"{STATIC}._tuning_objective_metric", "loss", "belongs to the service"),
    Defect("99 static and 3 tuned", ALL, "Tune", STATIC, grown(**{f"h{n}": "1" for n in range(96)}), "at most 100"),
    Defect("more beside each other than in all", ALL, "Tune", f"{TUNING}.ResourceLimits.MaxParallelTrainingJobs", 3, "beside each other"),
    Defect("both kinds of definition", ALL, "Tune", "Arguments.TrainingJobDefinitions", [], "either TrainingJobDefinition", at="Arguments"),
]  # fmt: skip

DEBUGGER = [
    Defect("rule twice", MANAGED, "TrainModel", f"{DEBUG}.1.RuleConfigurationName", "VanishingGradient", "stands twice"),
    Defect("rule of both kinds", MANAGED, "TrainModel", f"{PROFILE}.0.RuleConfigurationName", "VanishingGradient", "stands twice"),
    Defect("unknown rule", MANAGED, "TrainModel", f"{DEBUG}.0.RuleParameters.rule_to_invoke", "VanishingGradients", "did you mean VanishingGradient?"),
    Defect("rule in the wrong list", MANAGED, "TrainModel", f"{DEBUG}.0.RuleParameters.rule_to_invoke", "ProfilerReport", "move it to ProfilerRuleConfigurations"),
    Defect("profiler rule in the wrong list", MANAGED, "TrainModel", f"{PROFILE}.0.RuleParameters.rule_to_invoke", "Overfit", "move it to DebugRuleConfigurations"),
    Defect("evaluator without a rule", MANAGED, "TrainModel", f"{DEBUG}.0.RuleParameters.rule_to_invoke", DROP, "not told which rule", at=f"{DEBUG}.0"),
    Defect("evaluator without parameters", MANAGED, "TrainModel", f"{PROFILE}.0.RuleParameters", DROP, "not told which rule", at=f"{PROFILE}.0"),
    Defect("number as a rule's parameter", MANAGED, "TrainModel", f"{DEBUG}.0.RuleParameters.threshold", 0.1, "a string belongs"),
    Defect("rule's parameter too long", MANAGED, "TrainModel", f"{DEBUG}.3.RuleParameters.tensor_regex", "a" * 257, "at most 256"),
    Defect("21 rules", MANAGED, "TrainModel", DEBUG, lambda old: [{**old[0], "RuleConfigurationName": f"r{n}"} for n in range(21)], "at most 20"),
    Defect("21 profiler rules", MANAGED, "TrainModel", PROFILE, lambda old: [{**old[0], "RuleConfigurationName": f"r{n}"} for n in range(21)], "at most 20"),
    Defect("no evaluator", MANAGED, "TrainModel", f"{DEBUG}.0.RuleEvaluatorImage", DROP, "RuleEvaluatorImage is missing", at=f"{DEBUG}.0"),
    Defect("evaluator of another account", MANAGED, "TrainModel", f"{DEBUG}.0.RuleEvaluatorImage", lambda old: "503895931360" + old[12:], "write 929884845733"),
    Defect("evaluator of another region", MANAGED, "TrainModel", f"{DEBUG}.0.RuleEvaluatorImage", "503895931360.dkr.ecr.us-east-1.amazonaws.com/sagemaker-debugger-rules:latest", "for a job in eu-west-1"),
    Defect("profiler's evaluator of another region", MANAGED, "TrainModel", f"{PROFILE}.1.RuleEvaluatorImage", "482524230118.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-debugger-rules", "for a job in eu-west-1"),
    Defect("evaluator where there is none", MANAGED, "TrainModel", f"{DEBUG}.0.RuleEvaluatorImage", other_image("me-central-1"), "no Debugger in me-central-1"),
    Defect("hook without an address", MANAGED, "TrainModel", f"{HOOK}.S3OutputPath", DROP, "S3OutputPath is missing", at=HOOK),
    Defect("hook with an https address", MANAGED, "TrainModel", f"{HOOK}.S3OutputPath", "https://bucket/x/", "no address in S3"),
    Defect("profiler without a bucket", MANAGED, "TrainModel", "Arguments.ProfilerConfig.S3OutputPath", "s3://B/x", "no address in S3"),
    Defect("rule with a path as its address", MANAGED, "TrainModel", f"{DEBUG}.0", grown(S3OutputPath="/rules"), "no address in S3", at=f"{DEBUG}.0.S3OutputPath"),
    Defect("hook that differs in each run", MANAGED, "TrainModel", f"{HOOK}.S3OutputPath", {"Std:Join": {"On": "/", "Values": ["s3://bucket/d", get("Execution.PipelineExecutionId"), ""]}}, "never a cache hit", at=f"{HOOK}.S3OutputPath.Std:Join.Values.1", severity="warning"),
    Defect("rules without a hook", MANAGED, "TrainModel", HOOK, DROP, "no DebugHookConfig", at=f"{DEBUG}.0"),
    Defect("unknown collection", MANAGED, "TrainModel", f"{SAVED}.0.CollectionName", "gradient", "did you mean gradients?"),
    Defect("own collection without a pattern", MANAGED, "TrainModel", f"{SAVED}.2.CollectionParameters.include_regex", DROP, "knows no collection 'relu_input'", at=f"{SAVED}.2.CollectionName"),
    Defect("collection twice", MANAGED, "TrainModel", f"{SAVED}.1.CollectionName", "losses", "stands twice"),
    Defect("interval in words", MANAGED, "TrainModel", f"{SAVED}.1.CollectionParameters.save_interval", "often", "not a number of steps"),
    Defect("interval of 0", MANAGED, "TrainModel", f"{HOOK}.HookParameters.save_interval", "0", "not a number of steps"),
    Defect("interval as a number", MANAGED, "TrainModel", f"{HOOK}.HookParameters.save_interval", 100, "a string belongs"),
    Defect("interval of a mode", MANAGED, "TrainModel", f"{SAVED}.0.CollectionParameters.eval~save_interval", "1.5", "not a number of steps"),
    Defect("steps with a word", MANAGED, "TrainModel", f"{SAVED}.0.CollectionParameters.train~save_steps", "0,one", "no list of steps"),
    Defect("negative start", MANAGED, "TrainModel", f"{HOOK}.HookParameters", grown(start_step="-1"), "not the number of a step", at=f"{HOOK}.HookParameters.start_step"),
    Defect("broken pattern", MANAGED, "TrainModel", f"{SAVED}.2.CollectionParameters.include_regex", ".*relu,(", "no regular expression"),
    Defect("unknown parameter of a collection", MANAGED, "TrainModel", f"{SAVED}.1.CollectionParameters", grown(save_intervall="5"), "did you mean save_interval?", at=f"{SAVED}.1.CollectionParameters.save_intervall", severity="warning"),
    Defect("mode of a pattern", MANAGED, "TrainModel", f"{SAVED}.1.CollectionParameters", {"train.include_regex": "a", "include_regex": "a"}, "reads no parameter", at=f"{SAVED}.1.CollectionParameters.train~include_regex", severity="warning"),
    Defect("unknown reduction", MANAGED, "TrainModel", f"{HOOK}.HookParameters", grown(reductions="mean,abs_median"), "no reduction 'abs_median'", at=f"{HOOK}.HookParameters.reductions"),
    Defect("unknown choice of workers", MANAGED, "TrainModel", f"{HOOK}.HookParameters", grown(include_workers="two"), "no choice of workers", at=f"{HOOK}.HookParameters.include_workers"),
    Defect("yes for true", MANAGED, "TrainModel", f"{HOOK}.HookParameters", grown(save_all="yes"), "neither true nor false", at=f"{HOOK}.HookParameters.save_all"),
    Defect("interval of the profiler", MANAGED, "TrainModel", INTERVAL, 250, "use one of 100, 200, 500, 1000, 5000, 60000"),
    Defect("interval of the profiler as text", MANAGED, "TrainModel", INTERVAL, "500", "an integer belongs"),
    Defect("rules of a profiler that is off", MANAGED, "TrainModel", "Arguments.ProfilerConfig", {"DisableProfiler": True}, "switches off what it judges", at=f"{PROFILE}.0"),
    Defect("smdebug out of reach", MANAGED, "TrainModel", "Arguments.EnableNetworkIsolation", True, "security.network_isolation", at=HOOK, severity="warning"),
]  # fmt: skip

OTHERS = [
    Defect("package name in a group", ALL, "Register", "Arguments.ModelPackageName", "x", "together with ModelPackageGroupName"),
    Defect("tags in a group", ALL, "Register", "Arguments.Tags", [{"Key": "a", "Value": "b"}], "together with"),
    Defect("Marketplace in a group", ALL, "Register", "Arguments.CertifyForMarketplace", False, "together with"),
    Defect("package without group and name", ALL, "Register", "Arguments.ModelPackageGroupName", DROP, "a group or a name", at="Arguments"),
    Defect("unknown domain", SHIPPED, "RegisterModel", "Arguments.Domain", "VISION", "no Domain", severity="warning"),
    Defect("unknown task", SHIPPED, "RegisterModel", "Arguments.Task", "CLASSIFY_IMAGES", "no Task", severity="warning"),
    Defect("sample that is no archive", SHIPPED, "RegisterModel", "Arguments.SamplePayloadUrl", "s3://b/sample.png", ".tar.gz"),
    Defect("model without a role", ALL, "CreateModel", "Arguments.ExecutionRoleArn", DROP, "ExecutionRoleArn is missing", at="Arguments", severity="warning"),
    Defect("model with two kinds of container", ALL, "CreateModel", "Arguments.Containers", [], "either PrimaryContainer", at="Arguments"),
    Defect("container without an image", ALL, "CreateModel", "Arguments.PrimaryContainer.Image", DROP, "without Image", at="Arguments.PrimaryContainer"),
    Defect("variant without instances", ALL, "Config", f"{VARIANT}.InitialInstanceCount", DROP, "InitialInstanceCount is missing", at=VARIANT),
    Defect("serverless with an instance type", ALL, "Config", f"{VARIANT}.ServerlessConfig", {"MemorySizeInMB": 2048, "MaxConcurrency": 1}, "either serverless", at=VARIANT),
    Defect("serverless memory", ALL, "Config", VARIANT, serverless(MemorySizeInMB=1500), "1500 MB", at=f"{VARIANT}.ServerlessConfig.MemorySizeInMB"),
    Defect("warmer than it is wide", ALL, "Config", VARIANT, serverless(ProvisionedConcurrency=9), "9 is above MaxConcurrency (5)", at=f"{VARIANT}.ServerlessConfig.ProvisionedConcurrency"),
    Defect("serverless with instances", ALL, "Config", VARIANT, lambda old: {**serverless()(old), "InitialInstanceCount": 1}, "has no instances", at=f"{VARIANT}.InitialInstanceCount"),
    Defect("two serverless variants", ALL, "Config", "Arguments.ProductionVariants", lambda old: [serverless()(old[0]), {**old[0], "VariantName": "other"}], "has one variant", at=VARIANT),
    Defect("serverless and captured", ALL, "Config", "Arguments", lambda old: {**old, "ProductionVariants": [serverless()(old["ProductionVariants"][0])], "DataCaptureConfig": CAPTURE}, "have no DataCaptureConfig", at="Arguments.DataCaptureConfig"),
    Defect("too much of a transform at once", ALL, "Predict", "Arguments", grown(MaxConcurrentTransforms=20, MaxPayloadInMB=6), "20 requests at once of 6 MB are 120 MB together", at="Arguments.MaxPayloadInMB"),
    Defect("too much of a transform by default", ALL, "Predict", "Arguments", grown(MaxConcurrentTransforms=20), "20 requests at once of 6 MB are 120 MB together", at="Arguments.MaxConcurrentTransforms"),
    Defect("more of a transform at once than megabytes", ALL, "Predict", "Arguments", grown(MaxConcurrentTransforms=120, MaxPayloadInMB=1), "together | write MaxConcurrentTransforms of at most 100", at="Arguments.MaxPayloadInMB"),
    Defect("too much of a transform in one request", ALL, "Predict", "Arguments", grown(MaxPayloadInMB=150), "a request of 150 MB | write MaxPayloadInMB of at most 100", at="Arguments.MaxPayloadInMB"),
    Defect("serverless and asynchronous", ALL, "Config", "Arguments", lambda old: {**old, "ProductionVariants": [serverless()(old["ProductionVariants"][0])], "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o/"}}}, "have no AsyncInferenceConfig", at="Arguments.AsyncInferenceConfig"),
    Defect("answers without a place", ALL, "Config", "Arguments", grown(AsyncInferenceConfig={"OutputConfig": {}}), "S3OutputPath is missing", at="Arguments.AsyncInferenceConfig.OutputConfig"),
    Defect("answers to a web page", ALL, "Config", "Arguments", grown(AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "https://b/o"}}), "is no S3 address", at="Arguments.AsyncInferenceConfig.OutputConfig.S3OutputPath"),
    Defect("canary of 60%", ALL, "Serve", "Arguments.DeploymentConfig", {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "CANARY", "WaitIntervalInSeconds": 60, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 60}}}}, "60%", at="Arguments.DeploymentConfig.BlueGreenUpdatePolicy.TrafficRoutingConfiguration.CanarySize.Value"),
    Defect("CUDA 13 without its machine image", ALL, "CreateModel", "Arguments.PrimaryContainer.Image", "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch:2.13-cu133-amzn2023-sagemaker", "CUDA 13", at="@Config." + VARIANT),
    Defect("no function", ALL, "Judge", "FunctionArn", DROP, "FunctionArn is missing"),
    Defect("function by name", ALL, "Judge", "FunctionArn", "judge", "no FunctionArn"),
    Defect("list as Lambda output", ALL, "Judge", "OutputParameters.0.OutputType", "List", "outputs are flat"),
    Defect("Lambda inputs as a list", ALL, "Judge", "Arguments", [], "an object of inputs"),
    Defect("no queue", ALL, "Ask", "SqsQueueUrl", DROP, "SqsQueueUrl is missing"),
    Defect("queue is no address", ALL, "Ask", "SqsQueueUrl", "approvals", "no SqsQueueUrl"),
    Defect("Fail with a cause", ALL, "TooLow", "Arguments.Cause", "x", "no 'Cause'"),
    Defect("Fail with a number", ALL, "TooLow", "Arguments.ErrorMessage", 3, "ErrorMessage is a text"),
]  # fmt: skip

DEFECTS = [
    *SHAPES, *REFERENCES, *CONDITION_RULES, *NAMES, *DOCUMENT, *POLICIES, *JOBS, *TUNINGS, *DEBUGGER, *OTHERS,
]  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_seeded_defect_is_found_where_it_is(defect: Defect) -> None:
    document = _load(defect.source)
    body, place = _step(document, defect.step)
    _put(body, _keys(defect.where), defect.value)
    expected = _expected(document, defect, place)

    findings = validate(document)

    hits = [f for f in findings if f.path == expected and defect.word in f"{f.message} | {f.mend}"]
    assert [f.severity for f in hits] == [defect.severity], [str(f) for f in findings]
    assert hits[0].step == _holder(document, expected)
    assert hits[0].mend


def test_defect_names_are_unique() -> None:
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)


def test_all_defects_are_reported_at_once() -> None:
    together = ("integer as text", "unknown step", "unknown parameter", "volume of 0", "category twice", "tuned and static",
                "tags in a group", "list as Lambda output", "Fail with a cause", "wrong version", "In without values")  # fmt: skip
    document = _load(ALL)
    chosen = [defect for defect in DEFECTS if defect.name in together]
    for defect in chosen:
        body, _ = _step(document, defect.step)
        _put(body, _keys(defect.where), defect.value)

    report = " ".join(f"{f.message} | {f.mend}" for f in validate(document))

    assert len(chosen) == len(together)
    assert [defect.name for defect in chosen if defect.word not in report] == []


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}, "serverless endpoints have no VPC"),
        ({"EnableNetworkIsolation": True}, "is isolated, which serverless endpoints cannot be"),
        ({"Containers": [{"Image": "a"}, {"Image": "b"}]}, "serverless endpoints run one"),
    ],
)
def test_a_model_that_no_serverless_endpoint_takes_is_found(members: dict[str, Any], words: str) -> None:
    document = _load(ALL)
    config, place = _step(document, "Config")
    _put(config, _keys(VARIANT), serverless())
    before = {finding.message for finding in validate(document)}
    _step(document, "CreateModel")[0]["Arguments"] |= members
    found = [finding for finding in validate(document) if words in finding.message]
    assert [finding.path for finding in found] == [f"{place}.Arguments.ProductionVariants[0]"]
    assert found[0].message not in before


def _load(source: str) -> dict[str, Any]:
    return json.loads(_text(source))  # type: ignore[no-any-return]


@functools.cache
def _text(source: str) -> str:
    return (DATA / f"{source}.json").read_text()


def _steps(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every step's body and JSON path, those in branches too."""
    stack = [(document.get("Steps"), "$.Steps")]
    while stack:
        bodies, path = stack.pop()
        for index, body in enumerate(bodies if isinstance(bodies, list) else []):
            if isinstance(body, dict):
                yield body, f"{path}[{index}]"
                if body["Type"] == "Condition":
                    stack += [(body["Arguments"].get(side), f"{path}[{index}].Arguments.{side}") for side in BRANCHES]


def _step(document: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """The document itself for no name."""
    return next(found for found in _steps(document) if found[0].get("Name") == name) if name else (document, "$")


def _holder(document: dict[str, Any], path: str) -> str:
    """The step that a finding at this path has to name: the innermost one around it."""
    around = [(place, body) for body, place in _steps(document) if path == place or path.startswith(f"{place}.")]
    if not around:
        return ""
    place, body = max(around, key=lambda found: len(found[0]))
    return str(body.get("Name", f"(step {place[-2]} without a name)"))


def _keys(where: str) -> list[str]:
    return [key.replace("~", ".") for key in where.split(".")]


def _put(body: Any, keys: list[str], value: Any) -> None:
    holder = body
    for key in keys[:-1]:
        holder = holder[int(key)] if isinstance(holder, list) else holder[key]
    last: Any = int(keys[-1]) if isinstance(holder, list) else keys[-1]
    if value is DROP:
        del holder[last]
    else:
        holder[last] = value(copy.deepcopy(holder[last])) if callable(value) else copy.deepcopy(value)


def _expected(document: dict[str, Any], defect: Defect, place: str) -> str:
    where = defect.where if defect.at is None else defect.at
    if where.startswith("@"):
        name, _, where = where[1:].partition(".")
        place = _step(document, name)[1]
    if where == "$":
        return place
    text = ".".join(["", *where.split(".")])
    text = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", text)
    text = re.sub(r"\.([^.]*)~([^.]*)", r"['\1.\2']", text)
    return place + re.sub(r"\.(Std:\w+)", r"['\1']", text)
