"""The cross test: what a golden definition says has to be done is allowed to the role that has to do it, and no more.

What has to be done is found without pipeline.iam: every text of the document is looked at, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from golden_roles import NAMES, Golden, golden
from permitted import may

from pipeline.definition import Step

EXECUTION = "a1b2c3d4e5f6"
JOBS = ("Processing", "Training", "Tuning")
SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}


class Text(NamedTuple):
    path: str
    text: str


def rendered(value: Any, found: Golden) -> str | None:
    """A member of a request as one run would have it; None for what is no text."""
    document = found.definition
    match value:
        case str():
            return value
        case {"Std:Join": {"On": on, "Values": values}}:
            parts = [rendered(each, found) for each in values]
            return None if None in parts else str(on).join(str(part) for part in parts)
        case {"Get": "Execution.PipelineExecutionId"}:
            return EXECUTION
        case {"Get": str(name)} if name.startswith("Parameters."):
            return str(document.parameters[name.removeprefix("Parameters.")].get("DefaultValue"))
        case {"Get": str(name)} if named := re.fullmatch(r"Steps\.(\w+)\.ProcessingOutputConfig.*\['(\w+)'\].*", name):
            outputs = document.steps[named[1]].arguments["ProcessingOutputConfig"]["Outputs"]
            return rendered(next(o for o in outputs if o["OutputName"] == named[2])["S3Output"]["S3Uri"], found)
        case {"Get": str(name)} if named := re.fullmatch(r"Steps\.(\w+)\.ModelArtifacts\.S3ModelArtifacts", name):
            folder = rendered(document.steps[named[1]].arguments["OutputDataConfig"]["S3OutputPath"], found)
            return f"{folder}pipelines-{EXECUTION}-{named[1]}-abcdefghij/output/model.tar.gz"
        case {"Get": "Steps.FindChampion.OutputParameters['archive']"}:
            address = document.steps["FindChampion"].arguments["without_champion"]
            assert isinstance(address, str)
            return address
    return None


def texts(value: Any, found: Golden, path: str = "") -> Iterator[Text]:
    text = rendered(value, found)
    if text is not None:
        yield Text(path, text)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, found, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from texts(inner, found, f"{path}[{number}]")


def worker(found: Golden, step: Step) -> str:
    """The role that a step's requests are made for."""
    request = step.arguments.get("TrainingJobDefinition", step.arguments)
    return str(request.get("RoleArn", found.config.pipeline.role_arn))


def object_arn(found: Golden, address: str) -> str:
    partition = found.config.pipeline.role_arn.split(":")[1]
    return f"arn:{partition}:s3:::{address.removeprefix('s3://')}{'a/b.bin' if address.endswith('/') else ''}"


def uses(path: str) -> list[str]:
    if "CheckpointConfig" in path:
        return ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    if "DebugHookConfig" in path or "ProfilerConfig" in path:
        return ["s3:GetObject", "s3:PutObject"]
    if "CustomerMetadataProperties" in path:
        return []  # a link for whoever decides
    return ["s3:PutObject"] if "Output" in path else ["s3:GetObject"]


@pytest.mark.parametrize("name", NAMES)
def test_every_s3_address_is_open_to_the_role_of_its_step_as_it_is_used(name: str) -> None:
    found, seen = golden(name), 0
    for step in (step for step in found.definition.steps.values() if step.type in (*JOBS, "RegisterModel")):
        for path, text in texts(step.arguments, found):
            if text.startswith("s3://"):
                seen += 1
                for action in uses(path):
                    asked = (worker(found, step), action, object_arn(found, text))
                    assert may(found.roles, *asked), (step.name, path, asked)
    assert seen >= 10


@pytest.mark.parametrize("name", NAMES)
def test_every_input_may_be_listed_by_its_own_prefix(name: str) -> None:
    found = golden(name)
    for step in (step for step in found.definition.steps.values() if step.type in JOBS):
        for path, text in texts(step.arguments, found):
            if text.startswith("s3://") and "Output" not in path:
                bucket, _, key = text.removeprefix("s3://").partition("/")
                arn = object_arn(found, f"s3://{bucket}")
                assert may(found.roles, worker(found, step), "s3:ListBucket", arn, {"s3:prefix": key}), (path, text)
                assert not may(found.roles, worker(found, step), "s3:ListBucket", arn, {"s3:prefix": ""})


