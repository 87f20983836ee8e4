"""What all policies of a pipeline are about: its names, folder, keys and network, and what its definition asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.config import Config, names
from pipeline.definition import Definition, Step
from pipeline.errors import DarkroomError
from pipeline.iam.addresses import PLACES, READ, S3, Access, accesses, at, escaped
from pipeline.iam.statements import Place

_ECR = re.compile(r"([0-9]{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")
_IMAGES = ("AppSpecification.ImageUri", "AlgorithmSpecification.TrainingImage")
_RULE_IMAGES = ("DebugRuleConfigurations.*.RuleEvaluatorImage", "ProfilerRuleConfigurations.*.RuleEvaluatorImage")
# folders of a pipeline whose files lie below digests of their content
CONTENT = ("code", "datasets", "champion", "weights", "warm_start")
JOBS = ("Processing", "Training", "Tuning")
# CreateModel's and CreateEndpointConfig's names begin with the endpoint's, cut so that "-v<version>-<digest>" fits
_KEPT = 63 - len("-v99999-0123456789")


@dataclass(frozen=True)
class Scope:
    """`reads`: further addresses, bucket and beginning of keys, that jobs may read."""

    config: Config
    definition: Definition
    reads: tuple[str, ...] = ()
    accesses: tuple[Access, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "accesses", tuple(accesses(self.definition)))

    @property
    def place(self) -> Place:
        where = self.config.pipeline
        return Place(names.partition(where.region), where.region, where.account)

    def folder(self, *parts: str) -> str:
        """Bucket and key of a folder of this pipeline, as a pattern."""
        return escaped(self.config.pipeline.address(*parts).removeprefix(S3))

    def steps(self, *types: str) -> list[Step]:
        return [step for step in self.definition.steps.values() if step.type in types]

    def steps_of(self, role: str) -> list[Step]:
        """The job steps that run as `role`."""
        return [step for step in self.steps(*JOBS) if role_of(step) == role]

    @property
    def job_roles(self) -> tuple[str, ...]:
        """The roles that the pipeline hands to jobs."""
        return tuple(dict.fromkeys(role_of(step) for step in self.steps(*JOBS)))

    @property
    def serving_role(self) -> str:
        return self.config.role("deploy_model")

    @property
    def made(self) -> str:
        """Names of what the deployment makes for the endpoint (models, configurations, alarms), as a pattern."""
        endpoint = self.config.endpoint_name
        front = endpoint[:_KEPT].rstrip("-")
        return f"{front}-v*" if len(endpoint) <= _KEPT else f"{front}*"

    @property
    def functions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(str(step.body["FunctionArn"]) for step in self.steps("Lambda")))

    @property
    def datasets(self) -> str:
        """Where `darkroom` puts copies of pictures that lie on a machine; DatasetUri then names one of them."""
        return f"{self.folder('datasets')}*"

    def patterns(self, steps: Iterable[str], *uses: str) -> tuple[str, ...]:
        """What these steps do with S3, and what else they may read."""
        wanted = set(steps)
        found = [self._lasting(each.pattern) for each in self.accesses if each.step in wanted and each.use in uses]
        if READ in uses and (sources := self._chosen_in_a_run(wanted)):
            found += [*([self.datasets] if "Parameters" in sources else []), *self.reads]
        return within(found)

    def _lasting(self, pattern: str) -> str:
        """A folder of content below digests as a whole: else each change of code would ask for other policies."""
        wholes = (f"{self.folder(name)}*" for name in CONTENT)
        return next((whole for whole in wholes if pattern.startswith(whole[:-1])), pattern)

    def _chosen_in_a_run(self, steps: set[str]) -> set[str]:
        """Parameters and Steps: where these steps get input addresses from that may be others than the definition's."""
        functions = {f"Steps.{step.name}.OutputParameters" for step in self.steps("Lambda")}
        expressions = [
            str(value.get("Get", ""))
            for name in steps
            for path, use in PLACES[self.definition.steps[name].type]
            if use == READ
            for value in at(self.definition.steps[name].arguments, path)
            if isinstance(value, dict)
        ]
        return {
            each.partition(".")[0]
            for each in expressions
            if each.startswith("Parameters.") or each.partition("[")[0] in functions
        }


def role_of(step: Step) -> str:
    request = step.arguments.get("TrainingJobDefinition", step.arguments)
    return str(request["RoleArn"])


def images_of(step: Step) -> list[str]:
    request = step.arguments.get("TrainingJobDefinition", step.arguments)
    return [str(value) for path in (*_IMAGES, *_RULE_IMAGES) for value in at(request, path)]


def repositories(place: Place, images: Iterable[str]) -> tuple[str, ...]:
    """ARNs in Amazon's registries, AWS's account or one's own; an image that lies elsewhere has none."""
    found = [
        match.groups()
        for image in images
        if (match := _ECR.fullmatch(image.partition("@")[0].rpartition(":")[0] or image))
    ]
    return tuple(
        dict.fromkeys(f"arn:{place.partition}:ecr:{r}:{account}:repository/{name}" for account, r, name in found)
    )


def within(found: Iterable[str]) -> tuple[str, ...]:
    """Without those texts and patterns that another one, which ends in `*`, covers; in order."""
    unique = list(dict.fromkeys(found))
    return tuple(
        each
        for each in unique
        if not any(other != each and other.endswith("*") and each.startswith(other[:-1]) for other in unique)
    )


def address(text: str) -> str:
    """What --read names, as a pattern. Raises DarkroomError."""
    bucket, _, key = text.removeprefix(S3).partition("/")
    if not text.startswith(S3) or not re.fullmatch(names.BUCKET, bucket):
        raise DarkroomError(f"--read {text!r} is no address in S3", "--read s3://BUCKET/FOLDER/")
    if not key:
        raise DarkroomError(f"--read {text!r} names a whole bucket", f"--read s3://{bucket}/FOLDER/")
    return f"{bucket}/{escaped(key)}*"
