"""`darkroom start` of what is deployed: which version, which of its steps, and with what in place of the others."""

from __future__ import annotations

import os

from pipeline.cli import target
from pipeline.cli.definitions import compiled_from
from pipeline.cli.home import CONFIG, home
from pipeline.cli.run import DATASET, with_dataset
from pipeline.cli.start import Starting
from pipeline.cli.text import say
from pipeline.cli.versions import pipeline_name
from pipeline.control import executions, selection, versions
from pipeline.control.times import moment
from pipeline.definition import Definition
from pipeline.errors import DarkroomError
from pipeline.wording import listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.client import Clients

_LISTED = 6  # steps that are named


def deployed(args: Namespace, given: dict[str, str]) -> tuple[Clients, Starting]:
    """The version that was asked for, else the one that `current` names, else the newest."""
    if args.role:
        raise DarkroomError("--role is for a pipeline that a file makes", "leave out --role, or name the file")
    clients = target.used(args)
    name = pipeline_name(clients, args.name or "")
    version = versions.find(clients, name, args.version, args.alias)
    found = clients.sagemaker.describe_pipeline(PipelineName=name, PipelineVersionId=version.id)
    text = str(found["PipelineDefinition"])
    if not args.name and os.path.exists(CONFIG) and DATASET in Definition.parse(text).parameters:
        given = with_dataset(clients, compiled_from(CONFIG, home()), given)  # pictures that lie on this machine
    called = f" ({', '.join(version.aliases)})" if version.aliases else ""
    say(f"{name}: version {version.id}{called}")
    return clients, Starting(name, text, given, {"PipelineVersionId": version.id})


def selected(args: Namespace, clients: Clients, what: Starting) -> Starting:
    """Only these steps; outputs of the others, and all parameters that are not given, are an earlier execution's."""
    definition = Definition.parse(what.text)
    steps = selection.onwards(definition, args.onwards) if args.onwards else selection.only(definition, args.only)
    source = selection.source(clients, what.name, definition, steps)
    config = {"SelectedSteps": [{"StepName": step} for step in steps]}
    given = what.given
    named = listed(steps, _LISTED)
    if not source:
        say(f"runs {named}; they need nothing of the other steps")
        return what._replace(more={**what.more, "SelectiveExecutionConfig": config})
    before = executions.parameter_values(clients, source)
    given = {**{name: value for name, value in before.items() if name in definition.parameters}, **given}
    described = executions.describe(clients, source)
    when, status = moment(described["CreationTime"]), described["PipelineExecutionStatus"]
    say(f"runs {named}; for the rest, and for parameters, execution {executions.identifier(source)} ({status}, {when})")
    config["SourcePipelineExecutionArn"] = source  # type: ignore[assignment]
    return what._replace(given=given, more={**what.more, "SelectiveExecutionConfig": config})
