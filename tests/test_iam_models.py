"""Which role may run `show-model` and `compare`: each call that they send is judged by the policies of CI's roles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_actions import actions_of
from aws_account import AWS, Account, account, command
from golden_roles import golden
from permitted import may
from registered import Registered, evaluated

from pipeline.local.server import LoopbackServer

Capture = pytest.CaptureFixture[str]
FOUND = golden("shipped")
WHERE = FOUND.config.pipeline
FRONT = f"arn:aws:sagemaker:{WHERE.region}:{WHERE.account}"
PIPELINE, GROUP = f"{FRONT}:pipeline/{WHERE.name}", f"{FRONT}:model-package/{FOUND.config.package_group}"
BUCKET, FOLDER = f"arn:aws:s3:::{WHERE.bucket_name}", WHERE.folder
# operation → what it is asked about, in the pipeline as it is shipped
ASKED = {
    "ListModelPackageGroups": ("*",),
    "ListModelPackages": ("*",),
    "DescribeModelPackage": (f"{GROUP}/7",),
    "DescribePipelineExecution": (f"{PIPELINE}/execution/abc",),
    "DescribePipelineDefinitionForExecution": (f"{PIPELINE}/execution/abc",),
    "ListPipelineExecutionSteps": (f"{PIPELINE}/execution/abc",),
    "ListPipelineParametersForExecution": (f"{PIPELINE}/execution/abc",),
    "ListPipelineVersions": (PIPELINE,),
    "DescribeTrainingJob": (f"{FRONT}:training-job/pipelines-abc-TrainModel-x",),
    "DescribeProcessingJob": (f"{FRONT}:processing-job/pipelines-abc-EvaluateModel-x",),
    "HeadObject": (f"{BUCKET}/{FOLDER}/runs/abc/TrainModel/model.tar.gz",),
    "GetObject": (
        f"{BUCKET}/{FOLDER}/runs/abc/EvaluateModel/evaluation/evaluation.json",
        f"{BUCKET}/{FOLDER}/runs/abc/PrepareData/test/manifest.json",
        f"{BUCKET}/{FOLDER}/code/train-0123456789abcdef/sourcedir.tar.gz",
    ),
    "ListObjectsV2": (BUCKET,),
}
READS = ("Describe", "Get", "List")
NOT_CIS = ("ListEndpoints",)  # where a model is deployed is no matter of CI's


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(server, tmp_path_factory.mktemp("account")) as made:
        local = Registered(Path(server.home))
        local.add()
        local.add(evaluated(0.92), code="f" * 16)
        yield made


def test_the_main_branch_may_ask_all_that_both_commands_ask_but_where_a_model_is_deployed(
    aws: Account, capsys: Capture
) -> None:
    called = set()
    for words in (("show-model", "2"), ("compare", "2", "1")):
        aws.front.begin()
        assert command(capsys, *words, *AWS)[0] == 0
        called |= set(aws.front.calls)
    assert called == {*ASKED, *NOT_CIS}
    role = FOUND.arn("ci-deploy")
    for operation, resources in ASKED.items():
        service = "s3" if operation.endswith(("Object", "ObjectsV2")) else "sagemaker"
        context = {"s3:prefix": f"{FOLDER}/code/train-0123456789abcdef/"} if operation == "ListObjectsV2" else {}
        for action in actions_of(service, operation):
            assert all(may(FOUND.roles, role, action, each, context) for each in resources), operation
    assert not any(may(FOUND.roles, role, f"sagemaker:{name}", "*") for name in NOT_CIS)


def test_a_pull_request_sees_no_model_of_the_runs() -> None:
    role = FOUND.arn("ci-plan")
    assert not may(FOUND.roles, role, "sagemaker:ListModelPackages", "*")
    assert not may(FOUND.roles, role, "s3:GetObject", ASKED["HeadObject"][0])


def test_the_approver_may_decide_about_models_of_this_group_and_change_nothing_else(
    aws: Account, capsys: Capture
) -> None:
    aws.front.begin()
    assert command(capsys, "approve", "2", "--reason", "seen", *AWS)[0] == 0
    assert command(capsys, "reject", "1", "--reason", "worse", *AWS)[0] == 0
    assert command(capsys, "models", *AWS)[0] == 0
    role, decides = FOUND.arn("approver"), {**ASKED, "UpdateModelPackage": (f"{GROUP}/7",)}
    assert "UpdateModelPackage" in aws.front.calls
    for operation in set(aws.front.calls):
        service = "s3" if operation.endswith(("Object", "ObjectsV2")) else "sagemaker"
        for action in actions_of(service, operation):
            assert may(FOUND.roles, role, action, decides[operation][0], {"s3:prefix": f"{FOLDER}/runs/"}), operation
    statements = next(each for each in FOUND.roles if each.kind == "approver").statements
    changing = {action for each in statements for action in each.actions if not action.split(":")[1].startswith(READS)}
    assert changing == {"sagemaker:UpdateModelPackage"}
    other = GROUP.replace(FOUND.config.package_group, "others")
    assert not may(FOUND.roles, role, "sagemaker:UpdateModelPackage", f"{other}/7")


@pytest.mark.parametrize("kind", ["ci-plan", "ci-deploy"])
def test_ci_decides_about_no_model(kind: str) -> None:
    assert not may(FOUND.roles, FOUND.arn(kind), "sagemaker:UpdateModelPackage", f"{GROUP}/7")
