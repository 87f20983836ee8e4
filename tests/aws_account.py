"""The local service as an AWS account: its front, and the environment in which commands find it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aws_front import Front, front_of

from pipeline.__main__ import main
from pipeline.client import Clients, local_client
from pipeline.local import logs
from pipeline.local.images import register_image
from pipeline.local.server import LoopbackServer

ROLE = "arn:aws:iam::111122223333:role/darkroom"
AWS = ("--target", "aws")


class Account:
    """`clients` are those of the service itself, past HTTP: what really happened."""

    def __init__(self, front: Front, home: str) -> None:
        self.front = front
        self.clients: Clients = local_client(home)
        register_image(self.clients.sagemaker.store, "img*", [sys.executable])

    def executions(self, pipeline: str) -> list[dict[str, Any]]:
        known = [row["PipelineName"] for row in self.clients.sagemaker.list_pipelines()["PipelineSummaries"]]
        if pipeline not in known:
            return []
        listed = self.clients.sagemaker.list_pipeline_executions(PipelineName=pipeline, MaxResults=100)
        return list(listed["PipelineExecutionSummaries"])

    def register(self, group: str) -> int:
        """A package that waits for approval; its version."""
        sagemaker = self.clients.sagemaker
        if group not in {
            row["ModelPackageGroupName"]
            for row in sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
        }:
            sagemaker.create_model_package_group(ModelPackageGroupName=group)
        arn = sagemaker.create_model_package(ModelPackageGroupName=group)["ModelPackageArn"]
        return int(arn.rpartition("/")[2])

    def log(self, kind: str, job: str, *hosts: str, running: bool = True) -> list[Path]:
        """What the hosts of a job write, each into a file of its own; made where missing, else written on."""
        store = self.clients.sagemaker.store
        files = [Path(self.clients.home, "logs", job, f"{index}.log") for index in range(len(hosts))]
        for file, text in zip(files, hosts, strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", newline="") as opened:
                opened.write(text)
        body = {logs.BEGINS: [[str(file), 0] for file in files]}
        store.put(kind, job, body, "InProgress" if running else "Completed")
        return files


@contextmanager
def account(backend: LoopbackServer, folder: Path) -> Iterator[Account]:
    """With dummy credentials, and nothing of this machine's own configuration of AWS."""
    with front_of(backend) as front, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DARKROOM_HOME", str(folder / "own"))
        environment.setenv("AWS_ENDPOINT_URL", front.url)
        environment.setenv("AWS_ACCESS_KEY_ID", "dummy")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "dummy")
        environment.setenv("AWS_REGION", "us-east-1")
        environment.setenv("AWS_CONFIG_FILE", os.devnull)
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        environment.setenv("AWS_MAX_ATTEMPTS", "1")
        yield Account(front, backend.home)


def definition(path: Path, program: str = "print('hello')") -> str:
    """One processing step, Work, whose entry point is this program."""
    source = path.with_suffix(".py")
    source.write_text(program)
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
    arguments = {
        "AppSpecification": {"ImageUri": "img:1", "ContainerEntrypoint": ["python3", str(source)]},
        "ProcessingResources": {"ClusterConfig": cluster},
        "RoleArn": ROLE,
        "Environment": {"EPOCHS": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Epochs"}]}}},
    }
    steps = [{"Name": "Work", "Type": "Processing", "Arguments": arguments}]
    parameters = [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 2}]
    path.write_text(json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters, "Steps": steps}))
    return str(path)


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr without what the service's own process logs there."""
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    err = "".join(line for line in said.err.splitlines(keepends=True) if not line.startswith("127.0.0.1 - - ["))
    return code, said.out, err
