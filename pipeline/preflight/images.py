"""Container images: there, and where SageMaker can pull them; of other accounts' as far as they let one ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.errors import ServiceError
from pipeline.iam.scope import JOBS, images_of
from pipeline.preflight.finding import Finding, error, ok, unknown, warning
from pipeline.preflight.setting import Setting

_ECR = re.compile(
    r"([0-9]{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([^@]+))?(?:@(sha256:\w+))?"
)


class Image(NamedTuple):
    account: str
    region: str
    repository: str
    tag: str
    digest: str

    @property
    def ids(self) -> list[dict[str, str]]:
        return [{"imageDigest": self.digest} if self.digest else {"imageTag": self.tag or "latest"}]


def serving(setting: Setting) -> Iterator[Finding]:
    """DeployModel comes after all that costs: an image that is not there is then found for the first time."""
    yield from _of(setting, setting.config.serving_image, "deploy.image")


def of_jobs(setting: Setting) -> Iterator[Finding]:
    steps = [step for step in setting.definition.steps.values() if step.type in JOBS]
    used: dict[str, list[str]] = {}
    for step in steps:
        for uri in images_of(step):
            used.setdefault(uri, []).append(step.name)
    for uri, names in used.items():
        yield from _of(setting, uri, ", ".join(names))


def parsed(uri: str) -> Image | None:
    """None for an image that lies in none of Amazon's registries."""
    found = _ECR.fullmatch(uri)
    return Image(*(part or "" for part in found.groups())) if found else None


def _of(setting: Setting, uri: str, what: str) -> Iterator[Finding]:
    image = parsed(uri)
    if image is None:
        yield unknown(uri, f"the image of {what} lies outside Amazon's registries", f"docker manifest inspect {uri}")
        return
    if image.region != setting.config.pipeline.region:
        yield warning(
            uri,
            f"the image of {what} lies in {image.region}: SageMaker pulls from its own region",
            f"name one in {setting.config.pipeline.region}",
        )
        return
    yield from _own(setting, uri, image, what) if image.account == setting.account else _foreign(setting, uri, image)


def _own(setting: Setting, uri: str, image: Image, what: str) -> Iterator[Finding]:
    arn = setting.arn("ecr", f"repository/{image.repository}")
    try:
        setting.service("ecr").ask("describe_images", arn, repositoryName=image.repository, imageIds=image.ids)
    except ServiceError as exc:
        if exc.code == "RepositoryNotFoundException":
            made = f"aws ecr create-repository --repository-name {image.repository}; then {_pushed(uri)}"
            yield error(uri, f"the image of {what}: there is no repository {image.repository}", made)
        elif exc.code == "ImageNotFoundException":
            yield error(uri, f"the image of {what} is not in {image.repository}", _pushed(uri))
        else:
            raise
        return
    yield ok(uri, f"the image of {what} is there")


def _foreign(setting: Setting, uri: str, image: Image) -> Iterator[Finding]:
    """AWS's account lets everybody pull; who may pull may ask, too."""
    arn = f"arn:{setting.partition}:ecr:{image.region}:{image.account}:repository/{image.repository}"
    request = {"registryId": image.account, "repositoryName": image.repository, "imageIds": image.ids}
    look = f"try it: docker manifest inspect {uri}"
    try:
        answer = setting.service("ecr").ask("batch_get_image", arn, **request)
    except ServiceError as exc:
        if exc.code != "RepositoryNotFoundException":
            raise
        yield unknown(uri, f"account {image.account} shows no repository {image.repository} to this one", look)
        return
    codes = [str(each.get("failureCode")) for each in answer.get("failures", ())]
    if answer.get("images"):
        yield ok(uri, f"account {image.account} has it")
    elif "ImageNotFound" in codes:
        yield error(
            uri, f"account {image.account} has no such image", "name one in images, or another framework_version"
        )
    else:
        yield unknown(uri, f"account {image.account} does not tell: {', '.join(codes) or 'no answer'}", look)


def _pushed(uri: str) -> str:
    host = uri.partition("/")[0]
    login = f"aws ecr get-login-password | docker login --username AWS --password-stdin {host}"
    return f"build it, then {login} && docker push {uri}"
