"""`darkroom upsert`: exactly these bytes, a pipeline version, its alias and tags; nothing where all is so already.

Each call is safe to repeat, and an interrupted upsert is completed by the next. A version that an upsert has finished
says so in its description, set together with the alias in one call: moving the alias later is then no interruption.
"""

from __future__ import annotations

import re
from collections import namedtuple

from pipeline.client import pages, request_token
from pipeline.control import pipelines, versions
from pipeline.digest import sha256_hex
from pipeline.errors import DarkroomError, ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.client import Clients

INLINE = 100_000  # bytes; what is larger goes through S3, as the SDK has it
NOBODY = "111122223333"  # the account of AWS's documentation: pipeline.yaml has it until somebody writes another
COMMIT, DEFINITION = "darkroom:commit", "darkroom:definition"  # tags
UNKNOWN = "none"
ATTEMPTS = 5
_DONE = re.compile(r"darkroom upsert commit=(\S+) definition=([0-9a-f]{64})")
_ABSENT = ("ResourceNotFound", "ResourceNotFoundException")
_TAKEN = ("ValidationException", "ConflictException", "ResourceInUse")

# tags: [{"Key": …, "Value": …}] · place: s3://bucket/prefix/, where a definition lies that is too large to be sent
Wanted = namedtuple("Wanted", "name definition role description tags place")
# version 0 where the service lists none; sent: the SHA-256 that an upsert noted, of the bytes that it had sent
Deployed = namedtuple("Deployed", "arn version definition role description sent")
# changed: created, updated, completed, tagged or "" · alias_at, newer: versions, 0 where there is none
Done = namedtuple("Done", "arn version changed alias_at newer")


def refuse_placeholder(wanted: Wanted) -> None:
    """Raises DarkroomError for what was compiled for nobody's account."""
    if NOBODY in wanted.role or NOBODY in wanted.definition:
        raise DarkroomError(
            f"{wanted.name} is compiled for account {NOBODY}, which is nobody's",
            "write yours to pipeline.account in pipeline.yaml: aws sts get-caller-identity --query Account",
        )


def look(clients: Clients, name: str) -> Deployed | None:
    """The newest version, None where there is no such pipeline."""
    try:
        known = versions.newest_first(clients, name)
        which = {"PipelineVersionId": known[0].id} if known else {}
        found = clients.sagemaker.describe_pipeline(PipelineName=name, **which)
    except ServiceError as exc:
        if exc.code not in _ABSENT:
            raise
        return None
    words = found.get("RoleArn", ""), found.get("PipelineDescription", "")
    noted = _DONE.fullmatch(known[0].description) if known else None
    number, sent = known[0].id if known else 0, noted[2] if noted else ""
    return Deployed(found["PipelineArn"], number, found["PipelineDefinition"], *words, sent)


def upsert(clients: Clients, wanted: Wanted, alias: str, commit: str = "") -> Done:
    """The code is in S3 already. Of several that upsert at once, the newest version gets the alias and the tags."""
    deployed, changed = _write(clients, wanted)
    arn, number = deployed.arn, deployed.version
    if _finish(clients, wanted, number, alias, commit):
        changed = changed or "completed"
    if _tag(clients, wanted, arn):
        changed = changed or "tagged"
    known = versions.newest_first(clients, wanted.name)
    at = next((int(version.id) for version in known if alias in version.aliases), 0)
    return Done(arn, number, changed, at, known[0].id if known[0].id != number else 0)


def holds(deployed: Deployed, definition: str) -> bool:
    """Whether it has these bytes: as they are described, or as they were sent, where the service writes JSON anew."""
    return deployed.definition == definition or bool(deployed.sent == sha256_hex(definition.encode()))


def commit_of(version: versions.Version) -> str:
    """What an upsert wrote into its description; empty for other people's versions."""
    done = _DONE.fullmatch(version.description)
    return done[1] if done else ""


