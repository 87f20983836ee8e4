"""The pipeline's own role, the roles of its jobs, and that of the model behind the endpoint: often one and the same."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.definition import Step
from pipeline.iam import clauses
from pipeline.iam.addresses import KEEP, READ, TENSORS, WRITE, at, escaped, patterns
from pipeline.iam.scope import JOBS, Scope, images_of, within
from pipeline.iam.statements import Statement

SERVICE = "sagemaker.amazonaws.com"  # in every partition
_KIND = {"Processing": "processing-job", "Training": "training-job", "Tuning": "hyper-parameter-tuning-job"}
_NAME = {"Processing": "ProcessingJob", "Training": "TrainingJob", "Tuning": "HyperParameterTuningJob"}
_LOGS = {"Processing": "ProcessingJobs", "Training": "TrainingJobs", "Tuning": "TrainingJobs"}
USES_OF_KEY = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey")
_TRANSFORMS = "/aws/sagemaker/TransformJobs"
_SHORTEST = 6  # characters that are left of a step's name in a tuning job's, which has 32 at most
_SHORT = 20  # of a step's name in other jobs': fewer than Pipelines leaves


def job_names(step: Step) -> tuple[str, ...]:
    """Pipelines names jobs pipelines-<execution>-<step>-<random>, and tuning jobs <execution>-<step>-<random>."""
    name = step.name.replace("_", "-")
    if step.type == "Tuning":
        return (f"*-{name[:_SHORTEST]}*",)
    return (f"pipelines-*-{name[:_SHORT]}*",)


def jobs_of(scope: Scope, step_type: str) -> tuple[str, ...]:
    """ARNs of the jobs that steps of this type start."""
    names = [name for step in scope.steps(step_type) for name in job_names(step)]
    return scope.place.sagemaker(_KIND[step_type], *names)


def trials_of(scope: Scope) -> tuple[str, ...]:
    """SageMaker names a trial after its tuning job."""
    return scope.place.sagemaker("training-job", *(name for step in scope.steps("Tuning") for name in job_names(step)))


def packages_of(scope: Scope) -> tuple[str, ...]:
    return scope.place.sagemaker("model-package", f"{scope.config.package_group}/*")


def group_of(scope: Scope) -> tuple[str, ...]:
    return scope.place.sagemaker("model-package-group", scope.config.package_group)


def running(scope: Scope) -> list[Statement]:
    """What the pipeline itself does: it starts jobs, hands them their roles, registers, calls functions."""
    found = [statement for step_type in JOBS for statement in _starting(scope, step_type)]
    if roles := scope.job_roles:
        found.append(passing(roles, SERVICE))
    if scope.steps("RegisterModel"):
        found += _registering(scope)
    if functions := scope.functions:
        found.append(Statement("CallFunctions", ("lambda:InvokeFunction",), functions))
    found += clauses.reading(scope.place, property_files(scope))
    return [*found, *clauses.network(scope), *clauses.keys(scope, USES_OF_KEY), *clauses.grants(scope)]


def passing(roles: tuple[str, ...], service: str) -> Statement:
    return Statement("PassRoles", ("iam:PassRole",), roles, {"StringEquals": {"iam:PassedToService": service}})


def _starting(scope: Scope, step_type: str) -> Iterator[Statement]:
    """AddTags: Pipelines tags each job with its own ARN."""
    jobs = jobs_of(scope, step_type)
    if not jobs:
        return
    actions = tuple(f"sagemaker:{verb}{_NAME[step_type]}" for verb in ("Create", "Describe", "Stop"))
    if step_type == "Tuning":
        actions += ("sagemaker:ListTrainingJobsForHyperParameterTuningJob",)
        yield Statement("LookAtTrials", ("sagemaker:DescribeTrainingJob",), trials_of(scope))
    yield Statement(f"Run{_NAME[step_type]}s", ("sagemaker:AddTags", *actions), jobs)


def _registering(scope: Scope) -> list[Statement]:
    packages, group = packages_of(scope), group_of(scope)
    making = ("sagemaker:AddTags", "sagemaker:CreateModelPackageGroup", "sagemaker:DescribeModelPackageGroup")
    adding = ("sagemaker:AddTags", "sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage")
    registered = scope.patterns([step.name for step in scope.steps("RegisterModel")], READ)
    return [
        Statement("UsePackageGroup", ("sagemaker:CreateModelPackage", *making), group),
        Statement("RegisterModels", adding, packages),
        *clauses.reading(scope.place, registered),
    ]


def property_files(scope: Scope) -> tuple[str, ...]:
    """Conditions read these files with the pipeline's own role."""
    found = []
    for step in scope.steps("Processing"):
        for file in step.body.get("PropertyFiles") or ():
            for output in at(step.arguments, "ProcessingOutputConfig.Outputs.*"):
                if output.get("OutputName") == file["OutputName"]:
                    folders = patterns(scope.definition, output["S3Output"]["S3Uri"])
                    found += [each.removeprefix("s3://") + escaped(file["FilePath"]) for each in folders]
    return within(found)


