"""What CodeBuild has made of infra/serving-image.yaml."""

from __future__ import annotations

from pipeline.config.names import registry_host
from pipeline.infra.serving_image import project_of
from smoke.account import Account
from smoke.stages import STACK
from smoke.verdict import CannotTell, Check, Verdict, judged

_START = "infra/serving-image.yaml as a stack, then aws codebuild start-build --project-name {}"


def image_project(account: Account) -> Verdict:
    """The newest build of the project, which is called like the repository."""
    where = account.pipeline.pipeline
    host, _, rest = account.pipeline.serving_image.partition("/")
    project = project_of(rest.partition(":")[0])
    if host != registry_host(where.account, where.region):
        raise CannotTell(f"{account.pipeline.serving_image} is not built here", "serving.server: darkroom")
    code, message = account.refusal("codebuild", "list_builds_for_project", projectName=project)
    if code:
        raise CannotTell(f"{project}: {code} {message}", _START.format(project))
    ids = account.ask("codebuild", "list_builds_for_project", projectName=project, sortOrder="DESCENDING")["ids"]
    if not ids:
        raise CannotTell(f"{project} has built nothing", _START.format(project))
    [build] = account.ask("codebuild", "batch_get_builds", ids=ids[:1])["builds"]
    status = build["buildStatus"]
    if status in ("IN_PROGRESS", "STOPPED"):
        raise CannotTell(f"{ids[0]} is {status}", "look again when a build has ended")
    said = [
        each["message"]
        for phase in build.get("phases", ())
        for each in phase.get("contexts", ())
        if each.get("message")
    ]
    return judged(status == "SUCCEEDED", f"{ids[0]}: {status} {' '.join(said)}".rstrip())


CHECKS = (Check("image-project", STACK, image_project, "the newest build of the project SUCCEEDED"),)
