"""The command line: parse, one call, print. stdout is data, stderr is progress."""

from __future__ import annotations

import os
import sys
from collections import namedtuple

from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, HelpFormatter
    from collections.abc import Mapping, Sequence
    from typing import Any

# arguments(parser) declares what the command takes; run(namespace) does it and returns the exit code
Command = namedtuple("Command", "arguments run")

WIDTH = 100
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
SUMMARIES = {
    "run": "compile pipeline.yaml and run all of it on this machine",
    "compile": "write the pipeline definition",
    "validate": "check a definition, or pipeline.yaml, without any network",
    "plan": "show what an upsert would change, what would run again and what it costs",
    "upsert": "send pipeline.yaml, or a plan, as a new version of the pipeline",
    "start": "run a deployed version, or any definition, also one that darkroom did not compile",
    "versions": "list the versions of a pipeline and their aliases",
    "promote": "move an alias to a version",
    "rollback": "move an alias back to where its last promotion found it, or an endpoint to its last good model",
    "executions": "list what ran, newest first",
    "watch": "follow an execution with its logs to its end; Ctrl-C ends the watching alone",
    "show": "show one execution: steps, times, cache hits, metrics, failure reasons",
    "report": "write the page of an execution from which somebody can decide, and print its path",
    "logs": "print a step's log",
    "download": "fetch report, metrics and model of an execution into a folder",
    "stop": "stop an execution",
    "resume": "go on where an execution stopped or failed",
    "models": "list the registered models, newest first",
    "show-model": "show one model whole: figures, origin, data, code, where it is deployed",
    "compare": "compare two models, or one with the champion",
    "approve": "approve a model",
    "reject": "reject a model",
    "deploy": "put an approved model behind an endpoint, guarded, and follow that to its end",
    "predict": "classify images with a deployed model",
    "endpoints": "list the endpoints, newest first",
    "transform": "ask a model about all that lies in a folder or below an S3 prefix",
    "undeploy": "delete an endpoint and all that was made for it",
    "down": "delete endpoints that nobody asks, with what was made for them",
    "local": "serve SageMaker on this machine to boto3, the AWS CLI and the SageMaker SDK",
    "studio": "serve pages on loopback: executions as they run, models, endpoints; start, stop, approve, predict",
    "weights": "fetch ImageNet weights of a torchvision model, to start from",
    "iam": "print the policies that the pipeline's roles need on AWS, and no more",
    "check": "find what an AWS account lacks for this pipeline, before money is spent",
    "infra": "render the AWS account around the pipeline as a CloudFormation template",
    "config": "print the JSON Schema of pipeline.yaml",
}

# the commands of a hint that lead to AWS or not
TARGETED = (
    *("plan", "upsert", "start", "versions", "promote", "rollback", "executions", "show", "logs", "stop", "resume"),
    *(
        "watch",
        "download",
        "report",
        "models",
        "show-model",
        "compare",
        "approve",
        "reject",
        "predict",
        "endpoints",
        "down",
    ),
    *("deploy", "undeploy", "transform", "studio"),
)

_MODULES = {  # module → the commands that it holds
    "definitions": ("compile", "validate", "config"),
    "versions": ("versions", "promote", "rollback"),
    "executions": ("executions", "logs", "stop", "resume"),
    "models": ("models", "approve", "reject"),
    "show_model": ("show-model",),
    "endpoints": ("predict", "endpoints"),
    "deployments": ("deploy", "undeploy"),
    **{name: (name,) for name in ("run", "plan", "upsert", "start", "compare", "local", "show", "weights", "iam")},
    **{name: (name,) for name in ("transform", "check", "down", "download", "infra", "report", "studio", "watch")},
}


def execute(argv: Sequence[str], session: Any = None) -> int:
    """Runs one command; every expected failure becomes two lines and exit code 1. `session`: see client.py."""
    try:
        code = _dispatch(argv, session)
        sys.stdout.flush()
        return code
    except DarkroomError as exc:
        complain(exc, argv)
        return FAILED
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has gone (`darkroom logs … | head`): nothing to say, and nothing to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def complain(error: DarkroomError, typed: Sequence[str] = ()) -> None:
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint:  {spelled(error.hint, typed)}", file=sys.stderr)


def spelled(hint: str, typed: Sequence[str] = ()) -> str:
    """A hint that is a command, as it has to be typed in this shell, to reach what the command `typed` reached."""
    if not hint.startswith("darkroom "):
        return hint
    from pipeline.cli.home import darkroom
    from pipeline.cli.target import typed as options

    lasting = options(typed) if hint.split()[1] in TARGETED and "," not in hint else ""
    return hint.replace("darkroom ", f"{darkroom()} ") + lasting


def _dispatch(argv: Sequence[str], session: Any) -> int:
    name = argv[0] if argv else ""
    if name in SUMMARIES:
        args = parser(name).parse_args(argv[1:])
        args.typed = argv  # for whoever says what to type next
        args.session = session
        return int(command(name).run(args))
    if name in ("-h", "--help", "help"):
        print(overview())
        return DONE
    if name == "--version":
        from importlib.metadata import version

        print(version("darkroom"))
        return DONE
    return _unknown(name)


def parser(name: str) -> ArgumentParser:
    """Only for the command in use: building all of them would cost each start several milliseconds."""
    from argparse import ArgumentParser

    made = ArgumentParser(
        prog=f"darkroom {name}", description=SUMMARIES[name], allow_abbrev=False, formatter_class=_formatter
    )
    command(name).arguments(made)
    return made


def command(name: str) -> Command:
    """Only the module of the command in use is imported: each costs milliseconds."""
    module = next(module for module, names in _MODULES.items() if name in names)
    commands: Mapping[str, Command] = __import__(f"pipeline.cli.{module}", fromlist=["COMMANDS"]).COMMANDS
    return commands[name]


def _formatter(prog: str) -> HelpFormatter:
    """With a width, because argparse imports shutil (2 ms) to find one even where it prints nothing."""
    from argparse import HelpFormatter

    columns = os.environ.get("COLUMNS", "")
    return HelpFormatter(prog, width=int(columns) - 2 if columns.isdigit() else WIDTH)


def _unknown(name: str) -> int:
    if not name:
        print(overview(), file=sys.stderr)
        return USAGE
    from pipeline.control.parameters import nearest

    complain(DarkroomError(f"there is no command {name!r}{nearest(name, SUMMARIES)}", "darkroom --help"))
    return USAGE


def overview() -> str:
    lines = [f"  {name:<11} {summary}" for name, summary in SUMMARIES.items()]
    return "\n".join(
        [
            "usage: darkroom COMMAND [options]     (darkroom COMMAND --help tells more)",
            "",
            "One pipeline.yaml becomes a SageMaker pipeline's definition, which runs on this machine, in CI and, by",
            "the same commands with --target aws, in an AWS account.",
            "",
            *lines,
            "",
            "State lives in .darkroom/ beside pipeline.yaml; DARKROOM_HOME moves it.",
        ]
    )
