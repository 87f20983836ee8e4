"""Where AWS's cache keys surprise: what changed without a miss, and data that is new under an old address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import cache_keys
from pipeline.client import Clients
from pipeline.definition import Step, references
from pipeline.errors import ServiceError
from pipeline.plan import values
from pipeline.plan.archives import content_addressed
from pipeline.plan.caching import HIT, SKIPPED, Forecast
from pipeline.plan.difference import Field, fields
from pipeline.plan.history import Run

_OWNER = "either"  # of what executions call themselves: it differs anyway
_OWN = tuple(f"Execution.{name}" for name in values.OWN_VARIABLES)
MOST_OBJECTS = 10_000  # that are looked at below one address


@dataclass(frozen=True)
class Surprise:
    """`fields` are those that the text is about, if any."""

    step: str
    text: str
    fields: tuple[Field, ...] = ()


def surprises(clients: Clients, forecast: Forecast) -> list[Surprise]:
    found: list[Surprise] = []
    written = _written(forecast)
    for prediction in forecast.predictions:
        step = forecast.definition.steps[prediction.step]
        if prediction.outcome == HIT and forecast.past:
            run = forecast.past.run(prediction.source)
            found += _unnoticed(forecast, step, run)
            found += _new_data(clients, forecast, step, run)
            found += _overwritten(forecast, step, written)
        elif prediction.outcome != SKIPPED:
            found += _never(step)
    return found


def _unnoticed(forecast: Forecast, step: Step, run: Run) -> Iterator[Surprise]:
    """Fields that differ from the run whose results are taken, and are no part of the key."""
    had = run.request(step.name, _OWNER)
    if had is None:
        return
    now = forecast.request(step, _OWNER)
    changed = tuple(fields(_uncompared(step.type, had), _uncompared(step.type, now), ""))
    told = tuple(field for field in changed if not values.unknowns(field.new))
    if told:
        names = ", ".join(field.path for field in told)
        text = f"hits although {names} changed: AWS's cache does not compare it; the change waits for the next miss"
        yield Surprise(step.name, text, told)


def _new_data(clients: Clients, forecast: Forecast, step: Step, run: Run) -> Iterator[Surprise]:
    began = run.started(step.name)
    for address in sorted(_inputs(cache_keys.compared(step.type, forecast.request(step)))):
        if content_addressed(address):
            continue
        try:
            newer = _newer(clients, address, began)
        except ServiceError as exc:
            yield Surprise(step.name, f"hits; whether {address} holds newer data cannot be told: {exc.message}")
            continue
        if newer:
            text = (
                f"hits although {address} holds data that is newer than the run it takes: AWS compares addresses only"
            )
            yield Surprise(step.name, f"{text} ({newer})")


def _newer(clients: Clients, address: str, began: float) -> str:
    """The first object that was written after `began`."""
    for number, entry in enumerate(clients.storage.list(address)):
        if number == MOST_OBJECTS:
            break
        if entry.modified > began:
            return str(entry.uri)
    return ""


def _overwritten(forecast: Forecast, step: Step, written: Mapping[str, str]) -> Iterator[Surprise]:
    """Steps that run again into the very address that a hit has its input from."""
    for address in sorted(_inputs(cache_keys.compared(step.type, forecast.request(step)))):
        for target, writer in written.items():
            if writer != step.name and (target.startswith(address) or address.startswith(target)):
                yield Surprise(step.name, f"hits although {writer} runs and writes to its input {address} again")


def _written(forecast: Forecast) -> dict[str, str]:
    """Fixed addresses that steps write to which do not come from the cache."""
    found = {}
    for prediction in forecast.predictions:
        if prediction.outcome in (HIT, SKIPPED) or prediction.kind not in cache_keys.ATTRIBUTES:
            continue
        request = forecast.request(forecast.definition.steps[prediction.step])
        for target in _outputs(request):
            if not values.names_execution(target):
                found[target] = prediction.step
    return found


def _never(step: Step) -> Iterator[Surprise]:
    """A key that holds what differs from one execution to the next."""
    if not cache_keys.enabled(step.body):
        return
    asked = references(cache_keys.compared(step.type, step.arguments), "")
    names = [f"{each.path[1:]} ({each.node['Get']})" for each in asked if each.node.get("Get") in _OWN]
    if names:
        yield Surprise(step.name, f"can never hit: {', '.join(names)} differs in every execution")


def _uncompared(kind: str, request: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(request)
    for attribute, members in cache_keys.ATTRIBUTES[kind].items():
        if attribute not in rest:
            continue
        if not members:
            del rest[attribute]
        elif isinstance(rest[attribute], list):
            rest[attribute] = [_without(item, members) for item in rest[attribute]]
        else:
            rest[attribute] = _without(rest[attribute], members)
    return rest


def _without(value: Mapping[str, Any], members: tuple[str, ...]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in members}


def _inputs(value: Any, key: str = "") -> set[str]:
    """Addresses of data that a request reads."""
    if isinstance(value, str):
        return {value} if key == "S3Uri" and value.startswith("s3://") and not values.names_execution(value) else set()
    if isinstance(value, list):
        return set().union(*(_inputs(item) for item in value))
    return set().union(*(_inputs(item, name) for name, item in value.items())) if isinstance(value, dict) else set()


def _outputs(request: Mapping[str, Any]) -> Iterator[str]:
    for output in (request.get("ProcessingOutputConfig") or {}).get("Outputs") or ():
        target = (output.get("S3Output") or {}).get("S3Uri")
        if isinstance(target, str):
            yield target
    target = (request.get("TransformOutput") or {}).get("S3OutputPath")
    if isinstance(target, str):
        yield target
