"""`darkroom iam`: the policies that the roles of this pipeline need, and no more."""

from __future__ import annotations

import sys

from pipeline.cli import Command
from pipeline.cli.definitions import compiled_from, config_option, read_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from pipeline.iam.policies import Role
    from pipeline.iam.statements import Statement

# pipeline/iam/policies.py has the same; it would bring pydantic into --help
KINDS = ("execution", "ci-plan", "ci-deploy", "deploy-lambda", "champion-lambda", "invoke-lambda", "approver", "check")
_SUBJECTS = {"ci-plan": "--plan-subject", "ci-deploy": "--deploy-subject"}
_OF_PEOPLE = "no trust policy: attach its policies to whoever asks"


def arguments(parser: ArgumentParser) -> None:
    config_option(parser)
    parser.add_argument("--role", choices=KINDS, metavar="KIND", help=f"one of {', '.join(KINDS)}; default: all")
    parser.add_argument(
        "--plan-subject", metavar="SUBJECT", help="whose token takes ci-plan: repo:OWNER/NAME:pull_request"
    )
    parser.add_argument(
        "--deploy-subject", metavar="SUBJECT", help="whose token takes ci-deploy: repo:OWNER/NAME:ref:refs/heads/main"
    )
    read_option(parser)
    parser.add_argument("--json", action="store_true", help="trust policies and policies as IAM takes them")


def run(args: Namespace) -> int:
    """Offline: computed from pipeline.yaml and the definition that it compiles to."""
    from pathlib import Path

    from pipeline.cli.home import home
    from pipeline.cli.text import print_json
    from pipeline.config import load_config
    from pipeline.definition import Definition
    from pipeline.iam import check, policies, scope

    compiled = compiled_from(args.config, home(args.config))
    given = {"ci-plan": args.plan_subject, "ci-deploy": args.deploy_subject}
    found = policies.roles(
        load_config(Path(args.config)),
        Definition.parse(compiled.definition()),
        [scope.address(each) for each in args.read],
        {kind: subject for kind, subject in given.items() if subject},
    )
    check.refuse(found)
    chosen = [role for role in found if args.role in (None, role.kind)]
    _tell_what_is_missing(chosen, args.role)
    if args.json:
        print_json([policies.as_json(role) for role in chosen])
    else:
        print("\n\n".join(_told(role) for role in chosen))
    return 0


def _tell_what_is_missing(chosen: Sequence[Role], asked: str | None) -> None:
    if asked and not chosen:
        print(f"this pipeline has no {asked}: evaluation.compare_with_champion is false", file=sys.stderr)
    for role in chosen:
        if role.trust is None:
            missing = f"no trust policy without {_SUBJECTS[role.kind]}" if role.kind in _SUBJECTS else _OF_PEOPLE
            print(f"{role.kind}: {missing}; docs/aws.md", file=sys.stderr)


def _told(role: Role) -> str:
    from pipeline.iam.statements import size

    sizes = [size(each) for each in role.policies().values()]
    several = f"{len(sizes)} policies" if len(sizes) > 1 else "1 policy"
    head = f"{role.kind}: {role.arn}\n  for {role.purpose}; {several}, {sum(sizes):,} characters"
    return "\n".join([head, *(_line(each) for each in role.statements)])


def _line(statement: Statement) -> str:
    import json

    lines = [f"  {statement.sid}: {' '.join(statement.actions)}", *(f"      {each}" for each in statement.resources)]
    return "\n".join([*lines, *([f"    if {json.dumps(statement.conditions)}"] if statement.conditions else [])])


COMMANDS = {"iam": Command(arguments, run)}
