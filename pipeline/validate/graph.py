"""The order of the steps: DependsOn, cycles, and references into the branch of a condition."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.validate.document import Document, Step
from pipeline.validate.node import Node, duplicates, nearest, quote


def check_depends_on(document: Document, step: Step) -> None:
    """Records the edges; unknown names, doubles and Fail steps are findings."""
    depends = step.node["DependsOn"]
    if depends.there and not isinstance(depends.value, list):
        depends.error(f"DependsOn is a list of step names, not {quote(depends.value)}", 'write ["StepName"]')
    for later, _ in duplicates(depends):
        later.warning(f"{later.value} stands twice in DependsOn", "remove one")
    for item in depends:
        name = item.text
        if name is None:
            _not_a_name(item)
        elif name not in document.by_name:
            item.error(
                f"there is no step {quote(name)}", nearest(name, document.by_name, "name a step of this pipeline")
            )
        else:
            document.edges.setdefault(step.name, {}).setdefault(name, item)


def _not_a_name(item: Node) -> None:
    if isinstance(item.value, dict) and "Trigger" in item.value:
        item.error("darkroom does not run steps on another step's failure (Trigger)", "write the step's name alone")
    else:
        item.error(f"DependsOn holds step names, not {quote(item.value)}", "write the step's name in quotes")


def check_order(document: Document) -> None:
    """Needs all edges: run it after the references and DependsOn of every step."""
    for step in document.steps:
        needed = document.edges.get(step.name, {})
        for name, node in needed.items():
            other = document.by_name[name]
            if other.type == "Fail":
                node.error(f"{name} is a Fail step: nothing runs after it", "depend on another step")
            elif name != step.name:
                _check_branches(step, other, node)
        _check_both_branches(document, step, needed)
    _check_cycles(document)


def _check_branches(step: Step, other: Step, node: Node) -> None:
    """`other` may be needed when every branch around it is also around `step`, or with a warning from outside."""
    mine = dict(step.branch)
    for condition, side in other.branch:
        if condition == step.name:
            continue  # a cycle, which _check_cycles reports
        if condition not in mine:
            node.warning(
                f"{other.name} runs only in the {side} of {condition}: {step.name} does not run otherwise",
                f"move {step.name} into that branch, or {other.name} out of it",
            )
            return
        if mine[condition] != side:
            node.error(
                f"{other.name} is in the {side} of {condition}, {step.name} in the {mine[condition]}: both never run",
                f"move {other.name} before {condition}",
            )
            return


def _check_both_branches(document: Document, step: Step, needed: dict[str, Node]) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for name, node in needed.items():
        for condition, side in document.by_name[name].branch:
            earlier = seen.setdefault(condition, (side, name))
            if earlier[0] != side and condition not in dict(step.branch):
                node.error(
                    f"{step.name} needs {earlier[1]} and {name}, in the two branches of {condition}: it can never run",
                    "put a copy of the step into each branch",
                )
                return


def _check_cycles(document: Document) -> None:
    """Peels off what needs nothing that is left; what stays holds cycles, each reported once."""
    needs = {step.name: set(document.edges.get(step.name, {})) for step in document.steps}
    for step in document.steps:
        needs[step.name].update(condition for condition, _ in step.branch[-1:] if condition in needs)
    _peel(needs, [name for name in needs if not needs[name]])
    while needs:
        cycle = list(_a_cycle(needs))
        _report_cycle(document, cycle)
        removed = set(cycle)
        for name in removed:
            del needs[name]
        ready = []
        for name, others in needs.items():
            others -= removed
            if not others:
                ready.append(name)
        _peel(needs, ready)


def _peel(needs: dict[str, set[str]], ready: list[str]) -> None:
    needed_by: dict[str, list[str]] = {}
    for name, others in needs.items():
        for other in others:
            needed_by.setdefault(other, []).append(name)
    while ready:
        name = ready.pop()
        needs.pop(name, None)
        for other in needed_by.get(name, ()):
            if other in needs and name in needs[other]:
                needs[other].discard(name)
                if not needs[other]:
                    ready.append(other)


def _a_cycle(needs: dict[str, set[str]]) -> Iterator[str]:
    order: dict[str, int] = {}
    name = next(iter(needs))
    while name not in order:
        order[name] = len(order)
        name = min(needs[name])
    return (step for step, position in order.items() if position >= order[name])


def _report_cycle(document: Document, cycle: list[str]) -> None:
    step = document.by_name[cycle[0]]
    following = cycle[1] if len(cycle) > 1 else cycle[0]
    node = document.edges.get(step.name, {}).get(following, step.node)
    if len(cycle) == 1:
        node.error(f"{step.name} needs itself: a cycle", "refer to an earlier step")
    else:
        node.error(
            "the steps need each other in a cycle: " + " → ".join([*cycle, cycle[0]]), "remove one of these references"
        )