@pytest.mark.parametrize("name", NAMES)
def test_every_role_of_a_job_may_be_handed_to_sagemaker_alone_and_by_the_pipeline_alone(name: str) -> None:
    found = golden(name)
    own = found.config.pipeline.role_arn
    handed = {worker(found, step) for step in found.definition.steps.values() if step.type in JOBS}
    assert handed
    for role in handed:
        assert may(found.roles, own, "iam:PassRole", role, SAGEMAKER)
        assert not may(found.roles, own, "iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"})
    assert not may(found.roles, own, "iam:PassRole", own.replace("role/", "role/other"), SAGEMAKER)


@pytest.mark.parametrize("name", NAMES)
def test_every_function_may_be_called_by_the_pipeline_and_no_other_one(name: str) -> None:
    found = golden(name)
    own = found.config.pipeline.role_arn
    called = [step.body["FunctionArn"] for step in found.definition.steps.values() if step.type == "Lambda"]
    assert called
    assert all(may(found.roles, own, "lambda:InvokeFunction", function) for function in called)
    assert not may(found.roles, own, "lambda:InvokeFunction", f"{called[0]}-2")


@pytest.mark.parametrize("name", NAMES)
def test_every_image_may_be_pulled_by_the_role_of_its_container(name: str) -> None:
    found, seen = golden(name), 0
    for step in found.definition.steps.values():
        role = found.config.role("deploy_model") if step.type == "RegisterModel" else worker(found, step)
        for path, text in texts(step.arguments, found):
            if named := re.fullmatch(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)[:@].+", text):
                seen += 1
                repository = f"arn:aws:ecr:{named[2]}:{named[1]}:repository/{named[3]}"
                for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"):
                    assert may(found.roles, role, f"ecr:{action}", repository), (step.name, path)
                assert may(found.roles, role, "ecr:GetAuthorizationToken", "*")
                assert not may(found.roles, role, "ecr:BatchGetImage", f"{repository}-other")
    assert seen >= 3


@pytest.mark.parametrize("name", NAMES)
def test_every_key_may_be_used_by_the_role_whose_disk_or_output_it_encrypts(name: str) -> None:
    found = golden(name)
    for step in (step for step in found.definition.steps.values() if step.type in JOBS):
        for _, text in texts(step.arguments, found):
            if text.startswith("arn:") and ":kms:" in text:
                for role in {worker(found, step), found.config.pipeline.role_arn}:
                    for action in ("Decrypt", "Encrypt", "GenerateDataKey", "DescribeKey"):
                        assert may(found.roles, role, f"kms:{action}", text)
                    granted = {"kms:GrantIsForAWSResource": "true"}
                    assert may(found.roles, role, "kms:CreateGrant", text, granted)
                    assert not may(found.roles, role, "kms:CreateGrant", text, {"kms:GrantIsForAWSResource": "false"})
    keyed = {name for name in NAMES if golden(name).config.security.kms_key}
    assert keyed == {"gpu", "imagefolder_secure"}


def test_containers_of_a_vpc_get_interfaces_in_its_subnets_and_groups_alone() -> None:
    found = golden("imagefolder_secure")
    ec2 = "arn:aws:ec2:eu-central-1:444455556666"
    for step in (step for step in found.definition.steps.values() if step.type in JOBS):
        role = worker(found, step)
        for subnet in ("subnet-0a1b2c3d", "subnet-4e5f6a7b"):
            assert may(found.roles, role, "ec2:CreateNetworkInterface", f"{ec2}:subnet/{subnet}")
        assert may(found.roles, role, "ec2:CreateNetworkInterface", f"{ec2}:security-group/sg-0a1b2c3d4e5f6a7b8")
        assert may(found.roles, role, "ec2:CreateNetworkInterface", f"{ec2}:network-interface/eni-1")
        assert may(found.roles, role, "ec2:DescribeSubnets", "*")
        assert not may(found.roles, role, "ec2:CreateNetworkInterface", f"{ec2}:subnet/subnet-0a1b2c3e")
        own, other = ({"ec2:Subnet": f"{ec2}:subnet/{each}"} for each in ("subnet-0a1b2c3d", "subnet-0a1b2c3e"))
        interface = f"{ec2}:network-interface/eni-1"
        assert may(found.roles, role, "ec2:DeleteNetworkInterface", interface, own)
        assert not may(found.roles, role, "ec2:DeleteNetworkInterface", interface, other)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "imagefolder_secure"])
