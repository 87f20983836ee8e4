"""DeployModel: starts the staging deployment of the registered package."""

from __future__ import annotations

from sagemaker.core.lambda_helper import Lambda
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep

from pipeline.config.deployment import request
from steps.context import Context
from steps.request_step import RequestStep

NAME = "DeployModel"
OUTPUTS = ("endpoint_name", "endpoint_config_name", "status")


def deploy_model(context: Context, package: RequestStep) -> LambdaStep:
    """A Lambda step. It ends after ten minutes at most, so it starts the deployment and does not wait for it."""
    return LambdaStep(
        name=NAME,
        # The ARN alone: with code, the SDK would create the function while compiling.
        lambda_func=Lambda(function_arn=context.config.deploy_function, session=context.session),
        inputs={**request(context.config, "staging"), "model_package_arn": package.properties.ModelPackageArn},
        outputs=[LambdaOutput(output_name=name, output_type=LambdaOutputTypeEnum.String) for name in OUTPUTS],
        display_name="Deploy model to staging",
        description="Starts the staging endpoint from the package's image and archive; it is up some minutes later.",
    )
