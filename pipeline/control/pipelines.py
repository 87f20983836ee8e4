"""Create or update a pipeline, and start it."""

from __future__ import annotations

from pipeline.client import pages, request_token
from pipeline.control import parameters
from pipeline.definition import Definition
from pipeline.errors import DarkroomError, ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pipeline.client import Clients

_NOTHING: Mapping[str, Any] = {}


def upsert(
    clients: Clients,
    name: str,
    definition: str,
    *,
    role: str = "",
    description: str = "",
    tags: Sequence[Mapping[str, str]] = (),
) -> str:
    """Creates the pipeline, or updates it if its definition, role, description or tags differ; returns its ARN.

    Equal bytes make no new version: the history then shows changes only. Tags that others added stay, and so does the
    role where none is given. Raises DarkroomError for a new pipeline without one.
    """
    given = {"PipelineDefinition": definition, "RoleArn": role, "PipelineDescription": description}
    request: dict[str, Any] = {"PipelineName": name, **{key: value for key, value in given.items() if value}}
    try:
        existing = clients.sagemaker.describe_pipeline(PipelineName=name)
    except ServiceError as exc:
        if exc.code != "ResourceNotFound":
            raise
        request["RoleArn"] = role or own_role(clients, name)
        created = clients.sagemaker.create_pipeline(
            **request, ClientRequestToken=request_token(), **({"Tags": list(tags)} if tags else {})
        )
        return str(created["PipelineArn"])
    if any(existing.get(key, "") != value for key, value in request.items()):
        clients.sagemaker.update_pipeline(**request)
    _tag(clients, str(existing["PipelineArn"]), tags)
    return str(existing["PipelineArn"])


def own_role(clients: Clients, name: str) -> str:
    """Of a pipeline that comes without one. Raises DarkroomError where there is none for it."""
    if not clients.role:
        raise DarkroomError(
            f"there is no pipeline {name!r}{clients.place} yet, and a new one needs a role",
            "add --role ARN: the role that SageMaker takes to run the steps",
        )
    return str(clients.role)


def _tag(clients: Clients, arn: str, tags: Sequence[Mapping[str, str]]) -> None:
    """Adds those that are missing or have another value."""
    if not tags:
        return
    known = list(pages(clients.sagemaker.list_tags, "Tags", ResourceArn=arn))
    if fresh := [dict(tag) for tag in tags if tag not in known]:
        clients.sagemaker.add_tags(ResourceArn=arn, Tags=fresh)


def start(
    clients: Clients,
    name: str,
    definition: str,
    given: Mapping[str, str],
    token: str = "",
    more: Mapping[str, Any] = _NOTHING,
) -> str:
    """Starts an execution; returns its ARN. Raises ConfigError, before that, for parameters that do not fit.

    The same `token` again answers with the execution that the first call started. `more`: members of the request, such
    as PipelineVersionId.
    """
    values = parameters.check(Definition.parse(definition).parameters, given)
    started = clients.sagemaker.start_pipeline_execution(
        PipelineName=name, PipelineParameters=values, ClientRequestToken=token or request_token(), **more
    )
    return str(started["PipelineExecutionArn"])
