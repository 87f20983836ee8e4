"""`darkroom plan`: what an upsert would change, and what the next execution then does and costs; writes nothing."""

from __future__ import annotations

import os
import sys

from pipeline.cli import Command, target
from pipeline.cli.definitions import compiled_from, config_option
from pipeline.cli.home import home
from pipeline.cli.run import DATASET, pictures_here
from pipeline.cli.text import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from contextlib import ExitStack

    from pipeline.client import Clients
    from pipeline.compile import CompiledOnDisk
    from pipeline.plan.making import Plan, Subject
    from pipeline.plan.prices import Money

CHANGES = 3  # exit code of --exit-code where an upsert would change something


def arguments(parser: ArgumentParser) -> None:
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("definition", nargs="?", help="a definition in JSON; without it pipeline.yaml is compiled")
    config_option(subject)
    parser.add_argument("--name", help="name of the pipeline of a definition file (default: the file's name)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PARAMETER=VALUE", help="for the next execution; may be repeated"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="the plan as a file that `darkroom upsert FILE` sends")
    parser.add_argument("--prices", metavar="FILE", help='your own, as JSON: {"ml.m5.xlarge": 0.23}, USD an hour')
    parser.add_argument(
        "--exit-code", action="store_true", help=f"exit {CHANGES} when an upsert would change something"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="all of it, for programs")
    shape.add_argument("--markdown", action="store_true", help="for a comment on a pull request")
    target.arguments(parser)


def run(args: Namespace) -> int:
    import time
    from contextlib import ExitStack

    from pipeline.control import parameters
    from pipeline.definition import Definition
    from pipeline.plan.making import make

    given = parameters.parse(args.set)
    with ExitStack() as stack:
        aside = _aside(stack)
        subject, given = _subject(args, given, aside)
        parameters.check(Definition.parse(subject.text).parameters, given)
        plan = make(_clients(args, aside), subject, given, _money(args, subject), time.time())
        _show(args, plan)
        if args.output:
            _write(args.output, plan)
    return CHANGES if args.exit_code and plan.changes else 0


def _aside(stack: ExitStack) -> str:
    """A folder that is gone at the end: what is compiled and validated on the way is no trace of a plan."""
    import tempfile

    return stack.enter_context(tempfile.TemporaryDirectory(prefix="darkroom-plan-"))


def _clients(args: Namespace, aside: str) -> Clients:
    """Where nothing was ever done there is nothing to compare with, and no reason to leave a folder behind."""
    from pipeline.client import local_client

    if target.chosen(args) == target.AWS:
        return target.connect(args)
    where = home("" if args.definition else args.config)
    return local_client(where if os.path.exists(os.path.join(where, "store.sqlite3")) else aside)


def _subject(args: Namespace, given: dict[str, str], aside: str) -> tuple[Subject, dict[str, str]]:
    """What would be sent, checked; and the parameters, the dataset's address among them."""
    from pipeline import verdict
    from pipeline.plan.making import Subject

    if args.definition:
        from pipeline.cli.start import name_of, read

        text = read(args.definition)
        verdict.refuse(text, aside, args.definition)
        return Subject(args.name or name_of(args.definition), text), given
    return configured(args.config, args.name or "", given, aside)


def configured(config: str, name: str, given: dict[str, str], aside: str) -> tuple[Subject, dict[str, str]]:
    """The same of pipeline.yaml. The files of its code may lie in `aside`."""
    from pathlib import Path

    from pipeline import verdict
    from pipeline.config import load_config
    from pipeline.plan.making import Subject

    compiled = _compiled(config, aside)
    text = compiled.definition()
    verdict.refuse(text, aside)
    manifest = compiled.manifest
    subject = Subject(
        name or compiled.name,
        text,
        role_arn=manifest["role_arn"],
        description=manifest["description"],
        tags=tuple((tag["Key"], tag["Value"]) for tag in manifest["tags"]),
        assets=dict(compiled.assets()),
        config=load_config(Path(config)),
    )
    return subject, _with_dataset(compiled, given, home(config))


def _compiled(config: str, aside: str) -> CompiledOnDisk:
    from pipeline.compile import remembered

    return remembered(config, home(config)) or compiled_from(config, aside)


def _with_dataset(compiled: CompiledOnDisk, given: dict[str, str], where: str) -> dict[str, str]:
    """The address that `darkroom run` would copy pictures of this machine to: their content names it."""
    from pipeline.control import uploads

    path = pictures_here(compiled, given)
    if path is None:
        return given
    say(f"reading {path}")
    return {**given, DATASET: uploads.address(where, path, compiled.manifest["dataset"]["folder"])}


def _money(args: Namespace, subject: Subject) -> Money:
    """Of --prices; without it of pipeline.yaml, where that is what is planned."""
    from datetime import UTC, datetime

    from pipeline.plan import prices

    today = datetime.now(UTC).date().isoformat()
    if args.prices:
        return prices.Money(prices.read(args.prices), args.prices, today)
    return prices.Money(subject.config.prices if subject.config else {}, args.config, today)


def _show(args: Namespace, plan: Plan) -> None:
    if args.json:
        from pipeline.cli.text import print_json
        from pipeline.plan.document import document

        print_json(document(plan))
    elif args.markdown:
        from pipeline.cli.plan_markdown import markdown

        sys.stdout.write(markdown(plan))
    else:
        from pipeline.cli.plan_text import lines

        for line in lines(plan, _width(), colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR")):
            print(line)


def _width() -> int:
    import shutil

    return max(60, min(140, shutil.get_terminal_size((100, 24)).columns))


def _write(path: str, plan: Plan) -> None:
    from datetime import UTC, datetime
    from importlib.metadata import version

    from pipeline.content import sha256
    from pipeline.plan import planfile

    subject = plan.subject
    planfile.write(
        path,
        planfile.PlanFile(
            *(subject.name, subject.text, planfile.digest(subject.text), plan.deployed),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            darkroom=version("darkroom"),
            role_arn=subject.role_arn,
            description=subject.description,
            tags=subject.tags,
            assets=tuple((uri, sha256(file)) for uri, file in sorted(subject.assets.items())),
        ),
    )
    print(f"plan in {path}", file=sys.stderr)


COMMANDS = {"plan": Command(arguments, run)}