def _write(clients: Clients, wanted: Wanted) -> tuple[Deployed, str]:
    """What is there now, with the version that holds our definition, and what was done for it."""
    deployed = look(clients, wanted.name)
    if deployed is None:
        created = _create(clients, wanted)
        return (created, "created") if created else _write(clients, wanted)
    now = {"RoleArn": deployed.role, "PipelineDescription": deployed.description}
    words = {"RoleArn": wanted.role or deployed.role, "PipelineDescription": wanted.description or deployed.description}
    if holds(deployed, wanted.definition):
        if words == now:
            return deployed, ""
        clients.sagemaker.update_pipeline(PipelineName=wanted.name, **words)
        return deployed, "updated"
    body = _body(clients, wanted)
    answer = clients.sagemaker.update_pipeline(PipelineName=wanted.name, **body, **words)
    number = answer.get("PipelineVersionId") or versions.newest_first(clients, wanted.name)[0].id
    return deployed._replace(version=number), "updated"


def _create(clients: Clients, wanted: Wanted) -> Deployed | None:
    """None where somebody else was faster."""
    tags = {"Tags": list(wanted.tags)} if wanted.tags else {}
    about = {"PipelineDescription": wanted.description} if wanted.description else {}
    words = {"RoleArn": wanted.role or pipelines.own_role(clients, wanted.name), **about, **tags}
    body = _body(clients, wanted)
    try:
        clients.sagemaker.create_pipeline(PipelineName=wanted.name, ClientRequestToken=request_token(), **body, **words)
    except ServiceError as exc:
        if exc.code not in _TAKEN or look(clients, wanted.name) is None:
            raise
        return None
    created = look(clients, wanted.name)
    if created is None:
        raise DarkroomError(f"{wanted.name} was deleted while it was made", "run the command again")
    first = [version.id for version in versions.newest_first(clients, wanted.name)][-1]
    return created._replace(version=first)


def _body(clients: Clients, wanted: Wanted) -> dict[str, Any]:
    """The definition as it is sent: these bytes, or the address of an object that holds them and never changes."""
    data = wanted.definition.encode()
    if len(data) <= INLINE or not wanted.place:
        return {"PipelineDefinition": wanted.definition}
    uri = f"{wanted.place}definitions/{wanted.name}-{sha256_hex(data)[:32]}.json"
    if not clients.storage.exists(uri):
        clients.storage.put_bytes(uri, data)
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"PipelineDefinitionS3Location": {"Bucket": bucket, "ObjectKey": key}}


def _finish(clients: Clients, wanted: Wanted, number: int, alias: str, commit: str) -> bool:
    """The alias and the description of a version that has none yet; False where there was nothing to do."""
    digest = sha256_hex(wanted.definition.encode())
    words = {"PipelineVersionDescription": f"darkroom upsert commit={commit or UNKNOWN} definition={digest}"}
    if not _unfinished(clients, wanted.name, number):
        return False

    def belongs(known: list[versions.Version]) -> versions.Version | None:
        return known[0] if known[0].id == number else None  # a newer version's upsert takes the alias there

    versions.move(clients, wanted.name, alias, belongs, words)
    if left := _unfinished(clients, wanted.name, number):  # it had the alias already, or is not the newest any more
        clients.sagemaker.update_pipeline_version(PipelineArn=left.arn, PipelineVersionId=number, **words)
    return True


def _unfinished(clients: Clients, name: str, number: int) -> versions.Version | None:
    known = versions.newest_first(clients, name)
    return next((version for version in known if version.id == number and not commit_of(version)), None)


def _tag(clients: Clients, wanted: Wanted, arn: str) -> bool:
    """Commit and digest are those of the newest version, whoever made it: it is looked for again after each write."""
    changed = False
    for _ in range(ATTEMPTS):
        newest = versions.newest_first(clients, wanted.name)[0]
        done = _DONE.fullmatch(newest.description)
        own = [{"Key": COMMIT, "Value": done[1]}, {"Key": DEFINITION, "Value": done[2]}] if done else []
        known = list(pages(clients.sagemaker.list_tags, "Tags", ResourceArn=arn))
        fresh = [tag for tag in (*wanted.tags, *own) if tag not in known]
        if not fresh:
            break
        clients.sagemaker.add_tags(ResourceArn=arn, Tags=fresh)
        changed = True
    return changed