def working(scope: Scope, role: str) -> list[Statement]:
    """What jobs do as `role`: nothing where no step has it."""
    steps = scope.steps_of(role)
    if not steps:
        return []
    place, names = scope.place, [step.name for step in steps]
    groups = tuple(dict.fromkeys(f"/aws/sagemaker/{_LOGS[step.type]}" for step in steps))
    judged = [step for step in steps if step.arguments.get("ProfilerRuleConfigurations")]
    if judged:  # AWS's rules are processing jobs that run as the training job's role
        groups = tuple(dict.fromkeys((*groups, "/aws/sagemaker/ProcessingJobs")))
    kept, tensors = scope.patterns(names, KEEP), scope.patterns(names, TENSORS)
    return [
        *clauses.images(place, [image for step in steps for image in images_of(step)]),
        clauses.logs(place, groups),
        clauses.metrics(groups),  # the namespaces are called like the groups of logs
        *clauses.reading(place, within((*scope.patterns(names, READ), *kept, *tensors))),
        *clauses.writing(place, within((*scope.patterns(names, WRITE), *tensors))),
        *clauses.writing(place, kept, "KeepCheckpoints", "s3:DeleteObject"),
        *clauses.network(scope),
        *clauses.keys(scope, USES_OF_KEY),
        *clauses.grants(scope),
    ]


def serving(scope: Scope) -> list[Statement]:
    """What the container behind the endpoint does as the model's role."""
    archives = scope.patterns([step.name for step in scope.steps("RegisterModel")], READ)
    models = tuple(each for each in archives if any(each.startswith(end[:-1]) for end in _trained(scope)))
    return [
        *clauses.images(scope.place, [scope.config.serving_image]),
        clauses.logs(scope.place, (f"/aws/sagemaker/Endpoints/{scope.config.endpoint_name}", _TRANSFORMS)),
        clauses.metrics(("/aws/sagemaker/Endpoints", _TRANSFORMS)),
        *clauses.reading(scope.place, models),
        *_transforming(scope),
        *_answering_into_s3(scope),
        Statement("LookAtAlarms", ("cloudwatch:DescribeAlarms",), alarms_of(scope)),
        *clauses.network(scope),
        *clauses.keys(scope, ("kms:Decrypt", "kms:DescribeKey")),
        *clauses.keys(scope, ("kms:GenerateDataKey",), "EncryptAnswers", clauses.through_s3(scope)),
        *clauses.grants(scope),
    ]


def alarms_of(scope: Scope) -> tuple[str, ...]:
    """What an update of the endpoint is taken back by; SageMaker looks at them as the model's role.

    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
    """
    names = (scope.made, *scope.config.deploy.alarms.also)
    return tuple(scope.place.arn("cloudwatch", f"alarm:{name}") for name in names)


def _answering_into_s3(scope: Scope) -> list[Statement]:
    """Of an asynchronous endpoint; requests lie below the addresses of --read."""
    chosen = scope.config.deploy.asynchronous
    if chosen is None:
        return []
    folders = [each.removeprefix("s3://").rstrip("/") for each in (chosen.output, chosen.failed)]
    topics = tuple(each for each in (chosen.success_topic, chosen.error_topic) if each)
    told = [Statement("TellTopics", ("sns:Publish",), topics)] if topics else []
    answers = within(f"{escaped(each)}/*" for each in folders)
    return [*clauses.writing(scope.place, answers, "WriteAnswers"), *clauses.reading(scope.place, scope.reads), *told]


def _transforming(scope: Scope) -> list[Statement]:
    """What `darkroom transform` copies into the bucket, and the answers; other addresses are those of --read."""
    folder = escaped(scope.config.pipeline.address("transforms").removeprefix("s3://"))
    answers = (f"{folder}output/*",)
    return [
        *clauses.reading(scope.place, within((f"{folder}*", *scope.reads))),
        *clauses.writing(scope.place, answers, "WriteAnswers"),
    ]


def _trained(scope: Scope) -> tuple[str, ...]:
    return scope.patterns([step.name for step in scope.steps("Training")], WRITE)
