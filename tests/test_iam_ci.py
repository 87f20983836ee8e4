"""Each request that commands send over boto3 is judged by the policies of CI's roles: they suffice, and no more."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aws_account import AWS, Account, account, command, definition
from compilations import remembered
from golden_roles import NAMES, SUBJECTS, Golden, golden
from guarded import Guard, guarded
from over_http import client
from permitted import may
from test_builder import write_programs

from pipeline.builder import build
from pipeline.config import load_config
from pipeline.definition import Definition
from pipeline.iam import policies
from pipeline.local.server import LoopbackServer

Capture = pytest.CaptureFixture[str]
CONFIG = {
    "pipeline": {"name": "judged", "account": "444455556666"},
    "tuning": {"enabled": False},
    "tags": {"team": "vision"},
}
NEVER = (  # what neither of CI's roles may
    *("sagemaker:UpdateModelPackage", "sagemaker:CreateModelPackage", "sagemaker:DeletePipeline"),
    *(
        "sagemaker:CreateEndpoint",
        "sagemaker:UpdateEndpoint",
        "sagemaker:CreateTrainingJob",
        "sagemaker:InvokeEndpoint",
    ),
    *("iam:CreateRole", "iam:PutRolePolicy", "lambda:UpdateFunctionCode", "s3:DeleteBucket", "s3:DeleteObject"),
)
CHANGING = ("Create", "Update", "Delete", "Put", "Add", "Start", "Stop", "Retry", "Pass", "Abort", "Invoke", "Generate")


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    client(server, "s3").create_bucket(Bucket="darkroom-444455556666-us-east-1")
    with account(server, tmp_path_factory.mktemp("judged")) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a pipeline.yaml and programs."""
    here = tmp_path_factory.mktemp("pipeline")
    (here / "pipeline.yaml").write_text(json.dumps(CONFIG))
    write_programs(here / "entrypoints")
    return here


@pytest.fixture(scope="module")
def of_config(folder: Path) -> Golden:
    config = load_config(folder / "pipeline.yaml")
    compiled = Definition.parse(build(config, folder / "entrypoints").definition_json)
    return Golden(config, compiled, policies.roles(config, compiled, (), SUBJECTS))


Run = Callable[..., Guard]


