"""The parameters of the pipeline: each one only where something uses it."""

from __future__ import annotations

from sagemaker.core.workflow.parameters import Parameter, ParameterFloat, ParameterInteger, ParameterString

from pipeline.config import Config
from pipeline.config.instances import accelerator, has_nvme, service_enum

MAX_ENUM = 16
# Parameters have no description of their own in SageMaker: these go into the pipeline's.
MEANINGS = {
    "DatasetUri": "S3 folder of the pictures, ending in /, or one archive of them (.zip, .tar, .tar.gz, .tgz)",
    "ProcessingInstanceType": "machine of PrepareData and EvaluateModel",
    "TrainingInstanceType": "machine of TuneModel and TrainModel, of the kind that the image is for",
    "TrainingInstanceCount": "number of these machines for each training job",
    "MaxTuningJobs": "number of trials of TuneModel",
    "MaxParallelTuningJobs": "trials beside each other",
    "TuningEpochs": "epochs of each trial",
    "TrainingEpochs": "epochs of TrainModel",
    "AccuracyThreshold": "least accuracy on the test split, 0 to 1, with which a model is registered and deployed",
    "ChampionMargin": "how much lower than the champion's the accuracy may be, 0 to 1",
    "ModelApprovalStatus": "status of the new model package; only an Approved one can go to production",
}
_SIZES = ("large", "xlarge", "2xlarge", "4xlarge")
_FAMILIES = {"cpu": ("m5", "c5", "m6i", "c6i", "m7i", "c7i"), "gpu": ("g4dn", "g5", "g6", "g6e")}
_STATUSES = ["PendingManualApproval", "Approved", "Rejected"]


def parameters(config: Config) -> dict[str, Parameter]:
    """The parameters by name, in the order in which Studio shows them."""
    found: list[Parameter] = []
    if config.dataset.source is not None:
        found.append(ParameterString("DatasetUri", config.dataset_address))
    found += [
        _machine("ProcessingInstanceType", config, config.processing.instance_type),
        _machine("TrainingInstanceType", config, config.training.instance_type),
        ParameterInteger("TrainingInstanceCount", config.training.instance_count),
        *_tuning(config),
    ]
    if not (config.tuning.enabled and "epochs" in config.tuning.ranges):
        found.append(ParameterInteger("TrainingEpochs", config.training.hyperparameters.epochs))
    found.append(ParameterFloat("AccuracyThreshold", config.evaluation.accuracy_threshold))
    if config.evaluation.not_worse_than_champion:
        found.append(ParameterFloat("ChampionMargin", config.evaluation.champion_margin))
    found.append(ParameterString("ModelApprovalStatus", config.registry.approval_status, _STATUSES))
    return {parameter.name: parameter for parameter in found}


def description(config: Config, names: list[str]) -> str:
    """PipelineDescription: one line (its pattern has no line breaks) that explains the parameters."""
    meanings = "; ".join(f"{name}: {MEANINGS[name]}" for name in names)
    return f"{config.pipeline.description} Parameters: {meanings}."


def _tuning(config: Config) -> list[Parameter]:
    tuning = config.tuning
    if not tuning.enabled:
        return []
    found = [ParameterInteger("MaxParallelTuningJobs", tuning.max_parallel_jobs)]
    # The number of a grid's trials is no choice: it is the product of its values.
    if tuning.strategy != "Grid":
        found.insert(0, ParameterInteger("MaxTuningJobs", tuning.max_jobs))
    if "epochs" not in tuning.ranges:
        found.append(ParameterInteger("TuningEpochs", tuning.epochs))
    return found


def _machine(name: str, config: Config, chosen: str) -> ParameterString:
    """Restricted to what the image, fixed at compile time, can use, and to the disks that the KMS key fits."""
    known = set(service_enum(name))
    kind = accelerator(chosen)
    offered = [f"ml.{family}.{size}" for size in _SIZES for family in _FAMILIES[kind]]
    fitting = [
        each
        for each in offered
        if each in known and not (config.security.kms_key and has_nvme(each) != has_nvme(chosen)) and each != chosen
    ]
    return ParameterString(name, chosen, [chosen, *fitting[: MAX_ENUM - 1]])
