"""The page of two models side by side: whether their figures compare at all, what differs, what was done otherwise."""

from __future__ import annotations

from pipeline.client import Clients
from pipeline.control import registry
from pipeline.errors import DarkroomError
from pipeline.models import comparison, dossier
from pipeline.studio.asked import Asked, Page

MOST_CLASSES, MOST_FILES = 100, 100  # that are shown


def view(clients: Clients, asked: Asked) -> Page:
    """With `with` that version, else the newest approved other one. Raises DarkroomError where there is none."""
    group, version = asked.path["group"], asked.path["version"]
    one = registry.version(clients, group, version)
    chosen = "choose a version on the page of the group"
    other = registry.version(clients, group, asked.query.get("with") or str(registry.opponent(clients, one, chosen)))
    if one["ModelPackageArn"] == other["ModelPackageArn"]:
        raise DarkroomError(f"version {version} differs from itself in nothing", "name two versions")
    found = comparison.compare(clients, *(dossier.of(clients, each, whole=False) for each in (one, other)))
    changes = {
        "classes": found.classes_apart,
        "hyperparameters": found.settings,
        "parameters": found.parameters,
        "made by": found.made,
        "data": found.data,
        "code": found.code,
    }
    return Page("compared.html", {"found": found, "changes": changes, "most": MOST_CLASSES, "most_files": MOST_FILES})
