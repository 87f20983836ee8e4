"""`darkroom deploy`, `undeploy`, `rollback --endpoint`: what the deploying function does, asked for and followed."""

from __future__ import annotations

from functools import partial

from pipeline.cli import Command, target
from pipeline.cli.definitions import config_option
from pipeline.cli.home import darkroom
from pipeline.cli.models import group_option
from pipeline.cli.text import print_json, say, whole
from pipeline.control import deployments, endpoints, registry
from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Any

    from pipeline.client import Clients, Hosting
    from pipeline.config import Config
    from pipeline.control.deployments import Deployment

_LOOK_S = 0.25  # on AWS twenty times as long
_LOST_HERE_S = 5.0


def deploy_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", nargs="?", type=int, metavar="N", help="default: the newest approved model")
    config_option(parser)
    parser.add_argument(
        "--stage",
        choices=registry.STAGES,
        default=registry.PRODUCTION,
        help="staging takes models that are not approved, too",
    )
    parser.add_argument("--endpoint", default="", metavar="NAME", help="default: that of pipeline.yaml for the stage")
    parser.add_argument("--port", type=whole(0, 65535), default=0, metavar="PORT", help="here; default: a free one")
    group_option(parser)
    parser.add_argument("--json", action="store_true", help="what came of it as JSON")
    target.arguments(parser)


def deploy_command(args: Namespace) -> int:
    """stdout: the address that answers /ping and /invocations; on AWS the endpoint's name."""
    clients = target.used(args)
    if clients.place and args.port:
        raise DarkroomError(f"--port {args.port} means nothing{clients.place}", "leave it out")
    package = registry.deployable(clients, args.version, args.group, args.stage)
    config = _config(args)
    hosting, function = _function(args, clients, config)
    event = _request(config, args, package)
    name = event["endpoint_name"]
    say(f"deploying version {package['ModelPackageVersion']} to {name}{clients.place}")
    answer = function("start", **{key: value for key, value in event.items() if key != "action"} | {"endpoint": name})
    seen = _followed(clients, hosting, function, name, _asked(answer, name))
    if clients.place:
        return _tell(args, seen, name)
    from pipeline.control import local_setup

    code = _tell(args, seen, local_setup.serve(clients, name, args.port))
    say(f"next: {darkroom()} predict IMAGE, and at the end {darkroom()} undeploy {name}")
    return code


def _request(config: Config, args: Namespace, package: dict[str, Any]) -> dict[str, str]:
    from pipeline.config.deployment import request

    event = {**request(config, args.stage), "model_package_arn": package["ModelPackageArn"]}
    return event | ({"endpoint_name": args.endpoint} if args.endpoint else {})


def rollback(args: Namespace) -> int:
    """`darkroom rollback --endpoint [NAME]`: to the good deployment before the last one. stdout: the configuration."""
    from pipeline.config.deployment import production_name

    clients, config = target.used(args), _config(args)
    hosting, function = _function(args, clients, config)
    name = args.endpoint or production_name(config)
    answer = function("rollback", name)
    seen = _followed(clients, hosting, function, name, _asked(answer, name))
    return _tell(args, seen, seen.serves)


