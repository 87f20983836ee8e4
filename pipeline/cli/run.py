"""`darkroom run`: pipeline.yaml → compiled, checked, started, followed, reported."""

from __future__ import annotations

import os

from pipeline.cli import Command, target
from pipeline.cli.definitions import compiled_from, config_option
from pipeline.cli.home import darkroom, home, shown
from pipeline.cli.text import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from pipeline.client import Clients
    from pipeline.compile import CompiledOnDisk

DATASET = "DatasetUri"
PICTURES = (".png", ".jpg", ".jpeg")


def arguments(parser: ArgumentParser) -> None:
    config_option(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PARAMETER=VALUE",
        help="a value for this run alone, such as AccuracyThreshold=0.9 or DatasetUri=pictures.zip; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="at the end what `show --json` prints")
    target.arguments(parser)


def run(args: Namespace) -> int:
    from pipeline import commit, verdict
    from pipeline.cli.follow import follow
    from pipeline.client import local_client
    from pipeline.control import executions, parameters, pipelines
    from pipeline.definition import Definition

    target.only_here(
        args, "--target local; on AWS: darkroom upsert --target aws, then darkroom start --target aws --wait"
    )
    given = parameters.parse(args.set)
    where = home(args.config)
    compiled = compiled_from(args.config, where)
    text = compiled.definition()
    verdict.refuse(text, where)
    parameters.check(Definition.parse(text).parameters, given)  # before gigabytes of pictures are copied
    clients = local_client(where)
    given = with_dataset(clients, compiled, given)
    _upsert(clients, compiled, text)
    told = commit.described(commit.of(os.path.dirname(os.path.abspath(args.config))))
    arn = pipelines.start(clients, compiled.name, text, given, more=told)
    say(f"{compiled.name}: execution {executions.identifier(arn)} started")
    code = follow(clients, arn, args.typed)
    finish(clients, arn, code, args.json)
    return code


def _upsert(clients: Clients, compiled: CompiledOnDisk, text: str) -> None:
    from pipeline.control import local_setup, pipelines, uploads

    local_setup.put(clients, compiled)
    uploads.put_model_files(clients, compiled)
    manifest = compiled.manifest
    pipelines.upsert(
        clients,
        compiled.name,
        text,
        role=manifest["role_arn"],
        description=manifest["description"],
        tags=manifest["tags"],
    )


def pictures_here(compiled: CompiledOnDisk, given: dict[str, str]) -> str | None:
    """The folder or archive of this machine that a run copies to S3, None for other pictures. Raises ConfigError."""
    from pipeline.dataset_source import in_s3, located

    if compiled.manifest["dataset"]["source"] is None or in_s3(given.get(DATASET, "")):
        return None
    return located(given[DATASET], os.getcwd(), ("--set", DATASET)) if DATASET in given else compiled.dataset_path()


def with_dataset(clients: Clients, compiled: CompiledOnDisk, given: dict[str, str]) -> dict[str, str]:
    """A folder or an archive on this machine becomes an address that its content names."""
    from pipeline.control import uploads

    path = pictures_here(compiled, given)
    if path is None:
        return given
    say(f"reading {path}")
    return {**given, DATASET: uploads.put(clients, path, compiled.manifest["dataset"]["folder"])}


def finish(clients: Clients, arn: str, code: int, as_json: bool) -> None:
    """The report, then what came out and what to type next."""
    from pipeline.cli.report import money
    from pipeline.control import executions, health
    from pipeline.report import write_report

    path = write_report(clients, arn, money=money(clients))
    if as_json:
        from pipeline.cli.show import in_full
        from pipeline.cli.text import print_json

        print_json(in_full(clients, arn))
    elif code == 0:
        _close(clients, arn, executions.steps(clients, arn), path)
    else:
        if judged := health.read(clients, executions.steps(clients, arn)):
            say(f"health    {health.told(judged)}")
        say(f"report    {shown(path)}")


def _close(clients: Clients, arn: str, steps: list[dict[str, Any]], report: str) -> None:
    from pipeline.control import champion, health, outcome

    evaluation = outcome.evaluation(clients, arn, steps)
    measured = outcome.accuracy(evaluation)
    packages = outcome.packages(clients, steps)
    print()
    if measured is not None:
        print(f"accuracy  {measured:.4f}")
    if against := champion.told(evaluation):
        print(f"champion  {against}")
    if judged := health.read(clients, steps):
        print(f"health    {health.told(judged)}")
    for package in packages:
        version, status = package["ModelPackageVersion"], package["ModelApprovalStatus"]
        print(f"model     version {version} of {package['ModelPackageGroupName']}, {status}")
    print(f"report    {shown(report)}")
    commands = _next(clients, steps, packages[-1]) if packages else []
    if commands:
        print("next")
    for command in commands:
        print(f"  {command}")


def _next(clients: Clients, steps: list[dict[str, Any]], package: dict[str, Any]) -> list[str]:
    """The way to an answer about a picture."""
    from pipeline.control import registry

    version, approved = package["ModelPackageVersion"], package["ModelApprovalStatus"] == registry.APPROVED
    image = "" if clients.place else sample_image(clients, steps)
    commands = [
        *([] if approved else [f"approve {version}"]),
        f"deploy {version}",
        f"predict {shown(image) if image else 'IMAGE'}",
    ]
    return [f"{darkroom()} {command}{clients.options}" for command in commands]


def sample_image(clients: Clients, steps: list[dict[str, Any]]) -> str:
    """A real picture to try a prediction with: PrepareData leaves some in its report. Empty if there is none."""
    from pipeline.control import outcome

    for step in steps:
        address = outcome.output_address(clients, step, "report") if step["StepType"] == "Processing" else ""
        for entry in clients.storage.list(f"{address.rstrip('/')}/samples/") if address else ():
            if os.path.splitext(entry.uri)[1].lower() in PICTURES:
                return str(entry.path)
    return ""


COMMANDS = {"run": Command(arguments, run)}
