"""Where an endpoint's requests go: its variants by weight, of each the old and the new fleet by share."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.endpoint_fleet import Fleet


def routes(blue: Fleet | None, green: Fleet | None, shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """As the router takes them. `shares`: the new fleet's part of each variant; 0 where none is named."""
    fleets = [fleet for fleet in (blue, green) if fleet is not None]
    names = dict.fromkeys(name for fleet in fleets for name in fleet.variants)
    # a variant of one of the two alone comes or goes as the others shift
    common = min(shares.values(), default=0.0)
    found = []
    for name in names:
        share = shares.get(name, common)
        parts = [(fleet, 1.0 - share if fleet is blue else share) for fleet in fleets if name in fleet.variants]
        weight = sum(fleet.variants[name]["weight"] * part for fleet, part in parts)
        found.append({"name": name, "weight": weight, "fleets": [_fleet(name, *each) for each in parts]})
    return [variant for variant in found if any(fleet["share"] for fleet in variant["fleets"])]


def _fleet(name: str, fleet: Fleet, share: float) -> dict[str, Any]:
    return {"config": fleet.config, "share": share, "ports": fleet.ports(name)}
