"""Which approved model the new one was compared with, and how that came out, in a few words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def told(report: dict[str, Any]) -> str:
    """`report`: evaluation.json. Empty where there was no champion, or the job is not ours."""
    own = report.get("darkroom")
    champion = own.get("champion") if isinstance(own, dict) else None
    if not isinstance(champion, dict):
        return ""
    name = called(str(champion.get("package", ""))) or "of no known version"
    difference = champion.get("difference")
    if not isinstance(difference, int | float):
        return f"{name}: could not be compared"
    return f"{name}: {difference:+.4f}, {champion.get('verdict', '')}"


def called(package: str) -> str:
    """arn:…:model-package/owls/3 → version 3; a package of no group, by its name; nothing for none."""
    name = package.rpartition(":model-package/")[2]
    group, _, version = name.rpartition("/")
    return f"version {version}" if group else name
