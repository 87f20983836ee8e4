"""One registered model whole: everything that whoever approves it should have seen, and what could not be found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.client import Clients
from pipeline.control import health, registry
from pipeline.control.health import Health
from pipeline.models import evaluation, origin, serving
from pipeline.models.evaluation import Evaluation
from pipeline.models.gaps import Gaps
from pipeline.models.jobs import archive
from pipeline.models.origin import Origin
from pipeline.models.serving import Serving


@dataclass(frozen=True)
class Dossier:
    """`package`: DescribeModelPackage. `champion`: the newest approved other version of its group, 0 for none."""

    package: Mapping[str, Any]
    evaluation: Evaluation
    origin: Origin
    health: Health | None
    size: int | None  # bytes of its archive
    endpoints: tuple[Serving, ...]
    champion: int
    gaps: Gaps

    @property
    def version(self) -> int:
        return int(self.package["ModelPackageVersion"])

    @property
    def group(self) -> str:
        return str(self.package["ModelPackageGroupName"])

    @property
    def arn(self) -> str:
        return str(self.package["ModelPackageArn"])

    @property
    def status(self) -> str:
        return str(self.package["ModelApprovalStatus"])


def of(clients: Clients, package: Mapping[str, Any], whole: bool = True) -> Dossier:
    """Without `whole`: neither health, endpoints nor the archive, as for a comparison.

    Raises Unavailable, and ServiceError where nothing can be asked: the credentials have expired, say.
    """
    gaps = Gaps()
    found = origin.of(clients, package, gaps)
    return Dossier(
        package=package,
        evaluation=_evaluation(clients, package, gaps),
        origin=found,
        health=_health(clients, found, gaps) if whole else None,
        size=_size(clients, package, gaps) if whole else None,
        endpoints=tuple(serving.of(clients, package, gaps)) if whole else (),
        champion=gaps.ask("champion", lambda: registry.champion_beside(clients, package), 0) if whole else 0,
        gaps=gaps,
    )


def _evaluation(clients: Clients, package: Mapping[str, Any], gaps: Gaps) -> Evaluation:
    nothing: dict[str, Any] = {}
    report = gaps.ask("evaluation", lambda: registry.evaluation(clients, dict(package)), nothing)
    read = evaluation.read(report)
    if read.accuracy is None:
        linked = registry.evaluation_address(package)
        gaps.note("evaluation", f"{linked} tells no accuracy" if linked else "the package links none")
    return read


def _size(clients: Clients, package: Mapping[str, Any], gaps: Gaps) -> int | None:
    address = archive(package)
    if not address:
        gaps.note("archive", "the package names no single archive")
        return None
    ask: Callable[[], int | None] = partial(clients.storage.size, address)
    return gaps.ask("archive", ask, None)


def _health(clients: Clients, found: Origin, gaps: Gaps) -> Health | None:
    if found.training is None:
        gaps.note("health", "the training job is not known")
        return None
    row = found.training.row
    return gaps.ask("health", lambda: health.read(clients, [row]), None)
