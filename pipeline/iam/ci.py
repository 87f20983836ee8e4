"""The roles of CI: one that only looks, for pull requests, and one that upserts a pipeline and starts it."""

from __future__ import annotations

from pipeline.iam import clauses
from pipeline.iam.execution import SERVICE, jobs_of, packages_of, passing, property_files, trials_of
from pipeline.iam.scope import Scope
from pipeline.iam.statements import Statement

# folders of the pipeline that commands fill, by what they hold; datasets only deploying looks into
CODE = ("code", "definitions", "champion", "weights", "warm_start")
DATA = ("datasets",)
_PIPELINE = ("DescribePipeline", "ListPipelineExecutions", "ListPipelineVersions", "ListTags")
_CHANGES = ("AddTags", "CreatePipeline", "StartPipelineExecution", "UpdatePipeline", "UpdatePipelineVersion")
EXECUTION = (
    *("DescribePipelineDefinitionForExecution", "DescribePipelineExecution"),
    *("ListPipelineExecutionSteps", "ListPipelineParametersForExecution"),
)
_CONTROL = ("RetryPipelineExecution", "StopPipelineExecution")
_DESCRIBING = {
    "Processing": ("DescribeProcessingJob",),
    "Training": ("DescribeTrainingJob",),
    "Tuning": ("DescribeHyperParameterTuningJob", "ListTrainingJobsForHyperParameterTuningJob"),
}


def planning(scope: Scope) -> list[Statement]:
    """What is deployed, what ran, and which code is there; it changes nothing and sees no picture.

    Conditions of earlier executions read their property files: so does whoever foretells the next one.
    """
    return [
        Statement("LookAtPipeline", sagemaker(_PIPELINE), _pipeline(scope)),
        *_looking(scope),
        Statement("LookAtModels", sagemaker(("DescribeModelPackage",)), packages_of(scope)),
        *clauses.reading(scope.place, (*_folders(scope, CODE), *property_files(scope))),
        *clauses.listing(scope.place, _folders(scope, DATA)),
        *clauses.keys(scope, ("kms:Decrypt",), "ReadEncrypted", clauses.through_s3(scope)),
    ]


def deploying(scope: Scope) -> list[Statement]:
    """Upsert, start, stop, resume, follow, push the serving image; not approving a model, and not deploying one."""
    filled, runs = _folders(scope, (*CODE, *DATA)), _folders(scope, ("runs",))
    return [
        Statement("ChangePipeline", sagemaker((*_PIPELINE, *_CHANGES)), _pipeline(scope)),
        Statement("SteerExecutions", sagemaker(_CONTROL), _executions(scope)),
        passing((scope.config.pipeline.role_arn,), SERVICE),
        *_looking(scope),
        Statement(
            "ListOfAccount", sagemaker(("ListModelPackageGroups", "ListModelPackages", "ListPipelines")), clauses.ALL
        ),
        Statement("LookAtModels", sagemaker(("DescribeModelPackage",)), packages_of(scope)),
        Statement(
            "LookAtEndpoint",
            sagemaker(("DescribeEndpoint",)),
            scope.place.sagemaker("endpoint", scope.config.endpoint_name),
        ),
        _logs(scope),
        *clauses.reading(scope.place, (*filled, *runs)),
        *clauses.writing(scope.place, filled, "WriteCodeAndData"),
        *clauses.keys(scope, ("kms:Decrypt", "kms:GenerateDataKey"), "UseKeyInS3", clauses.through_s3(scope)),
        *clauses.pushing(scope.place, scope.config.serving_image),
    ]


def sagemaker(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"sagemaker:{name}" for name in sorted(names))


def _pipeline(scope: Scope) -> tuple[str, ...]:
    return scope.place.sagemaker("pipeline", scope.config.pipeline.name)


def _executions(scope: Scope) -> tuple[str, ...]:
    return scope.place.sagemaker("pipeline", f"{scope.config.pipeline.name}/execution/*")


def _looking(scope: Scope) -> list[Statement]:
    found = [Statement("LookAtExecutions", sagemaker(EXECUTION), _executions(scope))]
    for step_type, names in _DESCRIBING.items():
        if jobs := jobs_of(scope, step_type):
            found.append(Statement(f"LookAt{step_type}", sagemaker(names), jobs))
    if trials := trials_of(scope):
        found.append(Statement("LookAtTrials", sagemaker(("DescribeTrainingJob",)), trials))
    return found


def _folders(scope: Scope, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{scope.folder(name)}*" for name in names)


def _logs(scope: Scope) -> Statement:
    groups = ("/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs")
    reading = ("logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents")
    return Statement("ReadLogs", reading, clauses.log_groups(scope.place, groups))