def test_without_a_vpc_nobody_may_touch_a_network(name: str) -> None:
    actions = {action for role in golden(name).roles for each in role.statements for action in each.actions}
    assert {action for action in actions if action.startswith("ec2:")} == {"ec2:DescribeRegions"}


@pytest.mark.parametrize("name", NAMES)
def test_every_job_that_pipelines_names_is_the_pipelines_to_create_describe_stop_and_tag(name: str) -> None:
    found = golden(name)
    where = found.config.pipeline
    kinds = {"Processing": "processing-job", "Training": "training-job", "Tuning": "hyper-parameter-tuning-job"}
    operations = {"Processing": "ProcessingJob", "Training": "TrainingJob", "Tuning": "HyperParameterTuningJob"}
    for step in (step for step in found.definition.steps.values() if step.type in JOBS):
        job = f"{EXECUTION}-{step.name[:6]}-Ab3" if step.type == "Tuning" else f"pipelines-{EXECUTION}-{step.name}-Ab3"
        for spelled in (job, job.lower()):
            arn = f"arn:aws:sagemaker:{where.region}:{where.account}:{kinds[step.type]}/{spelled}"
            for verb in ("Create", "Describe", "Stop"):
                assert may(found.roles, where.role_arn, f"sagemaker:{verb}{operations[step.type]}", arn), arn
            assert may(found.roles, where.role_arn, "sagemaker:AddTags", arn)
        other = f"arn:aws:sagemaker:{where.region}:{where.account}:{kinds[step.type]}/somebodys"
        assert not may(found.roles, where.role_arn, f"sagemaker:Stop{operations[step.type]}", other)


@pytest.mark.parametrize("name", NAMES)
def test_models_go_into_the_pipelines_own_group_alone(name: str) -> None:
    found = golden(name)
    where = found.config.pipeline
    front = f"arn:aws:sagemaker:{where.region}:{where.account}"
    group = found.definition.steps["RegisterModel"].arguments["ModelPackageGroupName"]
    for resource in (f"{front}:model-package-group/{group}", f"{front}:model-package/{group}/7"):
        assert may(found.roles, where.role_arn, "sagemaker:CreateModelPackage", resource)
        other = resource.replace(group, "others")
        assert not may(found.roles, where.role_arn, "sagemaker:CreateModelPackage", other)


@pytest.mark.parametrize("name", NAMES)
def test_conditions_may_read_their_property_files(name: str) -> None:
    found = golden(name)
    step = found.definition.steps["EvaluateModel"]
    (file,) = step.body["PropertyFiles"]
    outputs = step.arguments["ProcessingOutputConfig"]["Outputs"]
    folder = rendered(next(o for o in outputs if o["OutputName"] == file["OutputName"])["S3Output"]["S3Uri"], found)
    assert folder is not None
    wanted = object_arn(found, folder + file["FilePath"])
    assert may(found.roles, found.config.pipeline.role_arn, "s3:GetObject", wanted)


