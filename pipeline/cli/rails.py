"""The graph of a definition beside a table of its steps: from each step a rail runs to all that wait for it."""

from __future__ import annotations

from collections import Counter, namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_LANES = 12  # beyond, more of the line is rails than words

# `left` and `right` of a step's mark; all rows are equally wide
Row = namedtuple("Row", "step left right")
# past: a rail that has nothing to do with the step; along: what leads to the step. Joints at the left end of that, in
# its middle and at its right end: `on` where their rail goes on below, `end` where it ends.
Ink = namedtuple("Ink", "past along on end")
LINES = Ink("│", "─", "├┼┤", "╰┴╯")
ASCII = Ink("|", "-", "|+|", "`''")
# `lanes`: whose rail runs in each, None for nobody's; `own` is the step's, `joined` and `ending` those that lead to it
_Place = namedtuple("_Place", "step own lanes joined ending")


def rows(edges: Mapping[str, Sequence[str]], ink: Ink) -> list[Row]:
    """`edges`: step → what it waits for; every step stands behind those. Empty where there are too many rails.

    A rail that is only crossed breaks the line across it. A step right below another one waits for it: others are moved
    aside.
    """
    places = list(_places(edges))
    width = max((len(place.lanes) for place in places), default=0)
    if width > MOST_LANES:
        return []
    found = []
    for place in places:
        cells = _cells(place, ink).ljust(2 * width - 1)
        found.append(Row(place.step, cells[: 2 * place.own], cells[2 * place.own + 1 :]))
    return found


def _places(edges: Mapping[str, Sequence[str]]) -> Iterator[_Place]:
    """A step takes over the leftmost rail that ends at it, else it begins one of its own."""
    awaited = Counter(other for others in edges.values() for other in others)
    lanes: list[str | None] = []
    last = -1
    for name, others in edges.items():
        awaited.subtract(others)
        joined = [lanes.index(other) for other in others]
        ending = [lane for lane, other in zip(joined, others, strict=True) if not awaited[other]]
        last = own = min(ending) if ending else _free(lanes, last)
        lanes += [None] * (own + 1 - len(lanes))
        yield _Place(name, own, tuple(lanes), joined, ending)
        for lane in ending:
            lanes[lane] = None
        lanes[own] = name if awaited[name] else None
        while lanes and lanes[-1] is None:
            lanes.pop()


def _free(lanes: Sequence[str | None], last: int) -> int:
    """Not below the step of the row above."""
    return next(lane for lane in range(len(lanes) + 2) if lane != last and (lane >= len(lanes) or lanes[lane] is None))


def _cells(place: _Place, ink: Ink) -> str:
    """Two characters a lane; that of the step itself is a blank."""
    low, high = min([place.own, *place.joined]), max([place.own, *place.joined])
    cells = ""
    for lane, whose in enumerate(place.lanes):
        inside = low < lane < high
        if lane == place.own:
            cells += " "
        elif lane in place.joined:
            cells += (ink.end if lane in place.ending else ink.on)[1 if inside else 0 if lane == low else 2]
        else:
            cells += ink.past if whose is not None else ink.along if inside else " "
        cells += ink.along if low <= lane < high else " "
    return cells[:-1]
