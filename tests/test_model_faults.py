"""Every single call of `show-model` and `compare` fails once, in each way: what is then told, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aws_account import AWS, Account, account, command
from registered import Registered, against, evaluated

from pipeline.client import Clients
from pipeline.control import registry
from pipeline.errors import DarkroomError, ServiceError, Unavailable
from pipeline.local.server import LoopbackServer
from pipeline.models import comparison, dossier
from pipeline.models.comparison import Comparison
from pipeline.models.dossier import Dossier

Capture = pytest.CaptureFixture[str]
MOST_CALLS = 60
Ask = Callable[[Clients], object]


def show(clients: Clients) -> Dossier:
    return dossier.of(clients, registry.find(clients, 2, "digits"))


def compare(clients: Clients) -> Comparison:
    """As the command does it."""
    two = (dossier.of(clients, registry.find(clients, version, "digits"), whole=False) for version in (2, 1))
    return comparison.compare(clients, *two)


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(server, tmp_path_factory.mktemp("account")) as made:
        local = Registered(Path(server.home))
        local.add()
        local.decide(1, "Approved")
        local.add(evaluated(0.92, champion=against(local.package(1)["ModelPackageArn"])), code="f" * 16)
        yield made


class Faulty:
    """A client of which the n-th call, to the service or to S3, ends in this error; `calls` are the methods so far."""

    def __init__(self, clients: Clients, number: int, error: ServiceError) -> None:
        self.calls: list[str] = []
        self.number, self.error = number, error
        self.clients = clients._replace(sagemaker=_Side(self, clients.sagemaker), storage=_Side(self, clients.storage))

    def ask(self, method: Any, name: str, *args: Any, **request: Any) -> Any:
        self.calls.append(name)
        if len(self.calls) == self.number:
            raise self.error
        return method(*args, **request)


class _Side:
    def __init__(self, faulty: Faulty, real: Any) -> None:
        self.faulty, self.real = faulty, real

    def __getattr__(self, name: str) -> Any:
        return partial(self.faulty.ask, getattr(self.real, name), name)


def each_call_at(aws: Account, error: ServiceError, ask: Ask) -> list[tuple[str, object]]:
    """Of a round for each call: the method that failed, and what came of it, an error or an answer."""
    said: list[tuple[str, object]] = []
    for number in range(1, MOST_CALLS):
        faulty = Faulty(aws.clients, number, error)
        try:
            found = ask(faulty.clients)
        except DarkroomError as exc:
            found = exc
        if len(faulty.calls) < number:
            assert not isinstance(found, DarkroomError)
            return said
        said.append((faulty.calls[number - 1], found))
    raise AssertionError(f"more than {MOST_CALLS} calls")


@pytest.mark.parametrize("ask", [show, compare])
@pytest.mark.parametrize(
    "error",
    [
        Unavailable("NoAnswer", "got no answer"),
        ServiceError("ExpiredToken", "AWS's credentials have expired"),
        ServiceError("UnrecognizedClientException", "AWS does not know these credentials"),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_what_is_wrong_with_the_service_or_the_credentials_ends_it(aws: Account, error: ServiceError, ask: Ask) -> None:
    said = each_call_at(aws, error, ask)
    assert len(said) > 15
    assert [name for name, found in said if found is not error] == []


@pytest.mark.parametrize("ask", [show, compare])
def test_what_the_caller_may_not_ask_is_not_known_and_what_would_allow_it_is_told(aws: Account, ask: Ask) -> None:
    denied = ServiceError("AccessDeniedException", "not allowed to x", hint="add to the policy of whoever calls: {}")
    said = each_call_at(aws, denied, ask)
    assert {name for name, found in said if found is denied} == {"list_model_packages", "describe_model_package"}
    for name, found in said:
        assert found is denied or denied.hint in told(found), name


def told(found: object) -> list[str]:
    match found:
        case Dossier():
            return found.gaps.hints
        case Comparison():
            return [*found.one.gaps.hints, *found.other.gaps.hints, *found.hints]
    raise AssertionError(found)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("DescribeTrainingJob", "training: not allowed to sagemaker:DescribeTrainingJob on"),
        ("GetObject", "evaluation: not allowed to sagemaker:GetObject on"),
    ],
)
def test_a_denial_is_told_beside_all_the_rest(aws: Account, operation: str, said: str, capsys: Capture) -> None:
    aws.front.begin(lambda asked, number: "denied" if asked == operation else "")
    code, out, err = command(capsys, "show-model", "2", *AWS)
    aws.front.begin()
    assert (code, "model       version 2 of digits\n" in out) == (0, True)
    assert said in " ".join(out.split())
    assert f'hint:  add to the policy of whoever calls: {{"Effect": "Allow", "Action": "sagemaker:{operation}"' in err
