"""What waits for what in a definition, in the fewest edges that say it all: for the page's picture and the terminal."""

from __future__ import annotations

from pipeline.definition import Definition


def in_order(definition: Definition) -> list[str]:
    """Every step behind those that it waits for; else as they stand in the document. A cycle is cut where it begins."""
    wanted = {name: needs(definition, name) for name in definition.steps}
    waiting = list(wanted)
    ordered: dict[str, None] = {}
    while waiting:
        ready = (name for name in waiting if wanted[name] <= ordered.keys())
        name = next(ready, waiting[0])
        ordered[name] = None
        waiting.remove(name)
    return list(ordered)


def direct(definition: Definition) -> dict[str, list[str]]:
    """Step → what it waits for, without what that itself waits for; in the order of `in_order`."""
    order = in_order(definition)
    places = {name: place for place, name in enumerate(order)}
    before: dict[str, int] = {}  # step → a bit for the place of each that has to end first
    found: dict[str, list[str]] = {}
    for name in order:
        others = [other for other in needs(definition, name) if places[other] < places[name]]
        beyond = 0
        for other in others:
            beyond |= before[other]
        found[name] = sorted((other for other in others if not beyond >> places[other] & 1), key=places.__getitem__)
        before[name] = beyond | sum(1 << places[other] for other in others if not beyond >> places[other] & 1)
    return found


def needs(definition: Definition, name: str) -> set[str]:
    """All that it waits for and that the definition has."""
    return {other for other in definition.dependencies(name) if other in definition.steps}
