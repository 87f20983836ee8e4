"""For every step: does the next execution take it from the cache, and if not, because of what?

It goes by the attributes that AWS documents (pipeline/cache_keys.py), against the newest successes as the service lists
them. What cannot be known before a step has run is said to be unknown until then; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipeline import cache_keys
from pipeline.client import Clients
from pipeline.definition import BRANCHES, Definition, Step
from pipeline.errors import DefinitionError
from pipeline.local import conditions
from pipeline.local.resolve import Scope
from pipeline.plan import values
from pipeline.plan.difference import ABSENT, Field
from pipeline.plan.history import Past, Run, pipeline_variables

HIT, RUNS, UNKNOWN, SKIPPED = "hit", "runs", "unknown", "skipped"
NEW = "new"  # owner of the stand-ins for what the next execution calls itself
JOBS = (*cache_keys.ATTRIBUTES,)  # the types that cost money by the hour
_UNTOLD = ("AutoML", "ClarifyCheck", "EMR", "QualityCheck")  # AWS caches them, too; this machine cannot run them
NO_RUN, EXPIRED = "no earlier run", "expired"


@dataclass(frozen=True)
class Prediction:
    """`paths`: where the cache key differs from the newest success, as the service would name it; or one word of why.

    `fields`: the same with values. `until`: steps to wait for. `only_if`: conditions that are open. `likely`: for what
    is unknown, whether it will rather run. `below`: steps that run and leave it another input than last time.
    `source`: whose results a hit takes, or the newest success.
    """

    step: str
    kind: str
    outcome: str
    reason: str = ""
    paths: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    until: tuple[str, ...] = ()
    only_if: tuple[str, ...] = ()
    likely: bool = True
    below: tuple[str, ...] = ()
    source: str = ""


class Forecast:
    """Predictions for one definition with these values of parameters. `past` is None where nothing is deployed."""

    def __init__(
        self, clients: Clients, definition: Definition, parameters: Mapping[str, Any], past: Past | None, now: float
    ) -> None:
        self._storage = clients.storage
        self.definition = definition
        self.parameters = parameters
        self.past = past
        self._now = now
        self._properties: dict[str, dict[str, Any]] = {}
        self._branches: dict[str, str] = {}  # condition → the branch that it will take, where that is known
        self._anew: set[str] = set()
        self._found: dict[str, Prediction] = {}

    @cached_property
    def predictions(self) -> list[Prediction]:
        """In the definition's order."""
        for name in _order(self.definition):
            step = self.definition.steps[name]
            self._found[name] = self._gated(step, self._absent(step) or self._predict(step))
        return [self._found[name] for name in self.definition.steps]

    def scope(self, owner: str = NEW) -> Scope:
        arn = self.past.pipeline_arn if self.past else ""
        variables = {**values.own_variables(owner), **pipeline_variables(arn)}
        return Scope(self.definition, self._storage, self.parameters, variables, self._properties)

    def request(self, step: Step, owner: str = NEW) -> dict[str, Any]:
        """What the step will be called with, as far as that is known."""
        resolved: dict[str, Any] = values.resolve(step.arguments, self.scope(owner), step.name, step.path, self._anew)
        return resolved

    def _absent(self, step: Step) -> Prediction | None:
        """A step in the branch not taken, and whatever waits for it, never starts."""
        branch = self._branches.get(step.parent, step.branch)
        if branch != step.branch:
            taken = "holds" if branch == BRANCHES[0] else "does not hold"
            return Prediction(step.name, step.type, SKIPPED, f"{step.parent} {taken}", likely=False)
        for other in sorted(self.definition.dependencies(step.name)):
            if self._found[other].outcome == SKIPPED:
                return Prediction(step.name, step.type, SKIPPED, f"it waits for {other}", likely=False)
        return None

    def _gated(self, step: Step, found: Prediction) -> Prediction:
        """With the conditions around it, and around those that it waits for, that cannot be decided yet."""
        open_ones = {name for other in self.definition.dependencies(step.name) for name in self._found[other].only_if}
        if step.parent and step.parent not in self._branches:
            open_ones.add(step.parent)
        if not open_ones or found.outcome == SKIPPED:
            return found
        return replace(found, only_if=tuple(sorted(open_ones)))

    def _predict(self, step: Step) -> Prediction:
        match step.type:
            case "Condition":
                return self._condition(step)
            case "Fail":
                message = values.resolve(step.arguments.get("ErrorMessage", ""), self.scope(), step.name, step.path)
                said = "" if values.unknowns(message) else f": {values.readable(message)}"
                return Prediction(step.name, step.type, RUNS, f"ends the execution{said}")
            case kind if kind not in cache_keys.ATTRIBUTES:
                return self._other(step)
            case _:
                found = self._job(step)
        if found.outcome == HIT and self.past:
            self._properties[step.name] = self.past.run(found.source).properties[step.name]
        else:
            self._anew.add(step.name)
            if found.outcome == RUNS:  # Describe will answer with these members of the request
                self._properties[step.name] = self.request(step)
        return found

    def _other(self, step: Step) -> Prediction:
        """A step whose type is not in the table of cache keys."""
        if step.type in _UNTOLD and (step.body.get("CacheConfig") or {}).get("Enabled"):
            self._anew.add(step.name)
            reason = f"what the cache compares of {_a(step.type)} step is not known here"
            return Prediction(step.name, step.type, UNKNOWN, reason)
        return Prediction(step.name, step.type, RUNS, f"{_a(step.type)} step is never cached")

    def _condition(self, step: Step) -> Prediction:
        path = f"{step.path}.Arguments.Conditions"
        resolved = values.resolve(step.arguments.get("Conditions"), self.scope(), step.name, path, self._anew)
        if waits := values.unknowns(resolved):
            return Prediction(step.name, step.type, UNKNOWN, until=self._roots(waits))
        holds = conditions.holds(resolved, step.name, path)
        self._branches[step.name] = BRANCHES[not holds]
        return Prediction(step.name, step.type, RUNS, "holds" if holds else "does not hold")

    def _job(self, step: Step) -> Prediction:
        if not cache_keys.enabled(step.body):
            return Prediction(step.name, step.type, RUNS, "its cache is off")
        wanted = cache_keys.compared(step.type, self.request(step))
        oldest = self._now - self._expiry(step)
        newest: Run | None = None
        unread: Run | None = None
        for run in self.past.successes(step.name) if self.past else ():
            newest = newest or run
            had = run.compared(step.name)
            if had is None:
                unread = unread or run
            elif _may_equal(had, wanted) and run.ended(step.name) >= oldest:
                return self._equal(step, wanted, run)
        if newest is None:
            return Prediction(step.name, step.type, RUNS, NO_RUN, (NO_RUN,))
        if unread is not None:
            reason = f"what it was called with in {unread.id} can no longer be read"
            return Prediction(step.name, step.type, UNKNOWN, reason, source=newest.arn)
        return self._miss(step, wanted, newest)

    def _equal(self, step: Step, wanted: Mapping[str, Any], run: Run) -> Prediction:
        waits = values.unknowns(wanted)
        if not waits:
            return Prediction(step.name, step.type, HIT, likely=False, source=run.arn)
        until = self._roots(waits)
        likely = any(self.definition.steps[name].type in JOBS for name in until)
        return Prediction(step.name, step.type, UNKNOWN, until=until, likely=likely, source=run.arn)

    def _miss(self, step: Step, wanted: Mapping[str, Any], newest: Run) -> Prediction:
        had = newest.compared(step.name) or {}
        found = cache_keys.paths(had, wanted)
        if not found:
            return Prediction(step.name, step.type, RUNS, EXPIRED, (EXPIRED,), source=newest.arn)
        told = tuple(Field(path, *(values.readable(_at(side, path)) for side in (had, wanted))) for path in found)
        asked = _places(cache_keys.compared(step.type, step.arguments), "")
        below = {name for field in told if names_next(field) for name in values.referred(asked.get(field.path))}
        return Prediction(
            *(step.name, step.type, RUNS, "", tuple(found), told), below=tuple(sorted(below)), source=newest.arn
        )

    def _expiry(self, step: Step) -> float:
        where = f"{step.path}.CacheConfig.ExpireAfter"
        text = self.scope().resolve(step.body["CacheConfig"].get("ExpireAfter", ""), step.name, where)
        try:
            return cache_keys.expiry_seconds(text)
        except ValueError as exc:
            raise DefinitionError(f"{step.name}: {where}: {exc}") from exc

    def _roots(self, waits: frozenset[str]) -> tuple[str, ...]:
        """The steps whose end decides: those that run, not those that wait for them."""
        found: set[str] = set()
        for name in waits:
            found.update(self._found[name].until or (name,))
        return tuple(sorted(found))


