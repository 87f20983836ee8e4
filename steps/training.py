"""What TuneModel's trials and TrainModel have in common: one script, one way to start it."""

from __future__ import annotations

from typing import Any

from sagemaker.core.helper.pipeline_variable import PipelineVariable

from pipeline.config.members import output_key, volume_key, vpc
from pipeline.config.training import METRICS
from steps.context import Context
from steps.request_step import RequestStep

Request = dict[str, Any]
PROGRAM = "train.py"
# One line an epoch, such as "epoch=3 train_loss=0.1234 validation_loss=0.2345 validation_accuracy=0.9712".
VALUE = "([0-9.eE+-]+|nan|inf)"


def hyperparameters(context: Context) -> dict[str, Any]:
    """All that train.py is told, as text; the training toolkit's own two names first."""
    config = context.config
    values = {**config.model.hyperparameters, **config.training.hyperparameters.model_dump()}
    return {
        "sagemaker_program": PROGRAM,
        # A path in the container, not an S3 address: that works without network, too.
        "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
        **{name: str(value) for name, value in values.items()},
    }


def algorithm(context: Context) -> Request:
    """The image, and how to read metrics out of the log."""
    metrics = [{"Name": name, "Regex": f"{name}={VALUE}"} for name in METRICS]
    return {
        "TrainingImage": context.images["training"],
        "TrainingInputMode": "File",
        "MetricDefinitions": metrics,
    }


def job(context: Context, step: str, role: str, data: RequestStep) -> Request:
    """The members that a training job and a tuning job's training definition share."""
    config = context.config
    splits = data.properties.ProcessingOutputConfig.Outputs
    return {
        "RoleArn": role,
        "InputDataConfig": [
            _channel("code", context.code[PROGRAM]),
            *(_channel(name, splits[name].S3Output.S3Uri) for name in ("train", "validation")),
            *(_channel(name, address) for name, address in context.starts.items()),
        ],
        "OutputDataConfig": {"S3OutputPath": context.run_folder(step), **output_key(config)},
        "ResourceConfig": {
            "InstanceCount": context.parameters["TrainingInstanceCount"],
            "InstanceType": context.parameters["TrainingInstanceType"],
            "VolumeSizeInGB": config.training.volume_gb,
            **volume_key(config, config.training.instance_type),
        },
        "StoppingCondition": _limits(context),
        "EnableManagedSpotTraining": config.training.spot,
        "EnableNetworkIsolation": config.security.network_isolation,
        "EnableInterContainerTrafficEncryption": config.security.encrypt_traffic,
        **vpc(config),
    }


def _channel(name: str, address: str | PipelineVariable) -> Request:
    source = {"S3DataType": "S3Prefix", "S3Uri": address, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File", "CompressionType": "None"}


def _limits(context: Context) -> Request:
    training = context.config.training
    limits = {"MaxRuntimeInSeconds": training.max_runtime_minutes * 60}
    if training.spot:
        limits["MaxWaitTimeInSeconds"] = (training.max_wait_minutes or training.max_runtime_minutes) * 60
    return limits