def undeploy_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the endpoint's name")
    config_option(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")
    target.arguments(parser)


def undeploy_command(args: Namespace) -> int:
    """Says what goes, asks, and returns when it has gone."""
    from pipeline.cli.down import confirmed
    from pipeline.control import removal

    clients = target.used(args)
    hosting = target.hosting(args, clients.home)
    seen = deployments.look(hosting, args.name)
    parts = removal.parts(hosting, args.name, ours=seen is None or bool(seen.asked))
    if not parts and seen is None:
        endpoints.find(clients, args.name)
    for part in parts:
        say(f"would delete {part.kind} {part.name}")
    args.json = False
    if not confirmed(args, parts):
        return 0
    if seen is not None and seen.asked:
        _taken_down(args, clients, hosting)
    _settled(clients, hosting, args.name)
    # what the function left, or never made; a second look, for it has changed meanwhile
    removal.remove(removal.parts(hosting, args.name, ours=seen is None or bool(seen.asked)), say)
    _gone(clients, hosting, args.name)
    say(f"{args.name} is deleted")
    return 0


def _taken_down(args: Namespace, clients: Clients, hosting: Hosting) -> None:
    """By the function, which waits for a change that is under way."""
    _, function = _function(args, clients, _config(args))
    again = partial(function, "undeploy", args.name)
    again()
    deployments.follow(hosting, args.name, lambda seen: seen is None, _watcher(clients, again, _show))


def _settled(clients: Clients, hosting: Hosting, name: str) -> None:
    """An endpoint that is being changed cannot be deleted."""
    _watch(clients, hosting, name, lambda seen: seen is None or seen.status not in endpoints.IN_PROGRESS)


def _gone(clients: Clients, hosting: Hosting, name: str) -> None:
    _watch(clients, hosting, name, lambda seen: seen is None)


def _watch(clients: Clients, hosting: Hosting, name: str, over: Callable[[Deployment | None], bool]) -> None:
    deployments.follow(hosting, name, over, _watcher(clients, lambda: None, lambda _: None))


def _asked(answer: dict[str, Any], name: str) -> str:
    """The configuration that is to serve. Raises DarkroomError where somebody asked for something else later."""
    if answer.get("phase") == deployments.SUPERSEDED:
        raise DarkroomError(f"a later request for {name!r} came first: {answer['endpoint_config_name']}", "try again")
    return str(answer["endpoint_config_name"])


def _followed(clients: Clients, hosting: Hosting, function: deployments.Function, name: str, asked: str) -> Deployment:
    over = partial(deployments.is_over, asked=asked)
    nudge = partial(deployments.nudge, function, name, asked, say)
    try:
        seen = deployments.follow(hosting, name, over, _watcher(clients, nudge, _show))
    except (KeyboardInterrupt, DarkroomError):
        say(f"\nthe deployment goes on; {darkroom()} endpoints{clients.options}")
        raise
    return deployments.outcome(name, seen, asked)


def _watcher(clients: Clients, nudge: Callable[[], object], show: Callable[[Deployment], None]) -> deployments.Watcher:
    lost_s = deployments.LOST_S if clients.place else _LOST_HERE_S
    return deployments.Watcher(show, nudge, partial(clients.pause, _LOOK_S), lost_s)


def _show(seen: Deployment) -> None:
    for line in deployments.told(seen):
        say(line)


def _tell(args: Namespace, seen: Deployment, line: str) -> int:
    if not args.json:
        print(line)
        return 0
    print_json(
        {
            "EndpointName": seen.name,
            "EndpointStatus": seen.status,
            "EndpointConfigName": seen.serves,
            "Phase": seen.phase,
            "Good": seen.good,
            "Before": seen.before or None,
            "ProductionVariants": [
                {"VariantName": each.variant, "CurrentInstanceCount": each.count} for each in seen.fleets
            ],
        }
    )
    return 0


def _config(args: Namespace) -> Config:
    from pathlib import Path

    from pipeline.config import load_config

    return load_config(Path(args.config))


def _function(args: Namespace, clients: Clients, config: Config) -> tuple[Hosting, deployments.Function]:
    """On this machine its code is that of the project, as it is now."""
    hosting = target.hosting(args, clients.home)
    if not clients.place:
        import os

        from pipeline.compile import entrypoints_root
        from pipeline.control import local_setup

        local_setup.put_deploying(clients, config.deploy_function, entrypoints_root(os.path.abspath(args.config)))
    return hosting, deployments.Function(hosting, config.deploy_function)


COMMANDS = {
    "deploy": Command(deploy_arguments, deploy_command),
    "undeploy": Command(undeploy_arguments, undeploy_command),
}
