"""An endpoint and what was made for it go, in an order in which an interruption leaves nothing that cannot be found.

What is found by its name is looked for anew each time: a second removal takes what the first one left.
"""

from __future__ import annotations

from collections import namedtuple

from pipeline.client import pages
from pipeline.control import scaling
from pipeline.control.endpoints import DELETING
from pipeline.control.fleets import made_for
from pipeline.errors import DarkroomError, ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from pipeline.client import Hosting

VARIANT = "AllTraffic"  # as deploy calls it: where the endpoint is gone, its scaling may still be there
_GONE = ("ObjectNotFoundException", "ResourceNotFound", "ResourceNotFoundException")
_ABSENT = ("ValidationException", *_GONE)  # of calls that describe

# kind as people call it; name; delete() does it
Part = namedtuple("Part", "kind name delete")


def parts(hosting: Hosting, name: str, ours: bool) -> list[Part]:
    """Everything that goes, in its order: what scales, alarms, the endpoint, its configurations, their models.

    Of an endpoint that is not `ours` only what it names itself. Nothing that another endpoint uses goes.
    """
    endpoint = _endpoint(hosting, name)
    configs = _configs(hosting, name, endpoint, ours)
    found = list(_scaling(hosting, name, endpoint, ours))
    if ours:
        found += _alarms(hosting, name)
    if endpoint is not None and endpoint["EndpointStatus"] != DELETING:
        found.append(
            Part("endpoint", name, lambda: _once(lambda: hosting.sagemaker.delete_endpoint(EndpointName=name)))
        )
    found += [Part("endpoint configuration", each, _delete_config(hosting, each)) for each in configs]
    found += [Part("model", each, _delete_model(hosting, each)) for each in _models(hosting, name, configs, ours)]
    return found


def remove(found: Sequence[Part], say: Callable[[str], None]) -> None:
    """Deletes in order, saying each. Raises the error of the one that cannot go, with what is left."""
    for number, part in enumerate(found):
        try:
            part.delete()
        except DarkroomError as exc:
            gone, left = number, len(found) - number
            exc.message = f"{part.kind} {part.name}: {exc.message}\n  {gone} deleted, {left} left; run it again"
            raise
        say(f"deleted {part.kind} {part.name}")


def _configs(hosting: Hosting, name: str, endpoint: dict[str, Any] | None, ours: bool) -> list[str]:
    """The endpoint's own, and those of its earlier versions; none that another one uses."""
    wanted = [endpoint["EndpointConfigName"]] if endpoint else []
    if ours:
        rows = pages(hosting.sagemaker.list_endpoint_configs, "EndpointConfigs")
        wanted += [row["EndpointConfigName"] for row in rows if made_for(row["EndpointConfigName"], name)]
    used = {config for other, config in _uses(hosting) if other != name}
    return [each for each in dict.fromkeys(wanted) if each not in used]


def _uses(hosting: Hosting) -> Iterator[tuple[str, str]]:
    """(endpoint, its configuration) of all."""
    for row in pages(hosting.sagemaker.list_endpoints, "Endpoints"):
        name = row["EndpointName"]
        endpoint = _endpoint(hosting, name)
        if endpoint is not None:
            yield name, endpoint["EndpointConfigName"]


def _models(hosting: Hosting, name: str, configs: Sequence[str], ours: bool) -> list[str]:
    wanted = [model for config in configs for model in _named(hosting, config)]
    if ours:
        rows = pages(hosting.sagemaker.list_models, "Models")
        wanted += [row["ModelName"] for row in rows if made_for(row["ModelName"], name)]
    others = {config for other, config in _uses(hosting) if other != name}
    used = {model for config in others for model in _named(hosting, config)}
    return [each for each in dict.fromkeys(wanted) if each not in used]


def _named(hosting: Hosting, config: str) -> list[str]:
    """Models of a configuration; none where that is gone."""
    found = _described(lambda: hosting.sagemaker.describe_endpoint_config(EndpointConfigName=config))
    return [each["ModelName"] for each in (found or {}).get("ProductionVariants", ()) if "ModelName" in each]


def _scaling(hosting: Hosting, name: str, endpoint: dict[str, Any] | None, ours: bool) -> Iterator[Part]:
    """A policy's own alarms go with it."""
    variants = [each["VariantName"] for each in (endpoint or {}).get("ProductionVariants", ())]
    for variant in dict.fromkeys([*variants, *([VARIANT] if ours else [])]):
        resource = scaling.resource_of(name, variant)
        for policy in scaling.policies(hosting, name, variant):
            which = {**resource, "ScalableDimension": policy["ScalableDimension"], "PolicyName": policy["PolicyName"]}
            yield Part("scaling policy", policy["PolicyName"], _delete_policy(hosting, which))
        for target in scaling.targets(hosting, name, variant):
            which = {**resource, "ScalableDimension": target["ScalableDimension"]}
            yield Part("scalable target", resource["ResourceId"], _deregister(hosting, which))


def _alarms(hosting: Hosting, name: str) -> Iterator[Part]:
    """Those of its updates, which are called after its configurations; the stack's are the stack's."""
    request: dict[str, Any] = {"AlarmTypes": ["MetricAlarm"]}
    while True:
        answer = hosting.alarms.describe_alarms(**request)
        for alarm in answer["MetricAlarms"]:
            if made_for(alarm["AlarmName"], name):
                yield Part("alarm", alarm["AlarmName"], _delete_alarm(hosting, alarm["AlarmName"]))
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]


def _delete_config(hosting: Hosting, name: str) -> Callable[[], None]:
    return lambda: _once(lambda: hosting.sagemaker.delete_endpoint_config(EndpointConfigName=name))


def _delete_model(hosting: Hosting, name: str) -> Callable[[], None]:
    return lambda: _once(lambda: hosting.sagemaker.delete_model(ModelName=name))


def _delete_policy(hosting: Hosting, which: dict[str, str]) -> Callable[[], None]:
    return lambda: _once(lambda: hosting.scaling.delete_scaling_policy(**which))


def _deregister(hosting: Hosting, which: dict[str, str]) -> Callable[[], None]:
    return lambda: _once(lambda: hosting.scaling.deregister_scalable_target(**which))


def _delete_alarm(hosting: Hosting, name: str) -> Callable[[], None]:
    return lambda: _once(lambda: hosting.alarms.delete_alarms(AlarmNames=[name]))


def _endpoint(hosting: Hosting, name: str) -> dict[str, Any] | None:
    return _described(lambda: hosting.sagemaker.describe_endpoint(EndpointName=name))


def _described(describe: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return describe()
    except ServiceError as exc:
        if exc.code not in _ABSENT:
            raise
        return None


def _once(delete: Callable[[], object]) -> None:
    """What somebody else has deleted meanwhile, or an answer that was lost, is done.

    SageMaker says "Could not find" in a ValidationException, with which it also refuses an endpoint that is updated.
    """
    try:
        delete()
    except ServiceError as exc:
        if exc.code not in _GONE and "could not find" not in exc.message.lower():
            raise