@pytest.fixture
def run(aws: Account, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command as a role: every request goes past its policies."""

    def run(found: Golden, kind: str, *words: str, code: int = 0) -> Guard:
        with guarded(aws.front.url, found, kind) as guard, monkeypatch.context() as environment:
            environment.setenv("AWS_ENDPOINT_URL", guard.url)
            ended, out, err = command(capsys, *words, *AWS)
        assert guard.denied == []
        assert ended == code, out + err
        assert guard.asked
        return guard

    return run


def test_the_main_branch_may_upsert_and_move_aliases_and_a_pull_request_may_only_plan(
    of_config: Golden, folder: Path, aws: Account, run: Run, capsys: Capture
) -> None:
    config, name = ("-c", str(folder / "pipeline.yaml")), ("--pipeline", "judged")
    remembered(folder / "pipeline.yaml", Path(os.environ["DARKROOM_HOME"]))
    sent = run(of_config, "ci-deploy", "upsert", *config)
    assert {"sagemaker:CreatePipeline", "iam:PassRole", "s3:PutObject", "sagemaker:AddTags"} <= sent.actions
    run(of_config, "ci-plan", "plan", *config, "--exit-code")
    (folder / "pipeline.yaml").write_text(json.dumps({**CONFIG, "training": {"volume_gb": 77}}))
    remembered(folder / "pipeline.yaml", Path(os.environ["DARKROOM_HOME"]))
    changed = run(of_config, "ci-deploy", "upsert", *config)
    assert {"sagemaker:UpdatePipeline", "sagemaker:UpdatePipelineVersion"} <= changed.actions
    for words in (("versions",), ("promote", "tested", "1"), ("promote", "tested", "2"), ("rollback", "tested")):
        run(of_config, "ci-deploy", *words, *name)
    (folder / "pipeline.yaml").write_text(json.dumps(CONFIG))
    run(of_config, "ci-plan", "plan", *config, "--exit-code", code=3)
    with guarded(aws.front.url, of_config, "ci-plan") as guard, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", guard.url)
        code, _, err = command(capsys, "upsert", *config, *AWS)
    assert code == 1
    assert [each.action for each in guard.denied] == ["sagemaker:UpdatePipeline", "iam:PassRole"]
    assert "sagemaker:UpdatePipeline" in err


@pytest.fixture(scope="module")
def of_work(of_config: Golden, tmp_path_factory: pytest.TempPathFactory) -> tuple[Golden, str]:
    """A pipeline of the same name whose one job runs here, so that there is an execution to look at."""
    path = definition(tmp_path_factory.mktemp("work") / "judged.json")
    document = json.loads(Path(path).read_text())
    document["Steps"][0]["CacheConfig"] = {"Enabled": True, "ExpireAfter": "P1D"}
    Path(path).write_text(json.dumps(document))
    compiled = Definition(document)
    config = of_config.config.model_copy(
        update={
            "pipeline": of_config.config.pipeline.model_copy(
                update={"name": "worked", "role": "arn:aws:iam::111122223333:role/darkroom"}
            )
        }
    )
    return Golden(config, compiled, policies.roles(config, compiled, (), SUBJECTS)), path


def test_the_main_branch_may_start_follow_look_at_and_resume_and_a_pull_request_may_plan_with_the_history(
    of_work: tuple[Golden, str], aws: Account, run: Run
) -> None:
    found, path = of_work
    name = ("--name", "worked")
    role = found.config.pipeline.role_arn
    run(found, "ci-deploy", "start", path, *name, "--wait", "--role", role)
    (execution,) = [row["PipelineExecutionArn"] for row in aws.executions("worked")]
    shown = run(found, "ci-deploy", "show", execution)
    assert "sagemaker:DescribePipelineExecution" in shown.actions
    run(found, "ci-deploy", "watch", execution)
    run(found, "ci-deploy", "download", execution, "-o", str(Path(path).with_suffix("")))
    read = run(found, "ci-deploy", "logs", execution, "Work")
    assert {"logs:DescribeLogStreams", "logs:GetLogEvents"} <= read.actions
    run(found, "ci-deploy", "executions", "--pipeline", "worked")
    run(found, "ci-deploy", "models")
    again = run(found, "ci-deploy", "start", *name, "--version", "1", "--only", "Work", "--wait", "--set", "Epochs=4")
    assert "sagemaker:StartPipelineExecution" in again.actions
    Path(path).with_suffix(".py").write_text("import time\ntime.sleep(600)")
    run(found, "ci-deploy", "start", path, *name, "--role", role, "--set", "Epochs=9")
    run(found, "ci-deploy", "stop", aws.executions("worked")[0]["PipelineExecutionArn"])
    Path(path).with_suffix(".py").write_text("print('again')")
    run(found, "ci-deploy", "resume", aws.executions("worked")[0]["PipelineExecutionArn"])
    planned = run(found, "ci-plan", "plan", path, *name)
    assert "sagemaker:ListPipelineExecutionSteps" in planned.actions


@pytest.mark.parametrize("name", NAMES)
def test_the_role_of_pull_requests_has_nothing_that_changes_anything(name: str) -> None:
    role = next(role for role in golden(name).roles if role.kind == "ci-plan")
    names = [action.partition(":")[2] for each in role.statements for action in each.actions]
    assert names
    assert [each for each in names if each.startswith(CHANGING)] == []


@pytest.mark.parametrize("kind", ["ci-plan", "ci-deploy"])
def test_ci_neither_approves_nor_serves_nor_touches_roles_and_functions(kind: str) -> None:
    for name in NAMES:
        found = golden(name)
        where = found.config.pipeline
        front = f"arn:aws:sagemaker:{where.region}:{where.account}"
        resources = ["*", f"{front}:pipeline/{where.name}", f"{front}:endpoint/{found.config.endpoint_name}"]
        resources += [f"{front}:model-package/{found.config.package_group}/1", found.config.deploy_function]
        resources += [where.role_arn, f"arn:aws:s3:::{where.bucket_name}/{where.folder}/code/x"]
        for action in NEVER:
            assert not any(may(found.roles, found.arn(kind), action, each) for each in resources), (name, action)


@pytest.mark.parametrize("name", NAMES)
def test_who_watches_and_downloads_may_read_logs_and_runs(name: str) -> None:
    found = golden(name)
    where = found.config.pipeline
    logs = f"arn:aws:logs:{where.region}:{where.account}:log-group:/aws/sagemaker/TrainingJobs"
    allowed = [
        ("logs:DescribeLogStreams", f"{logs}:*"),
        ("logs:GetLogEvents", f"{logs}:log-stream:pipelines-abc-TrainModel-x/algo-1-17"),
        ("s3:GetObject", f"arn:aws:s3:::{where.bucket_name}/{where.folder}/runs/abc/TrainModel/x/output/model.tar.gz"),
    ]
    assert [each for each in allowed if not may(found.roles, found.arn("ci-deploy"), *each)] == []


def test_the_main_branch_hands_on_the_pipelines_role_to_sagemaker_and_no_other_role() -> None:
    found = golden("imagefolder_secure")
    own, role = found.arn("ci-deploy"), found.config.pipeline.role_arn
    assert may(found.roles, own, "iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})
    assert not may(found.roles, own, "iam:PassRole", role, {"iam:PassedToService": "lambda.amazonaws.com"})
    train = "arn:aws:iam::444455556666:role/train"
    assert not may(found.roles, own, "iam:PassRole", train, {"iam:PassedToService": "sagemaker.amazonaws.com"})


def test_ci_works_on_this_pipeline_and_its_folder_alone() -> None:
    found = golden("shipped")
    own, bucket = found.arn("ci-deploy"), "arn:aws:s3:::darkroom-111122223333-us-east-1"
    other = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/darkroom-digits-2"
    assert not may(found.roles, own, "sagemaker:UpdatePipeline", other)
    assert not may(found.roles, own, "s3:PutObject", f"{bucket}/darkroom-digits-2/code/x")
    assert not may(found.roles, own, "s3:PutObject", f"{bucket}/darkroom-digits/runs/x/TrainModel/model.tar.gz")
    assert not may(found.roles, found.arn("ci-plan"), "s3:GetObject", f"{bucket}/darkroom-digits/datasets/x/1.jpg")


@pytest.mark.parametrize("name", NAMES)
def test_the_serving_image_is_pushed_into_the_accounts_own_repository_alone(name: str) -> None:
    found = golden(name)
    image = found.config.serving_image
    account, repository = image[:12], image.partition("/")[2].partition(":")[0]
    region = found.config.pipeline.region
    own = f"arn:aws:ecr:{region}:{found.config.pipeline.account}:repository/{repository}"
    allowed = account == found.config.pipeline.account
    role = found.arn("ci-deploy")
    assert may(found.roles, role, "ecr:PutImage", own) is allowed
    assert not may(found.roles, role, "ecr:PutImage", own + "-other")
    assert not may(found.roles, found.arn("ci-plan"), "ecr:PutImage", own)
