"""DeployModel: starts the staging deployment of the registered package."""

from __future__ import annotations

from sagemaker.core.lambda_helper import Lambda
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep

from pipeline.config import Config
from steps.context import Context
from steps.request_step import RequestStep
from steps.settings import volume_key

NAME = "DeployModel"
OUTPUTS = ("endpoint_name", "endpoint_config_name", "status")


def deploy_model(context: Context, package: RequestStep) -> LambdaStep:
    """A Lambda step. It ends after ten minutes at most, so it starts the deployment and does not wait for it."""
    config = context.config
    return LambdaStep(
        name=NAME,
        # The ARN alone: with code, the SDK would create the function while compiling.
        lambda_func=Lambda(function_arn=config.deploy_function, session=context.session),
        inputs={
            "action": "start",
            "stage": "staging",
            "model_package_arn": package.properties.ModelPackageArn,
            "endpoint_name": config.endpoint_name,
            "instance_type": config.deploy.instance_type,
            "instance_count": config.deploy.instance_count,
            "role_arn": config.role("deploy_model"),
            **_security(config),
        },
        outputs=[LambdaOutput(output_name=name, output_type=LambdaOutputTypeEnum.String) for name in OUTPUTS],
        display_name="Deploy model to staging",
        description="Starts the staging endpoint from the package's image and archive; it is up some minutes later.",
    )


def _security(config: Config) -> dict[str, str]:
    """A Lambda step's payload holds single values: several ids are one text with commas between them."""
    security = config.security
    payload = {"network_isolation": "true" if security.network_isolation else "false"}
    if key := volume_key(config, config.deploy.instance_type).get("VolumeKmsKeyId"):
        payload["kms_key"] = key
    if security.subnets:
        payload |= {"subnets": ",".join(security.subnets), "security_groups": ",".join(security.security_groups)}
    return payload
