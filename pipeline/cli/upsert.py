"""`darkroom upsert`: pipeline.yaml, or a plan, becomes a version of the pipeline on AWS or on this machine."""

from __future__ import annotations

import os

from pipeline.cli import Command, target
from pipeline.cli.definitions import compiled_from, config_option
from pipeline.cli.home import darkroom, home
from pipeline.cli.text import say
from pipeline.control.versions import CURRENT
from pipeline.errors import DarkroomError, ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pipeline.client import Clients
    from pipeline.compile import CompiledOnDisk
    from pipeline.control.upserting import Done, Wanted
    from pipeline.plan.planfile import PlanFile

_SAID = {
    "created": "version {} is the first",
    "updated": "version {} holds it",
    "completed": "version {} was there; its alias and description were not",
    "tagged": "version {} was there; its tags were not",
    "": "nothing changed: version {} holds it already",
}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "plan", nargs="?", metavar="FILE", help="a plan of `plan -o`: its bytes, unless others upserted"
    )
    config_option(parser)
    parser.add_argument(
        "--alias", default=CURRENT, metavar="ALIAS", help=f"names the new version from now on (default: {CURRENT})"
    )
    parser.add_argument("--role", default="", metavar="ARN", help="of a new pipeline, where the plan names none")
    parser.add_argument("--json", action="store_true", help="what came of it, as one object")
    target.arguments(parser)


def run(args: Namespace) -> int:
    """stdout: the version's number."""
    from pipeline import commit, verdict
    from pipeline.cli.partial import so_far
    from pipeline.control import upserting, versions

    versions.check(args.alias)
    plan = _plan(args.plan)
    compiled = _compiled(args, plan)
    wanted = _wanted(plan, compiled)
    wanted = wanted._replace(role=wanted.role or args.role)
    verdict.refuse(wanted.definition, home(args.config))
    if target.chosen(args) == target.AWS:
        upserting.refuse_placeholder(wanted)
    clients = target.connect(args)
    if plan:
        _refuse_moved(clients, plan)
    with so_far("the pipeline was not touched; code that is in S3 already stays there"):
        sent = _sent(args, clients, plan, compiled)
    again = f"{darkroom()} {' '.join(args.typed)}"
    with so_far(f"what was not done yet is done by the same command again: {again}"):
        done = upserting.upsert(clients, wanted, args.alias, commit.of(os.path.dirname(os.path.abspath(args.config))))
    _tell(args, wanted, plan, done, sent)
    return 0


def _plan(path: str | None) -> PlanFile | None:
    if not path:
        return None
    from pipeline.plan import planfile

    return planfile.read(path)


def _compiled(args: Namespace, plan: PlanFile | None) -> CompiledOnDisk | None:
    """A plan goes without pipeline.yaml where its code is in S3; and with another one's compilation nothing is done."""
    if plan and not os.path.exists(args.config):
        return None
    compiled = compiled_from(args.config, home(args.config))
    return None if plan and compiled.definition() != plan.definition else compiled


def _wanted(plan: PlanFile | None, compiled: CompiledOnDisk | None) -> Wanted:
    from pipeline.control import code
    from pipeline.control.upserting import Wanted

    if plan:
        tags = [{"Key": key, "Value": value} for key, value in plan.tags]
        place = code.place(uri for uri, _ in plan.assets)
        return Wanted(plan.pipeline, plan.definition, plan.role_arn, plan.description, tags, place)
    if compiled is None:
        raise AssertionError("without a plan, pipeline.yaml is compiled")
    manifest = compiled.manifest
    place = code.place(uri for uri, _ in compiled.assets())
    words = manifest["role_arn"], manifest["description"], manifest["tags"]
    return Wanted(compiled.name, compiled.definition(), *words, place)


def _refuse_moved(clients: Clients, plan: PlanFile) -> None:
    """Raises DarkroomError where something else is deployed than the plan was compared with."""
    from pipeline.control import upserting
    from pipeline.plan.planfile import digest

    now, then = upserting.look(clients, plan.pipeline), plan.deployed
    if now is not None and upserting.holds(now, plan.definition) and (not then or then.arn == now.arn):
        return  # it is there: this very upsert was interrupted, or there is nothing to do
    if now is None and then is None:
        return
    if (
        now
        and then
        and (now.arn, now.version or then.version, digest(now.definition))
        == (
            then.arn,
            then.version or now.version,
            then.sha256,
        )
    ):
        return
    was = f"version {then.version} of {then.arn}" if then else "no pipeline"
    found = f"version {now.version} of {now.arn}" if now else "no pipeline"
    raise DarkroomError(
        f"{plan.pipeline} has moved since the plan was made, {plan.made_at}: then {was}, now {found}",
        "look at what changed, and make a new plan: darkroom plan -o FILE",
    )


def _sent(args: Namespace, clients: Clients, plan: PlanFile | None, compiled: CompiledOnDisk | None) -> int:
    try:
        return _put_code(args, clients, plan, compiled)
    except ServiceError as exc:
        if exc.code == "NoSuchBucket" and not exc.hint:
            exc.hint = "darkroom infra writes the template that makes it; or name one that is there, in pipeline.bucket"
        raise


def _put_code(args: Namespace, clients: Clients, plan: PlanFile | None, compiled: CompiledOnDisk | None) -> int:
    """How many files were not there yet."""
    from pipeline.control import code, local_setup, uploads

    here = dict(compiled.assets()) if compiled else {}
    sent = code.put_planned(clients, plan.assets, here) if plan else code.put(clients, here.items())
    if compiled:
        uploads.put_model_files(clients, compiled)
        if target.chosen(args) == target.LOCAL:  # on AWS, infra/ makes functions, and images are in its registry
            local_setup.put(clients, compiled)
    return sent


def _tell(args: Namespace, wanted: Wanted, plan: PlanFile | None, done: Done, sent: int) -> None:
    if args.json:
        from pipeline.cli.text import print_json
        from pipeline.digest import sha256_hex

        digest = sha256_hex(wanted.definition.encode())
        what = {"PipelineArn": done.arn, "PipelineVersionId": done.version, "Changed": done.changed or None}
        print_json({**what, "Alias": args.alias, "AliasVersionId": done.alias_at or None, "Sha256": digest})
    else:
        print(done.version)
    files = f"{sent} files of code sent" if sent else "all code was there"
    say(f"{wanted.name}: {_SAID[done.changed].format(done.version)}; {files}")
    if plan and plan.deployed and done.changed == "updated" and done.version > plan.deployed.version + 1:
        say(f"version {done.version - 1} came in between, from somebody else: darkroom versions")
    if done.newer:
        say(f"version {done.newer} is newer, and somebody else's: {args.alias} and the tags follow that one")
    elif done.alias_at != done.version:
        move = f"{darkroom()} promote {args.alias} {done.version}"
        say(f"{args.alias} was moved since, to {done.alias_at or 'no version'}, and is left there: {move}")


COMMANDS = {"upsert": Command(arguments, run)}
