"""Deployments as the deploying function does them: asked for, looked at, followed to their end; here as on AWS.

What the function keeps in the endpoint's tags says where a deployment stands (entrypoints/rollout/record.py); whoever
follows it only reads, and wakes the function where an event seems to have been lost.
"""

from __future__ import annotations

import json
import time
from collections import namedtuple

from pipeline.client import pages
from pipeline.control.endpoints import DELETING, IN_PROGRESS, IN_SERVICE, ROLLING_BACK
from pipeline.errors import DarkroomError, EndpointError, ServiceError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Protocol, TypeVar

    from pipeline.client import Hosting

    Found = TypeVar("Found")

    class Ask(Protocol):
        def __call__(self, part: str, question: Callable[[], Found], otherwise: Found, /) -> Found: ...


PREFIX = "darkroom:"
MARK, PHASE = f"{PREFIX}asked", f"{PREFIX}phase"
GOOD, FAILED, LEAVING, SUPERSEDED = "good", "failed", "leaving", "superseded"
REST = (GOOD, FAILED)  # nothing follows of itself
LOST_S = 60.0  # an endpoint at rest whose deployment does not go on: its event takes seconds
_ABSENT = ("ValidationException", "ResourceNotFound")

# status, serves: of DescribeEndpoint; phase, asked, good, before, reason: of the record, empty where there is none;
# fleets: who has the traffic, and who comes; alarms: name → state of those that guard the deployment; failure: why the
# endpoint is Failed
Deployment = namedtuple(
    "Deployment", "name status serves phase asked good before reason fleets alarms failure", defaults=("",)
)
# doing: what SageMaker says of it, such as how much of the traffic it takes; empty when it only serves
Fleet = namedtuple("Fleet", "config variant count wanted weight doing")

# show(deployment) hears of each change; nudge() is called when an endpoint is at rest for `lost_s` seconds, and its
# deployment is not; pause() until the next look
Watcher = namedtuple("Watcher", "show nudge pause lost_s")


class Function:
    """The deploying function: `arn` of the one that `hosting` reaches."""

    def __init__(self, hosting: Hosting, arn: str) -> None:
        self.hosting = hosting
        self.arn = arn

    def __call__(self, action: str, endpoint: str, **event: str) -> dict[str, Any]:
        """What its handler answers. Raises DarkroomError with what it says where it refuses, or fails."""
        payload = {**event, "action": action, "endpoint_name": endpoint}
        try:
            answer = self.hosting.functions.invoke(FunctionName=self.arn, Payload=json.dumps(payload).encode())
        except ServiceError as exc:
            if exc.code != "ResourceNotFoundException":
                raise
            hint = "the stack brings it: darkroom infra, docs/aws.md"
            raise DarkroomError(f"there is no function {self.arn}", hint) from exc
        said = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer:
            raise _failed(self.arn, said if isinstance(said, dict) else {"errorMessage": str(said)})
        if not isinstance(said, dict):
            raise EndpointError(f"{self.arn} answers {said!r}: it is none of darkroom's", "look at deploy.function")
        return said


def _failed(arn: str, said: Mapping[str, Any]) -> DarkroomError:
    """Errors of the handler's own are sentences; others say which function broke."""
    kind, words = str(said.get("errorType", "")), str(said.get("errorMessage", ""))
    match kind:
        case "DeployRefused":
            return DarkroomError(words, "nothing was begun")
        case "DeployFailed":
            return EndpointError(words, "darkroom endpoints")
    hint = f"its log is /aws/lambda/{arn.rpartition(':')[2]}; it may be called again"
    return EndpointError(f"{arn} failed: {kind}: {words}", hint)


def _needed(_part: str, question: Callable[[], Found], _otherwise: Found) -> Found:
    return question()


def look(hosting: Hosting, name: str, ask: Ask = _needed) -> Deployment | None:
    """Where the endpoint stands; None where there is none. `ask`, as Gaps has it, bears what may not be asked."""
    none: dict[str, str] = {}
    try:
        live = hosting.sagemaker.describe_endpoint(EndpointName=name)
        tags = ask("deployment", lambda: _tags(hosting, live["EndpointArn"]), none)
    except ServiceError as exc:
        if exc.code not in _ABSENT:
            raise
        return None
    record = {key: tags.get(f"{PREFIX}{key}", "") for key in ("phase", "asked", "good", "before", "reason")}
    asked, settings = record["asked"], tags.get(f"{PREFIX}alarms", "")
    alarms = ask("alarms", lambda: _alarms(hosting, asked, settings), none) if asked else none
    fleets = tuple(_fleets(live))
    status, serves, failure = live["EndpointStatus"], live["EndpointConfigName"], live.get("FailureReason") or ""
    return Deployment(name, status, serves, **record, fleets=fleets, alarms=alarms, failure=failure)


def follow(
    hosting: Hosting, name: str, over: Callable[[Deployment | None], bool], watcher: Watcher
) -> Deployment | None:
    """Shows each change until it is over."""
    shown, since = None, time.monotonic()
    while True:
        seen = look(hosting, name)
        if seen != shown:
            shown, since = seen, time.monotonic()
            if seen is not None:
                watcher.show(seen)
        if over(seen):
            return seen
        if time.monotonic() - since > watcher.lost_s and (seen is None or seen.status not in IN_PROGRESS):
            since = time.monotonic()
            watcher.nudge()
        watcher.pause()


