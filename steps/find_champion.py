"""FindChampion: the approved model that the new one is compared with."""

from __future__ import annotations

from sagemaker.core.lambda_helper import Lambda
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep

from steps.context import Context

NAME = "FindChampion"
ARCHIVE, PACKAGE = OUTPUTS = ("archive", "model_package_arn")


def find_champion(context: Context) -> LambdaStep:
    """A Lambda step. It waits for no other step, and is never cached: what is approved changes without a run."""
    config = context.config
    return LambdaStep(
        name=NAME,
        lambda_func=Lambda(function_arn=config.champion_function, session=context.session),
        inputs={"model_package_group": config.package_group, "without_champion": config.no_champion_address},
        outputs=[LambdaOutput(output_name=name, output_type=LambdaOutputTypeEnum.String) for name in OUTPUTS],
        display_name="Find champion",
        description="Looks for the newest approved model of the group, which the new model is compared with.",
    )
