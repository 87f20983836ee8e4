"""A form made from a definition, and the execution that it starts: a version, one like another, or from a step on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.client import Clients, request_token
from pipeline.control import bounds, executions, parameters, pipelines, selection, versions
from pipeline.definition import Definition
from pipeline.errors import ConfigError, DarkroomError
from pipeline.studio import places
from pipeline.studio.asked import Answer, Asked, Go, Page

FIELD = "parameter."  # what the names of fields begin with: a parameter may be called like one of the form's own
WRONG = 422
CHOICES = {"Boolean": parameters.BOOLEANS}


@dataclass(frozen=True)
class Field:
    """`default`: None where there is none; it may be empty. `choices`: all that it takes, where these are few words.

    `meaning`: as far as the pipeline's description tells it.
    """

    name: str
    kind: str
    value: str
    default: str | None
    choices: tuple[str, ...]
    meaning: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Wanted:
    """`like`: ARN of the execution that lends its parameters, and what is not run; `step`: what is begun with.

    `about`: the pipeline's description.
    """

    pipeline: str
    about: str
    version: int
    text: str
    like: str
    step: str

    @property
    def definition(self) -> Definition:
        return Definition.parse(self.text)


def view(clients: Clients, asked: Asked) -> Page:
    wanted = _wanted(clients, asked.path["pipeline"], asked.query)
    before = executions.parameter_values(clients, wanted.like) if wanted.like else {}
    return _page(wanted, list(_fields(wanted, before)), request_token())


def start(clients: Clients, asked: Asked) -> Answer:
    """To the page of the execution; what is wrong is told beside its field, with all that was entered."""
    wanted = _wanted(clients, asked.path["pipeline"], asked.form)
    entered = {key.removeprefix(FIELD): value for key, value in asked.form.items() if key.startswith(FIELD)}
    fields = list(_checked(wanted, entered))
    given = {field.name: field.value for field in fields if wanted.like or field.value != field.default}
    once = asked.form.get("once") or request_token()
    if any(field.problem for field in fields):
        return _page(wanted, fields, once, status=WRONG)
    try:
        bounds.check(wanted.text, given, clients.home)
        arn = pipelines.start(clients, wanted.pipeline, wanted.text, given, once, _more(clients, wanted))
    except ConfigError as exc:
        return _page(wanted, fields, once, exc.problems, WRONG)
    except DarkroomError as exc:
        return _page(wanted, fields, once, [exc.message, exc.hint] if exc.hint else [exc.message], WRONG)
    return Go(places.execution(arn))


def _wanted(clients: Clients, pipeline: str, named: Mapping[str, str]) -> Wanted:
    """Without a name of anything: the version that is `current`, else the newest."""
    like, step = named.get("like", ""), named.get("from", "")
    if like:
        arn = places.arn(clients, pipeline, like)
        version = int(executions.describe(clients, arn).get("PipelineVersionId") or 0)
        about = str(clients.sagemaker.describe_pipeline(PipelineName=pipeline).get("PipelineDescription", ""))
        return Wanted(pipeline, about, version, executions.definition(clients, arn), arn, step)
    number = named.get("version", "")
    if number and not (number.isascii() and number.isdecimal()):
        raise DarkroomError(f"version {number[:40]!r} is no number", "darkroom versions")
    version = versions.find(clients, pipeline, int(number[:9] or 0)).id
    found = clients.sagemaker.describe_pipeline(PipelineName=pipeline, PipelineVersionId=version)
    about = str(found.get("PipelineDescription", ""))
    return Wanted(pipeline, about, version, str(found["PipelineDefinition"]), "", "")


def _more(clients: Clients, wanted: Wanted) -> dict[str, Any]:
    """Members of the request beside the parameters."""
    more: dict[str, Any] = {"PipelineVersionId": wanted.version} if wanted.version else {}
    if wanted.step:
        config = selection.behind(clients, wanted.definition, wanted.step, wanted.like)
        more["SelectiveExecutionConfig"] = config
    return more


def _fields(wanted: Wanted, before: Mapping[str, str]) -> Iterator[Field]:
    declared = wanted.definition.parameters
    meanings = parameters.meanings(wanted.about, declared)
    for name, body in declared.items():
        kind = str(body.get("Type", "String"))
        default = parameters.text(body["DefaultValue"], kind) if "DefaultValue" in body else None
        choices = tuple(parameters.text(each) for each in body.get("EnumValues") or ()) or CHOICES.get(kind, ())
        value = parameters.text(before.get(name, default), kind)
        yield Field(name, kind, value, default, choices, meanings.get(name, ""))


def _checked(wanted: Wanted, entered: Mapping[str, str]) -> Iterator[Field]:
    """As it was entered; an empty field stands for the default."""
    definition = wanted.definition
    for field in _fields(wanted, {}):
        value = parameters.text(entered.get(field.name, "").strip() or field.default, field.kind)
        yield replace(field, value=value, problem=_problem(definition, field, value))


def _problem(definition: Definition, field: Field, value: str) -> str:
    if not value and field.default is None:
        return "it has no default, and needs a value"
    try:
        parameters.check(definition.parameters, {field.name: value})
    except ConfigError as exc:
        return "; ".join(exc.problems)
    return ""


def _page(
    wanted: Wanted, fields: list[Field], once: str, problems: list[str] | tuple[str, ...] = (), status: int = 200
) -> Page:
    definition = wanted.definition
    steps = selection.onwards(definition, wanted.step) if wanted.step else list(definition.steps)
    values = {"wanted": wanted, "fields": fields, "once": once, "problems": problems, "steps": steps, "prefix": FIELD}
    return Page("start.html", values, status)
