"""The request that PrepareData and EvaluateModel share."""

from __future__ import annotations

from typing import Any

from sagemaker.core.helper.pipeline_variable import StrPipeVar
from sagemaker.mlops.workflow.retry import RetryPolicy

from pipeline.config.members import output_key, tags, volume_key, vpc
from steps.context import Context
from steps.settings import CAPACITY_ERROR, INTERNAL_ERROR, RESOURCE_LIMIT, job_retries

Request = dict[str, Any]
BASE = "/opt/ml/processing"
MESSAGE = "/opt/ml/output/message"


def s3_input(name: str, address: StrPipeVar) -> Request:
    """What lies at `address`, copied to a folder of that name."""
    return {
        "InputName": name,
        "AppManaged": False,
        "S3Input": {
            "S3Uri": address,
            "LocalPath": f"{BASE}/input/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        },
    }


def s3_output(context: Context, step: str, name: str) -> Request:
    """A folder of the container, kept in the execution's folder in S3."""
    place = {"S3Uri": context.run_folder(step, name), "LocalPath": f"{BASE}/output/{name}", "S3UploadMode": "EndOfJob"}
    return {"OutputName": name, "AppManaged": False, "S3Output": place}


def places(**inputs: str) -> list[str]:
    """Arguments that tell a program its folders: `places(model="x")` → --model-dir /opt/ml/processing/input/x, …

    Programs have these as defaults too; but a local service without namespaces can only rewrite arguments.
    """
    words = [word for option, name in inputs.items() for word in (f"--{option}-dir", f"{BASE}/input/{name}")]
    return [*words, "--output-dir", f"{BASE}/output", "--message-file", MESSAGE]


def request(context: Context, program: str, role: str, inputs: list[Request], outputs: list[Request]) -> Request:
    """A CreateProcessingJob request that runs `program` from an input named code."""
    config = context.config
    return {
        "ProcessingResources": {"ClusterConfig": _cluster(context)},
        "AppSpecification": {
            "ImageUri": context.images["processing"],
            "ContainerEntrypoint": ["python3", f"{BASE}/input/code/{program}"],
        },
        "RoleArn": role,
        "ProcessingInputs": [s3_input("code", context.code[program]), *inputs],
        "ProcessingOutputConfig": {"Outputs": outputs, **output_key(config)},
        "NetworkConfig": {
            "EnableInterContainerTrafficEncryption": config.security.encrypt_traffic,
            "EnableNetworkIsolation": config.security.network_isolation,
            **vpc(config),
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": config.processing.max_runtime_minutes * 60},
        **tags(config),
    }


def retries(context: Context) -> list[RetryPolicy]:
    """Retry policies of a Processing step."""
    return job_retries(context.config.retries.processing, [INTERNAL_ERROR, CAPACITY_ERROR, RESOURCE_LIMIT])


def _cluster(context: Context) -> Request:
    machine = context.config.processing
    return {
        "InstanceCount": 1,
        "InstanceType": context.parameters["ProcessingInstanceType"],
        "VolumeSizeInGB": machine.volume_gb,
        **volume_key(context.config, machine.instance_type),
    }
