"""A deployment that is followed: what wakes the function when nothing goes on, and what ends the looking."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.client import PAGE, Hosting
from pipeline.control import deployments
from pipeline.control.deployments import Function, Watcher
from pipeline.errors import DarkroomError, EndpointError, ServiceError, Unavailable

ASKED = "digits-production-v2-0123456789"
DENIED = ServiceError("AccessDeniedException", "not allowed to lambda:InvokeFunction", "Invoke")
THROTTLED = Unavailable("TooManyRequestsException", "Invoke was throttled by AWS", "Invoke")
ENDED = {"errorType": "DeployFailed", "errorMessage": f"the deployment of {ASKED} failed: 7 at 0.2500"}


class Service:
    """An endpoint in service whose deployment stands still, until the function answers what it is `given` next."""

    def __init__(self, *given: DarkroomError | dict[str, str]) -> None:
        self.given = list(given)
        self.tags = {"phase": "deploying", "asked": ASKED, "good": "", "reason": ""}
        hosting = Hosting(
            self, None, SimpleNamespace(describe_alarms=lambda AlarmNames: {"MetricAlarms": []}), None, self
        )
        self.function = Function(hosting, "arn:aws:lambda:us-east-1:111122223333:function:darkroom-deploy")

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        assert json.loads(Payload) == {"action": "advance", "endpoint_name": "digits-production"}
        said = self.given.pop(0)
        if isinstance(said, DarkroomError):
            raise said
        if said == ENDED:
            self.tags |= {"phase": "failed", "reason": "7 at 0.2500"}
        failed = {"FunctionError": "Unhandled"} if "errorType" in said else {}
        return {**failed, "Payload": io.BytesIO(json.dumps(said).encode())}

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        live = {"EndpointStatus": "InService", "EndpointConfigName": ASKED, "EndpointArn": "arn"}
        return {"EndpointName": EndpointName, **live}

    def list_tags(self, ResourceArn: str, MaxResults: int, NextToken: str = "") -> dict[str, Any]:
        """Each tag is a page of its own."""
        assert MaxResults == PAGE
        names = sorted(self.tags)
        number = int(NextToken or 0)
        more = {"NextToken": str(number + 1)} if number + 1 < len(names) else {}
        return {"Tags": [{"Key": f"darkroom:{names[number]}", "Value": self.tags[names[number]]}], **more}

    def followed(self) -> tuple[deployments.Deployment, list[str]]:
        """What came of it, and what was said of the function."""
        said: list[str] = []
        watcher = Watcher(
            lambda seen: None,
            lambda: deployments.nudge(self.function, "digits-production", ASKED, said.append),
            lambda: None,
            lost_s=0.0,
        )
        hosting = self.function.hosting
        seen = deployments.follow(hosting, "digits-production", lambda each: deployments.is_over(each, ASKED), watcher)
        return deployments.outcome("digits-production", seen, ASKED), said


def test_a_function_that_is_throttled_is_asked_again() -> None:
    service = Service(THROTTLED, THROTTLED, ENDED)
    with pytest.raises(EndpointError, match=r"the deployment to 'digits-production' failed: 7 at 0\.2500") as caught:
        service.followed()
    assert service.given == []
    assert caught.value.hint == "darkroom endpoints"  # `darkroom logs` is about executions


@pytest.mark.parametrize(
    "refusal",
    [
        DENIED,
        ServiceError("ResourceNotFoundException", "Function not found", "Invoke"),
        {"errorType": "DeployFailed", "errorMessage": "its tag darkroom:phase is 'x', which nobody wrote"},
        {"errorType": "Runtime.ImportModuleError", "errorMessage": "no module named rollout"},
    ],
)
def test_whatever_else_the_function_answers_ends_the_looking(refusal: DarkroomError | dict[str, str]) -> None:
    """Before, it was said once a minute, for ever."""
    service = Service(refusal, THROTTLED)
    with pytest.raises(DarkroomError):
        service.followed()
    assert service.given == [THROTTLED]


def test_an_update_that_is_taken_back_is_told_as_that() -> None:
    other = "e-v1-0123456789"
    back = deployments.Deployment("e", "Updating", other, "deploying", ASKED, other, "", "", (), {})
    assert deployments.told(back)[0].endswith("version 2 (0123456789) takes the place of version 1 (0123456789)")
    for status in ("RollingBack", "InService"):
        said = deployments.told(back._replace(status=status))[0]
        assert said == f"e: {status}, version 2 (0123456789) is taken back, version 1 (0123456789) stays"


def test_an_endpoint_that_goes_is_not_told_as_good() -> None:
    """Its tags go with it, and say until then what they said before."""
    going = deployments.Deployment("e", "Deleting", ASKED, "good", ASKED, ASKED, "", "", (), {})
    assert deployments.told(going) == ["e: Deleting, all of it goes"]
    assert deployments.told(going._replace(status="InService")) == ["e: InService, version 2 (0123456789) is good"]
