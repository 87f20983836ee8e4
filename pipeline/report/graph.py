"""The steps of a definition as a picture: what waits for what, how each ended, how long it took."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from pipeline.definition import Definition, Step
from pipeline.report.edges import direct, in_order
from pipeline.wording import cut

WIDTH, HEIGHT = 130, 54  # seven columns fit the page: the pipeline that darkroom builds
GAP_X, GAP_Y = 31, 18
LONGEST = 14  # characters of a name: wide ones, such as DejaVu's, fill the box then
MOST_STEPS = 60  # beyond, a picture says less than the table below it
BRANCH_WORDS = {"IfSteps": "yes", "ElseSteps": "no"}
_NOWHERE: Mapping[str, str] = {}

_Place = tuple[int, int]


def draw(
    definition: Definition, states: dict[str, str], notes: dict[str, str], links: Mapping[str, str] = _NOWHERE
) -> Markup:
    """`states`: step → a CSS class; `notes`: step → the line below its name; `links`: step → where a click leads.

    Empty for too many steps.
    """
    if not 0 < len(definition.steps) <= MOST_STEPS:
        return Markup("")
    edges = direct(definition)
    places = _places(definition, edges)
    right = max(x for x, _ in places.values()) + WIDTH
    bottom = max(y for _, y in places.values()) + HEIGHT + GAP_Y // 2  # an edge may pass below all steps
    parts = [_edge(definition, places, name, other) for name in places for other in edges[name]]
    nodes = {name: _node(step, places[name], states, notes) for name, step in definition.steps.items()}
    parts += [_linked(node, links.get(name, "")) for name, node in nodes.items()]
    role = "group" if links else "img"  # nothing within a picture can be reached by keyboard
    head = '<svg class="graph" viewBox="-2 -2 {w} {h}" width="{w}" height="{h}" role="{role}" aria-label="steps">'
    return Markup(head).format(w=right + 4, h=bottom + 4, role=role) + Markup("").join(parts) + Markup("</svg>")


def _places(definition: Definition, edges: dict[str, list[str]]) -> dict[str, _Place]:
    """A column for each length of the longest way from a start; in a column, near to what comes before."""
    columns: dict[str, int] = {}
    for name in in_order(definition):
        columns[name] = max((columns[other] + 1 for other in edges[name]), default=0)
    rows: dict[int, list[str]] = {}
    for name in definition.steps:
        rows.setdefault(columns[name], []).append(name)
    most = max(len(names) for names in rows.values())
    places: dict[str, _Place] = {}
    for column in sorted(rows):
        names = sorted(rows[column], key=lambda name: _mean_y(definition.steps[name], edges[name], places))
        top = (most - len(names)) * (HEIGHT + GAP_Y) // 2
        for index, name in enumerate(names):
            places[name] = (column * (WIDTH + GAP_X), top + index * (HEIGHT + GAP_Y))
    return places


def _mean_y(step: Step, before: list[str], places: dict[str, _Place]) -> float:
    heights = [places[other][1] for other in before if other in places]
    tie = 0.25 if step.branch == "ElseSteps" else 0.0  # "yes" above "no"
    return sum(heights) / len(heights) + tie if heights else 0.0


def _edge(definition: Definition, places: dict[str, _Place], name: str, other: str) -> Markup:
    (x1, y1), (x2, y2) = places[other], places[name]
    x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT // 2, y2 + HEIGHT // 2
    between = [y for x, y in places.values() if x1 < x < x2]
    way, start, height = "", x1, y1
    if between:  # past other steps, not behind them
        start, height = x2 - GAP_X, _free(y1, between)
        way = f"{_curve(x1, y1, x1 + GAP_X, height)}H{start}"
    path = Markup('<path class="edge" d="M{} {}{}{}"/>').format(x1, y1, way, _curve(start, height, x2, y2))
    step = definition.steps[name]
    word = BRANCH_WORDS.get(step.branch, "") if step.parent == other else ""
    label = '<text class="branch" x="{}" y="{}" text-anchor="end">{}</text>'
    return path + (Markup(label).format(x2 - 4, y2 - 5, word) if word else Markup(""))


def _curve(x1: int, y1: int, x2: int, y2: int) -> str:
    middle = (x1 + x2) // 2
    return f"C{middle} {y1} {middle} {y2} {x2} {y2}"


def _free(height: int, between: list[int]) -> int:
    """`height`, where it passes between the steps whose tops are given; else just below all of them."""
    passes = all(abs(height - (top + HEIGHT // 2)) > HEIGHT // 2 for top in between)
    return height if passes else max(between) + HEIGHT + GAP_Y // 2


def _node(step: Step, place: _Place, states: dict[str, str], notes: dict[str, str]) -> Markup:
    x, y = place
    title = step.body.get("DisplayName") or step.name
    return Markup(
        '<g class="node {state}"><title>{title}: {kind}</title>'
        '<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8"/>'
        '<rect class="stripe" x="{x}" y="{y}" width="4" height="{h}" rx="2"/>'
        '<text class="name" x="{tx}" y="{ny}">{name}</text><text class="note" x="{tx}" y="{ty}">{note}</text></g>'
    ).format(
        state=states.get(step.name, "waiting"),
        title=title,
        kind=step.type,
        x=x,
        y=y,
        w=WIDTH,
        h=HEIGHT,
        tx=x + 14,
        ny=y + 24,
        ty=y + 42,
        name=cut(step.name, LONGEST),
        note=notes.get(step.name, "not run"),
    )


def _linked(node: Markup, address: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(address, node) if address else node
