"""Offline validation: is every request in a definition one that the service would take?"""

from __future__ import annotations

from pipeline.validate.finding import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Finding", "validate"]


def validate(document: Mapping[str, object]) -> list[Finding]:
    """All findings at once, in the order of the document; nothing is fetched or raised, whatever `document` holds."""
    # botocore's service model costs 0.3 s: only those who validate pay for it
    from pipeline.validate.check import findings

    return findings(document)