def nudge(function: Function, name: str, asked: str, say: Callable[[str], None]) -> None:
    """Wakes the function for an event that seems lost; what cannot be asked now is asked again at the next loss.

    Raises DarkroomError for all else: a function that is denied, gone or broken would be asked for ever. Only what it
    raises for a deployment that has ended stands in the endpoint's tags as well, and is told from there.
    """
    try:
        function("advance", name)
    except Unavailable as exc:
        say(exc.message)
    except EndpointError:
        if not is_over(look(function.hosting, name), asked):
            raise


def outcome(name: str, seen: Deployment | None, asked: str) -> Deployment:
    """The deployment of configuration `asked`, when it is good. Raises EndpointError with the reason otherwise."""
    if seen is None:
        raise EndpointError(f"endpoint {name!r} was deleted meanwhile", "darkroom deploy")
    if seen.asked != asked:
        raise EndpointError(f"another deployment took over: {name!r} is to serve {seen.asked}", "darkroom endpoints")
    if seen.phase != GOOD:
        raise EndpointError(f"the deployment to {name!r} failed: {seen.reason}", _next(seen))
    return seen


def is_over(seen: Deployment | None, asked: str) -> bool:
    return seen is None or seen.asked != asked or (seen.phase in REST and seen.status not in IN_PROGRESS)


def told(seen: Deployment) -> list[str]:
    """Lines of plain words."""
    lines = [f"{seen.name}: {seen.status}, {phase(seen)}"]
    lines += [f"  {_fleet(each)}" for each in seen.fleets]
    if seen.alarms and seen.phase not in REST:
        lines.append("  alarms: " + ", ".join(f"{_short(name, seen)} {state}" for name, state in seen.alarms.items()))
    return lines


def version(config: str) -> str:
    """'version 3' of a configuration that the function has named, else its name."""
    front, _, digest = config.rpartition("-")
    number = front.rpartition("-v")[2]
    ours = number.isdecimal() and len(digest) == 10
    return f"version {number} ({digest})" if ours else config


def phase(seen: Deployment) -> str:
    """Where it stands, in words."""
    asked = version(seen.asked)
    if seen.status == DELETING:  # its record goes with it, and says until then what it was
        return "all of it goes"
    match seen.phase:
        case "deploying" if seen.serves == seen.asked and seen.status == IN_SERVICE:
            return f"{asked} serves; golden pictures and scaling follow"
        case "asking" | "deploying" if seen.serves == seen.asked:
            return f"{asked} comes"
        case "deploying" if seen.status in (ROLLING_BACK, IN_SERVICE):
            return f"{asked} is taken back, {version(seen.serves)} stays"
        case "asking" | "deploying":
            return f"{asked} takes the place of {version(seen.serves)}"
        case "undoing" | "restoring":
            return f"back to {version(seen.good)}: {seen.reason}"
        case "good":
            return f"{asked} is good"
        case "failed":
            return f"{asked} failed: {seen.reason}"
        case "leaving":
            return "it is to be deleted"
        case _:
            return f"serves {version(seen.serves)}"


def _fleet(each: Fleet) -> str:
    doing = f": {each.doing}" if each.doing else ""
    count = each.count if each.count == each.wanted else f"{each.count} of {each.wanted}"
    return f"{version(each.config)}, variant {each.variant}: weight {each.weight:g}, {count} instance(s){doing}"


def _short(alarm: str, seen: Deployment) -> str:
    return alarm.removeprefix(f"{seen.asked}-")


def _next(seen: Deployment) -> str:
    """Where there is no good one the model itself may not start: the list says where its log is."""
    if not seen.good:
        return "darkroom endpoints"
    return f"{seen.name} serves {version(seen.serves)}; mend it, then deploy again"


def _fleets(live: Mapping[str, Any]) -> Iterator[Fleet]:
    """Of the configuration that serves, then of the one that comes: both have traffic while it shifts."""
    pending = live.get("PendingDeploymentSummary") or {}
    both = [(live["EndpointConfigName"], each) for each in live.get("ProductionVariants") or ()]
    both += [(pending["EndpointConfigName"], each) for each in pending.get("ProductionVariants") or ()]
    for config, each in both:
        now = (each.get("VariantStatus") or [{}])[-1]
        doing = str(now.get("StatusMessage") or now.get("Status") or "")
        count, wanted = int(each.get("CurrentInstanceCount") or 0), int(each.get("DesiredInstanceCount") or 0)
        yield Fleet(config, each["VariantName"], count, wanted, float(each.get("CurrentWeight") or 0), doing)


def _alarms(hosting: Hosting, config: str, settings: str) -> dict[str, str]:
    """As entrypoints/rollout/alarms.py names them; `also=a+b` of the settings are somebody's own."""
    others = next((part[5:].split("+") for part in settings.split() if part.startswith("also=")), [])
    names = [f"{config}-errors", f"{config}-latency", *others]
    found = hosting.alarms.describe_alarms(AlarmNames=names)["MetricAlarms"]
    return {each["AlarmName"]: each["StateValue"] for each in found}


def _tags(hosting: Hosting, arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in pages(hosting.sagemaker.list_tags, "Tags", ResourceArn=arn)}
