"""`darkroom transform`: a model asked about all that lies in a folder or below an S3 prefix."""

from __future__ import annotations

from pipeline.cli import Command, target
from pipeline.cli.definitions import config_option
from pipeline.cli.models import group_option
from pipeline.cli.text import print_json, say, whole
from pipeline.control import registry, transforms
from pipeline.errors import DarkroomError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from pipeline.client import Clients
    from pipeline.config import Config

_LOOK_S = 0.1  # on AWS twenty times as long


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL|N", help="a registered model's version, or a model's name in SageMaker")
    parser.add_argument("input", metavar="INPUT", help="folder, file, or s3://bucket/prefix/")
    parser.add_argument("output", metavar="OUTPUT", help="folder, or s3://bucket/prefix/; answers are called NAME.out")
    config_option(parser)
    group_option(parser)
    kinds = {"--content-type": "application/octet-stream", "--accept": "application/json"}
    for option, default in kinds.items():
        parser.add_argument(option, default=default, metavar="TYPE", help=f"default: {default}")
    parser.add_argument("--split", choices=transforms.SPLITS, default="None", help="Line: each line is a record")
    parser.add_argument("--strategy", choices=transforms.STRATEGIES, default="MultiRecord", help="records in a request")
    parser.add_argument("--assemble", choices=transforms.SPLITS, default="None", help="what stands between answers")
    parser.add_argument("--payload-mb", type=whole(0, 100), default=6, metavar="MB", help="of a request (default: 6)")
    parser.add_argument(
        "--concurrent", type=whole(1, 100), default=8, metavar="N", help="requests at once (default: 8)"
    )
    parser.add_argument("--instance-type", default="", metavar="TYPE", help="machine; default: deploy.instance_type")
    parser.add_argument("--name", default="", metavar="NAME", help="of the job; default: a new one")
    parser.add_argument("--json", action="store_true", help="the job as SageMaker describes it")
    target.arguments(parser)


def run(args: Namespace) -> int:
    """stdout: where the answers lie."""
    from pathlib import Path

    from pipeline.client import request_token
    from pipeline.config import load_config, transforming

    config, clients = load_config(Path(args.config)), target.used(args)
    members = transforming.job_members(config, transforming.machine(config, args.instance_type))
    name = args.name or f"{config.pipeline.name[:40].rstrip('-')}-transform-{request_token()[:12]}"
    here = not args.output.startswith("s3://")
    place = config.pipeline.address("transforms", "output", name) if here else args.output
    how = transforms.How(
        args.content_type, args.accept, args.split, args.strategy, args.assemble, args.payload_mb, args.concurrent
    )
    transforms.check_size(how)
    model = _model(clients, args, config)
    asked = transforms.source(clients, args.input, config.pipeline.address("transforms", "input"))
    wanted = transforms.request(name, model, (asked, place), how, members)
    try:
        transforms.begin(clients, wanted)
        job = transforms.follow(clients, name, _LOOK_S, say)
    except Unavailable:
        say(f"job {name} goes on if it was begun; the same command with --name {name} begins no other one")
        raise
    if args.json:
        print_json(job)
    if here:
        _fetch(clients, job, place, args.output)
    transforms.check(job)
    if not args.json:
        print(args.output)
    return 0


def _fetch(clients: Clients, job: dict[str, Any], place: str, folder: str) -> None:
    """What was answered, also by a job that failed: its own reason then comes before what is wrong here."""
    try:
        say(f"{transforms.fetch(clients, place, folder)} answers")
    except DarkroomError:
        transforms.check(job)
        raise


def _model(clients: Clients, args: Namespace, config: Config) -> str:
    if not args.model.isdecimal():
        return str(args.model)
    from pipeline.config import transforming

    package = registry.find(clients, int(args.model), args.group)
    members = transforming.model_members(config)
    return transforms.model_of(clients, package, config.role("deploy_model"), members)


COMMANDS = {"transform": Command(arguments, run)}