def _order(definition: Definition) -> Iterator[str]:
    """Every step after those that it depends on. Raises DefinitionError where they wait for one another."""
    waiting = {name: set(definition.dependencies(name)) for name in definition.steps}
    while waiting:
        ready = [name for name, needs in waiting.items() if not needs & waiting.keys()]
        if not ready:
            raise DefinitionError(f"steps wait for one another: {', '.join(waiting)}", "darkroom validate")
        for name in ready:
            del waiting[name]
        yield from ready


def _may_equal(had: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Keys are compared as JSON, in which 1 is not 1.0; but nothing is known of what is Unknown."""
    if values.unknowns(wanted):
        return not cache_keys.paths(had, wanted)
    return cache_keys.text(had) == cache_keys.text(wanted)


def names_next(field: Field) -> bool:
    """Whether the new value holds what only the next execution has, such as its id in an address."""
    return any(f"<{name}>" in text for text in _texts(field.new) for name in values.OWN_VARIABLES)


def _texts(value: Any) -> Iterator[str]:
    yield from (item for item in _places(value, "").values() if isinstance(item, str))


def _at(value: Any, path: str) -> Any:
    """What stands at a path of cache_keys.paths; ABSENT where nothing does."""
    found = _places(value, "")
    return found.get(path, ABSENT)


def _places(value: Any, path: str) -> dict[str, Any]:
    items = (
        [(f"{path}.{key}" if path else key, item) for key, item in value.items()]
        if isinstance(value, dict)
        else [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        if isinstance(value, list)
        else []
    )
    return {path: value} | {name: inner for where, item in items for name, inner in _places(item, where).items()}


def _a(word: str) -> str:
    return f"{'an' if word[:1] in 'AEIOU' else 'a'} {word}"