@pytest.mark.parametrize("name", NAMES)
def test_the_deploying_function_may_do_what_deploy_model_asks_of_it_and_with_this_endpoint_alone(name: str) -> None:
    found = golden(name)
    where, asked = found.config.pipeline, found.definition.steps["DeployModel"].arguments
    role, endpoint = found.arn("deploy-lambda"), asked["endpoint_name"]
    front = f"arn:aws:sagemaker:{where.region}:{where.account}"
    made = f"{endpoint[:45]}-v12-0123456789"
    for action, resource in (
        ("CreateModel", f"model/{made}"),
        ("DescribeModel", f"model/{made}"),
        ("CreateEndpointConfig", f"endpoint-config/{made}"),
        ("DescribeEndpointConfig", f"endpoint-config/{made}"),
        ("CreateEndpoint", f"endpoint/{endpoint}"),
        ("CreateEndpoint", f"endpoint-config/{made}"),
        ("UpdateEndpoint", f"endpoint/{endpoint}"),
        ("UpdateEndpoint", f"endpoint-config/{made}"),
        ("DescribeEndpoint", f"endpoint/{endpoint}"),
        ("InvokeEndpoint", f"endpoint/{endpoint}"),
        ("DeleteModel", f"model/{made}"),
        ("DescribeModelPackage", f"model-package/{found.config.package_group}/3"),
    ):
        assert may(found.roles, role, f"sagemaker:{action}", f"{front}:{resource}"), (action, resource)
    assert may(found.roles, role, "iam:PassRole", asked["role_arn"], SAGEMAKER)
    assert not may(found.roles, role, "sagemaker:UpdateEndpoint", f"{front}:endpoint/production")
    assert not may(found.roles, role, "sagemaker:DeleteEndpoint", f"{front}:endpoint/production")
    if "kms_key" in asked:
        assert may(found.roles, role, "kms:CreateGrant", asked["kms_key"], {"kms:GrantIsForAWSResource": "true"})


def test_roles_of_single_steps_have_only_what_their_step_needs() -> None:
    found = golden("imagefolder_secure")
    train, prepare = "arn:aws:iam::444455556666:role/train", "arn:aws:iam::444455556666:role/prepare"
    runs = f"arn:aws:s3:::vision-models/teams/vision/dogs/runs/{EXECUTION}"
    assert may(found.roles, train, "s3:GetObject", f"{runs}/PrepareData/train/shard-0.arrow")
    assert not may(found.roles, train, "s3:GetObject", f"{runs}/PrepareData/test/shard-0.arrow")
    assert not may(found.roles, train, "s3:PutObject", f"{runs}/PrepareData/train/shard-0.arrow")
    assert not may(found.roles, prepare, "s3:GetObject", f"{runs}/TrainModel/x/output/model.tar.gz")
    assert not may(found.roles, train, "iam:PassRole", train, SAGEMAKER)
    assert not may(found.roles, found.config.pipeline.role_arn, "s3:PutObject", f"{runs}/TrainModel/x/model.tar.gz")


def test_what_docs_health_says_of_managed_debugger_is_what_the_role_gets() -> None:
    found = golden("managed")
    role, front = found.config.pipeline.role_arn, "arn:aws:s3:::darkroom-111122223333-eu-west-1/managed"
    for folder in ("debugger/job/debug-output/events/0.tfevents", f"runs/{EXECUTION}/TrainModel/job/profiler/x.json"):
        assert may(found.roles, role, "s3:PutObject", f"{front}/{folder}")
        assert may(found.roles, role, "s3:GetObject", f"{front}/{folder}")
    bucket = front.removesuffix("/managed")
    assert may(found.roles, role, "s3:ListBucket", bucket, {"s3:prefix": "managed/debugger/job/"})
    assert may(found.roles, role, "logs:PutLogEvents", _stream("managed", "/aws/sagemaker/ProcessingJobs"))


@pytest.mark.parametrize("name", NAMES)
def test_jobs_write_their_own_logs_and_metrics_and_no_others(name: str) -> None:
    found = golden(name)
    for step in (step for step in found.definition.steps.values() if step.type in JOBS):
        role = worker(found, step)
        group = f"/aws/sagemaker/{'ProcessingJobs' if step.type == 'Processing' else 'TrainingJobs'}"
        for action in ("CreateLogStream", "PutLogEvents"):
            assert may(found.roles, role, f"logs:{action}", _stream(name, group))
        assert may(found.roles, role, "logs:CreateLogGroup", _stream(name, group).partition(":log-stream")[0])
        assert may(found.roles, role, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": group})
        assert not may(found.roles, role, "logs:PutLogEvents", _stream(name, "/aws/lambda/other"))
        assert not may(found.roles, role, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/Billing"})


def _stream(name: str, group: str) -> str:
    where = golden(name).config.pipeline
    return f"arn:aws:logs:{where.region}:{where.account}:log-group:{group}:log-stream:job/algo-1-1"
