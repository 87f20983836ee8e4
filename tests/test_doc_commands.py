"""What docs/aws.md, docs/versions.md and docs/local.md say to type is typed: each command, in order, ends with 0."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from cloudformation import Stack, read
from compilations import remembered
from doc_commands import Command, aws, commands
from moto.server import ThreadedMotoServer
from smoke_account import stand_in

from pipeline.__main__ import main
from pipeline.client import local_client
from pipeline.local.server import LoopbackServer

# moto passes over what it does not make; NOT_IN_MOTO lists it
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS:UserWarning")

ROOT = Path(__file__).parent.parent
DOCS = ("aws.md", "versions.md", "local.md")
ACCOUNT = "123456789012"
ALL = [each for name in DOCS for each in commands(ROOT / "docs" / name)]
# beginning of a command → why it is not typed here
EXCEPTIONS = {
    "gh variable set ": "GitHub's own CLI, which asks GitHub; the test of the workflow's variables compares the names",
    "darkroom local": "ends with Ctrl-C alone; tests/test_cli_local.py runs it, with a port that is free",
    "darkroom check --aws": "ends with 1 where IAM, quotas and images cannot be asked; tests/test_preflight.py asks",
    "darkroom stop last": "refuses what has ended already; tests/test_cli_target.py stops what runs",
    "curl -s -H ": "runs in a job of GitHub; test_a_job_reads_its_own_subject runs it",
}
STACK = ("cloudformation", "s3")  # what moto answers; the rest is the local service's
# moto cannot update a stack whose lists were empty, nor roles that were not there: each deployment begins anew,
# with the parameters of those before it, as CloudFormation keeps them.
_KEPT = "--parameter-overrides"


class Reader:
    """Types commands as a reader does who has done those before, in a project of his own."""

    def __init__(self, folder: Path, local: str, moto: str) -> None:
        self.folder, self.local, self.moto = folder, local, moto
        self.parameters: list[str] = []

    def type(self, text: str) -> tuple[int, str, str]:
        text = text.replace("<account>", ACCOUNT).replace("<region>", "us-east-1")
        program, *words = shlex.split(text)
        match program, words[:1]:
            case "aws", [service]:
                return self._aws(service, words)
            case "darkroom", _:
                return self._darkroom(words)
            case "make", ["package"]:  # the Makefile's own words are tested in test_makefile.py
                return self._darkroom(["infra", "--functions", "build/functions"])
        raise AssertionError(f"{text!r}: neither typed nor excepted")

    def _aws(self, service: str, words: list[str]) -> tuple[int, str, str]:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AWS_ENDPOINT_URL", self.moto if service in STACK else self.local)
            if words[:2] != ["cloudformation", "deploy"]:
                return aws(words)
            if "--no-execute-changeset" not in words:
                return self._deploy(words)
            shown = aws(words)
            assert "aws cloudformation describe-change-set" in shown[1], "prints a command that shows the changes"
            return self._deploy([word for word in words if word != "--no-execute-changeset"])  # "they are made"

    def _deploy(self, words: list[str]) -> tuple[int, str, str]:
        urllib.request.urlopen(urllib.request.Request(f"{self.moto}/moto-api/reset", method="POST")).close()
        given = words[words.index(_KEPT) + 1 :]
        named = {each.partition("=")[0] for each in given}
        self.parameters = [each for each in self.parameters if each.partition("=")[0] not in named] + given
        return aws([*words[: words.index(_KEPT) + 1], *self.parameters])

    def _darkroom(self, words: list[str]) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
        return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def reader(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("project")
    text = (ROOT / "pipeline.yaml").read_text(encoding="utf-8").replace("111122223333", ACCOUNT)
    (folder / "pipeline.yaml").write_text(text, encoding="utf-8")
    (folder / "infra").mkdir()
    remembered(folder / "pipeline.yaml", folder / "home")
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    clients = local_client(str(server.home))
    stand_in(clients, folder, ACCOUNT)
    clients.storage.put_bytes(
        f"s3://darkroom-{ACCOUNT}-us-east-1/exists", b""
    )  # the stack's; moto makes one of its own
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": "dummy",
            "AWS_SECRET_ACCESS_KEY": "dummy",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_PAGER": "",
            "DARKROOM_HOME": str(folder / "home"),
        }.items():
            environment.setenv(name, value)
        environment.chdir(folder)
        yield Reader(folder, server.url, f"http://{host}:{port}")
    moto.stop()


# What the documents leave to their reader between two commands.
def before(reader: Reader, command: Command) -> None:
    match command.document, command.text:
        case "versions.md", "darkroom plan -o plan.json":
            assert main(["promote", "production", "--target", "aws"]) == 0  # as it was brought there some other day
            path = reader.folder / "pipeline.yaml"
            text = path.read_text(encoding="utf-8")
            changed = text.replace("accuracy_threshold: 0.95", "accuracy_threshold: 0.9")
            assert changed != text
            path.write_text(changed, encoding="utf-8")
            remembered(path, reader.folder / "home")


TYPED = [each for each in ALL if not each.text.startswith(tuple(EXCEPTIONS))]
# What stands in the answer of some of them, so that 0 alone is not what is tested.
SAID = {
    "darkroom plan --target aws": "darkroom-digits",
    "darkroom upsert --target aws": "1",
    "darkroom start --target aws --wait": "arn:aws:sagemaker:us-east-1:",
    "darkroom show last --pipeline darkroom-digits --target aws": "TrainModel",
    "darkroom logs last TrainModel -f --pipeline darkroom-digits --target aws": "validation_accuracy=0.92",
    "darkroom models --group darkroom-digits --target aws": "PendingManualApproval",
    "darkroom iam --role execution --json": '"sagemaker:CreateTrainingJob"',
    "darkroom upsert plan.json": "2",
    "darkroom promote production": "production",
    "darkroom rollback production": "production",
    "aws sagemaker list-pipelines": "darkroom-digits",
}


@pytest.mark.parametrize("command", TYPED, ids=lambda each: f"{each.document}: {each.text[:60]}")
def test_a_command_of_the_documents_does_what_they_say(reader: Reader, command: Command) -> None:
    before(reader, command)
    text = command.text
    if command.document == "versions.md":
        text += " --target aws"  # "the same on this machine and, with --target aws, in an account"
    code, out, err = reader.type(text)
    assert code == 0, f"{text}\n{out}\n{err}"
    assert SAID.get(command.text, "") in out + err, f"{out}\n{err}"


def test_every_exception_and_every_word_that_is_looked_for_is_still_in_the_documents() -> None:
    texts = [each.text for each in ALL]
    assert [each for each in EXCEPTIONS if not any(text.startswith(each) for text in texts)] == []
    assert set(SAID) <= set(texts)


# What moto makes nothing of; cfn-lint and tests/test_infra.py look at these.
NOT_IN_MOTO = {
    *("AWS::S3::BucketPolicy", "AWS::SageMaker::ModelPackageGroup", "AWS::SNS::TopicPolicy", "AWS::SNS::Subscription"),
    *("AWS::SQS::QueuePolicy", "AWS::CloudWatch::Alarm", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Alias"),
    "AWS::IAM::OIDCProvider",
}


def test_the_stack_of_the_last_deployment_has_all_resources_that_moto_makes(reader: Reader) -> None:
    template = read((reader.folder / "infra/template.yaml").read_text(encoding="utf-8"))
    given = dict(each.split("=", 1) for each in reader.parameters)
    expected = {name for name, each in Stack(template, **given).resources.items() if each["Type"] not in NOT_IN_MOTO}
    client = boto3.client("cloudformation", endpoint_url=reader.moto)
    rows = client.get_paginator("list_stack_resources").paginate(StackName="darkroom-digits")
    made = {row["LogicalResourceId"] for page in rows for row in page["StackResourceSummaries"]}
    assert len(made) == len(expected) > 15
    # moto forgets what a managed policy is called that two roles of the template have
    assert (expected - made, made - expected) in ((set(), set()), ({"CiPolicy1"}, {""}))


def test_the_workflow_reads_exactly_the_variables_that_are_set() -> None:
    told = {each.text.split()[3] for each in ALL if each.text.startswith("gh variable set ")}
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert told == set(re.findall(r"vars\.(\w+)", workflow))
    outputs = {each.text.split()[-1].rstrip(">") for each in ALL if "<the output " in each.text}
    assert outputs <= set(read((ROOT / "infra/template.yaml").read_text(encoding="utf-8"))["Outputs"])


def test_a_job_reads_its_own_subject(tmp_path: Path) -> None:
    """GitHub's answer, by a curl that answers what it is asked in just these words."""
    [command] = [each.text for each in ALL if each.text.startswith("curl -s -H ")]
    claims = json.dumps({"sub": "repo:acme/vision:ref:refs/heads/main"}).encode()
    token = b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in (b"{}", claims, b"signature"))
    asked = "-s -H Authorization: bearer request-token https://token?v=1&audience=sts.amazonaws.com"
    answer = json.dumps({"value": token.decode()})
    (tmp_path / "curl").write_text(f"#!/bin/sh\n[ \"$*\" = '{asked}' ] && printf '%s' '{answer}'\n")
    (tmp_path / "curl").chmod(0o755)
    variables = {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token?v=1"}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "repo:acme/vision:ref:refs/heads/main\n"
