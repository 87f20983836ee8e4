"""What lambda_deploy.py is told besides the package: the same for the step, for approvals and for the command line."""

from __future__ import annotations

from typing import Literal

from pipeline.config.deploying import DeploySection
from pipeline.config.instances import accelerator, has_nvme
from pipeline.config.model import Config

Stage = Literal["staging", "production"]
CUDA_13_AMI = "al2023-ami-sagemaker-inference-gpu-4-1"  # AWS's images of framework 2.12 and 2.13 bring CUDA 13


def production_name(config: Config) -> str:
    """The endpoint that approved models go to."""
    return f"{config.pipeline.name[:52].rstrip('-')}-production"


def request(config: Config, stage: Stage) -> dict[str, str]:
    """A Lambda step's payload holds single values: each is a text, several ids have commas between them."""
    deploy = config.deploy
    return {
        "action": "start",
        "stage": stage,
        "endpoint_name": config.endpoint_name if stage == "staging" else production_name(config),
        "role_arn": config.role("deploy_model"),
        **_machines(deploy),
        **_security(config),
        "smoke_test": "true" if deploy.smoke_test else "false",
        "update": _update(deploy),
        "alarms": _alarms(deploy),
        **({"asynchronous": _asynchronous(config)} if deploy.asynchronous else {}),
    }


def _machines(deploy: DeploySection) -> dict[str, str]:
    if chosen := deploy.serverless:
        words = f"memory={chosen.memory_mb} concurrency={chosen.max_concurrency} warm={chosen.warm}"
        return {"serverless": words}
    found = {"instance_type": deploy.instance_type, "instance_count": str(deploy.instance_count)}
    if accelerator(deploy.instance_type) == "gpu":
        found["inference_ami"] = deploy.inference_ami or CUDA_13_AMI
    scaling = deploy.scaling
    if scaling is None:
        return {**found, "scaling": "none"}
    limits = f"min={scaling.min} max={scaling.max} target={scaling.target:g} metric={scaling.metric}"
    return {**found, "scaling": f"{limits} out_s={scaling.out_seconds} in_s={scaling.in_seconds}"}


def _security(config: Config) -> dict[str, str]:
    security, deploy = config.security, config.deploy
    found = {"network_isolation": "true" if deploy.isolates(security) else "false"}
    if security.kms_key and (deploy.serverless or not has_nvme(deploy.instance_type)):
        found["kms_key"] = security.kms_key
    if security.subnets:
        found |= {"subnets": ",".join(security.subnets), "security_groups": ",".join(security.security_groups)}
    return found


def _update(deploy: DeploySection) -> str:
    update = deploy.update
    words = f"canary={update.canary_percent} bake_s={update.bake_seconds} wait_s={update.wait_seconds}"
    return f"{words} timeout_s={update.timeout_minutes * 60}"


def _alarms(deploy: DeploySection) -> str:
    """`+` between names: CloudWatch has it in none that pipeline.yaml takes, and a tag's value may hold it."""
    alarms = deploy.alarms
    words = f"errors={alarms.error_rate:g} latency_ms={alarms.latency_ms} minutes={alarms.minutes}"
    return f"{words} also={'+'.join(alarms.also)}" if alarms.also else words


def _asynchronous(config: Config) -> str:
    chosen = config.deploy.asynchronous
    assert chosen is not None
    given = {
        "output": chosen.output,
        "failure": chosen.failed,
        "success_topic": chosen.success_topic,
        "error_topic": chosen.error_topic,
        "at_once": str(chosen.max_concurrency),
        "key": config.security.kms_key,
    }
    return " ".join(f"{name}={value}" for name, value in given.items() if value)
