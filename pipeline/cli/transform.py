"""`darkroom transform`: a model asked about all that lies in a folder or below an S3 prefix."""

from __future__ import annotations

import sys

from pipeline.cli import Command, target
from pipeline.cli.definitions import config_option
from pipeline.cli.models import group_option
from pipeline.cli.text import print_json, whole
from pipeline.control import registry, transforms
from pipeline.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

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
    parser.add_argument("--name", default="", metavar="NAME", help="of the job; default: a new one")
    parser.add_argument("--json", action="store_true", help="the job as SageMaker describes it")
    target.arguments(parser)


def run(args: Namespace) -> int:
    """stdout: where the answers lie."""
    from pathlib import Path

    from pipeline.client import request_token
    from pipeline.config import load_config

    config, clients = load_config(Path(args.config)), target.used(args)
    model = _model(clients, args, config)
    name = args.name or f"{config.pipeline.name[:40].rstrip('-')}-transform-{request_token()[:12]}"
    here = not args.output.startswith("s3://")
    place = config.pipeline.address("transforms", "output", name) if here else args.output
    asked = transforms.source(clients, args.input, config.pipeline.address("transforms", "input"))
    how = transforms.How(
        args.content_type, args.accept, args.split, args.strategy, args.assemble, args.payload_mb, args.concurrent
    )
    wanted = transforms.request(name, model, config.deploy.instance_type, (asked, place), how)
    try:
        transforms.begin(clients, wanted)
        job = transforms.follow(clients, name, _LOOK_S, _say)
    except Unavailable:
        _say(f"job {name} goes on if it was begun; the same command with --name {name} begins no other one")
        raise
    if here:
        count = transforms.fetch(clients, place, args.output)
        _say(f"{count} answers")
    if args.json:
        print_json(job)
    else:
        print(args.output)
    return 0


def _model(clients: Clients, args: Namespace, config: Config) -> str:
    if not args.model.isdecimal():
        return str(args.model)
    package = registry.find(clients, int(args.model), args.group)
    return transforms.model_of(clients, package, config.role("deploy_model"))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


COMMANDS = {"transform": Command(arguments, run)}
