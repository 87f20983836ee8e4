"""The page of one registered model, from which somebody decides; the decision; the page that the model brought."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.client import Clients
from pipeline.control import health, registry
from pipeline.control.times import moment
from pipeline.errors import DarkroomError
from pipeline.models import dossier, prepared
from pipeline.models.dossier import Dossier
from pipeline.models.evaluation import worst_first
from pipeline.models.jobs import archive
from pipeline.studio import places
from pipeline.studio.asked import Answer, Asked, Document, Facts, Go, Page

STATUSES = {"approve": registry.APPROVED, "reject": registry.REJECTED}
STATES = {registry.APPROVED: "good", registry.REJECTED: "bad", registry.PENDING: "stopped"}
WRONG, MEANWHILE = 422, 409
LARGEST_PAGE = 32 << 20  # bytes of the model's own page


def view(clients: Clients, asked: Asked) -> Page:
    return _page(clients, _package(clients, asked))


def decide(clients: Clients, asked: Asked) -> Answer:
    """Approves, rejects, or changes the note of what is decided so already, which sends no second approval.

    Only of a model that stands as the page said: two people may be looking at it.
    """
    package, form = _package(clients, asked), asked.form
    status, before = STATUSES.get(form.get("decision", "")), str(package["ModelApprovalStatus"])
    if status is None:
        raise DarkroomError(f"{form.get('decision', '')[:40]!r} is no decision", "approve or reject")
    if form.get("seen") != before:
        who, when = registry.by(package.get("LastModifiedBy")), moment(package.get("LastModifiedTime"))
        return _page(clients, package, f"It is {before} since {when}{who}: look at it again.", form, MEANWHILE)
    try:
        reason = _new(package, form.get("reason", ""), status)
    except DarkroomError as exc:
        return _page(clients, package, exc.message, form, WRONG)
    if status != before:
        registry.decide(clients, package, status, reason)
    elif reason:
        registry.annotate(clients, package, reason)
    return Go(places.model(package))


def own_page(clients: Clients, asked: Asked) -> Document:
    """Raises DarkroomError where the package names none."""
    package = _package(clients, asked)
    address = registry.page_address(package)
    if not address.startswith("s3://"):
        raise DarkroomError(f"version {asked.path['version']} of {asked.path['group']} names no page of its own")
    return Document(clients.storage.get_bytes(address, LARGEST_PAGE), scripts=False)


def _package(clients: Clients, asked: Asked) -> dict[str, Any]:
    return registry.version(clients, asked.path["group"], asked.path["version"])


def _new(package: Mapping[str, Any], entered: str, status: str) -> str:
    """The note that was entered; empty where it is the one that the form came with: that is of the decision before.

    Raises DarkroomError for a rejection without one.
    """
    found, kept = registry.reason(entered), " ".join(_note(package).split())
    rejects = status == registry.REJECTED and package["ModelApprovalStatus"] != status
    if found and found == kept and rejects:
        raise DarkroomError("the note is of the decision before: write why it is rejected now")
    return "" if found and found == kept else registry.reason(found, needed=rejects)


def _note(package: Mapping[str, Any]) -> str:
    return str(package.get("ApprovalDescription") or "")


def _page(
    clients: Clients,
    package: dict[str, Any],
    problem: str = "",
    form: Mapping[str, str] | None = None,
    status: int = 200,
) -> Page:
    found = dossier.of(clients, package)
    values = {
        "found": found,
        "package": package,
        "state": STATES.get(found.status, ""),
        "health": health.told(found.health) if found.health is not None else "",
        "classes": worst_first(found.evaluation.classes),
        "made": list(_made(found)),
        "following": _following(clients, found),
        "page": registry.page_address(package),
        "by": registry.by,
        "problem": problem,
        "reason": _note(package) if form is None else form.get("reason", ""),
        "longest": registry.LONGEST_REASON,
    }
    return Page("model.html", values, status)


def _following(clients: Clients, found: Dossier) -> tuple[str, str]:
    """How it comes to answer, as a sentence and a command, while no endpoint has it by its name; both may be empty.

    Production serves packages, staging archives. On AWS the stack's rule deploys what is approved; nothing does here.
    """
    if any(each.by == "package" for each in found.endpoints):
        return "", ""
    command = f"darkroom deploy {registry.spelled(found.version, found.group)}{clients.options}"
    match found.status, bool(clients.place):
        case registry.APPROVED, True:
            how = "It is approved: where the stack deploys approvals, its endpoint comes by itself. Else, type:"
            return how, command
        case registry.APPROVED, False:
            return "It is approved. To put it behind the endpoint for production, type:", command
        case registry.PENDING, _:
            return "Once it is approved, it can be put behind the endpoint for production.", ""
    return "", ""


def _made(found: Dossier) -> Iterator[tuple[str, Facts]]:
    """Titles and what stands below them, of what is known."""
    origin = found.origin
    if origin.training:
        job = origin.training
        facts = [("job", job.name), ("machines", job.machine), ("image", job.image)]
        yield "Training", [*facts, *sorted(job.settings.items())]
    if origin.parameters:
        yield "Parameters", sorted(origin.parameters.items())
    data = [
        (name, prepared.told(split))
        for name, split in (("trained on", origin.train), ("judged on", origin.test))
        if split
    ]
    code = sorted(origin.code.items())
    size = "" if found.size is None else f", {found.size:,} bytes"
    kept = [("archive", f"{archive(found.package)}{size}"), ("evaluation", registry.evaluation_address(found.package))]
    yield "Data, code and files", [*data, *code, *((name, text) for name, text in kept if text)]
