"""InvokeEndpointAsync over boto3: answers and failures come into S3, nothing is lost, no process stays."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hosted
import pytest
from botocore.exceptions import ClientError
from hosted import soon
from over_http import client, raw, refusal

from pipeline.client import Clients
from pipeline.control import asynchronous, endpoints
from pipeline.errors import EndpointError, ServiceError
from pipeline.local import async_host, async_requests, clock, endpoint, endpoint_record
from pipeline.local.async_requests import KIND, QUEUED, RUNNING
from pipeline.local.endpoint_files import Files, locked
from pipeline.local.endpoint_http import BROKEN, PATIENCE, PROBLEM
from pipeline.local.endpoint_supervisor import Supervisor
from pipeline.local.endpoint_traffic import Report
from pipeline.local.loop import Loop
from pipeline.local.server import LoopbackServer
from pipeline.local.service import LocalSageMaker, connect
from pipeline.local.store import Store
from pipeline.request_sizes import LARGEST_BODY

NAME, PLAIN = "later", "at-once"
OUT, FAILED, IN = "s3://bucket/answers/", "s3://bucket/failures/", "s3://bucket/in/a.csv"
TOPICS = {"SuccessTopic": "arn:aws:sns:us-east-1:111122223333:answers"}
CONFIG = {
    "OutputConfig": {"S3OutputPath": OUT, "S3FailurePath": FAILED, "NotificationConfig": TOPICS},
    "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
}


@pytest.fixture(scope="module")
def sagemaker(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSageMaker]:
    """With an asynchronous endpoint and one that is none."""
    found = connect(server.home)
    hosted.serve_stub(found.store, "stub*", tmp_path_factory.mktemp("program"))
    hosted.model(found, "net")
    for name, more in ((NAME, {"AsyncInferenceConfig": CONFIG}), (PLAIN, {})):
        variant = {"VariantName": "AllTraffic", "ModelName": "net", "InitialInstanceCount": 1}
        found.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **more)
        found.create_endpoint(EndpointName=name, EndpointConfigName=name)
    yield found
    assert soon(lambda: not [line for line in hosted.processes(found) if "async_host" in line])
    for record in found.store.list("endpoint"):
        hosted.remove(found, record.name)


@pytest.fixture
def runtime(server: LoopbackServer, sagemaker: LocalSageMaker) -> Any:
    return client(server, "sagemaker-runtime")


def invoke(runtime: Any, **more: Any) -> dict[str, Any]:
    return dict(runtime.invoke_endpoint_async(EndpointName=NAME, ContentType="text/csv", **more))


def written(sagemaker: LocalSageMaker, address: str) -> str:
    """What lies there, once something does."""
    assert soon(lambda: sagemaker.storage.exists(address)), address
    return sagemaker.storage.get_bytes(address).decode()


def test_an_answer_comes_to_the_place_that_was_told(sagemaker: LocalSageMaker, runtime: Any) -> None:
    sagemaker.storage.put_bytes(IN, b"?")
    told = invoke(runtime, InputLocation=IN, InferenceId="mine", Accept="text/plain")
    assert (told["InferenceId"], told["ResponseMetadata"]["HTTPStatusCode"]) == ("mine", 202)
    assert told["OutputLocation"].startswith(OUT) and told["OutputLocation"].endswith(".out")
    assert written(sagemaker, told["OutputLocation"]) == "net ?"
    assert soon(lambda: sagemaker.store.list(KIND) == [])
    assert not sagemaker.storage.exists(told["FailureLocation"])


def test_a_request_may_hold_its_body_and_name_its_file(sagemaker: LocalSageMaker, runtime: Any) -> None:
    told = invoke(runtime, Body=b"here", Filename="b.txt", S3OutputPathExtension="monday")
    assert told["OutputLocation"] == f"{OUT}monday/b.txt"
    assert written(sagemaker, told["OutputLocation"]) == "net here"


def test_what_the_model_refuses_is_a_failure(sagemaker: LocalSageMaker, runtime: Any) -> None:
    told = invoke(runtime, Body=b"418")
    assert told["FailureLocation"].startswith(FAILED)
    said = written(sagemaker, told["FailureLocation"])
    assert said == 'Received client error (418) from model with message "net 418".'
    assert not sagemaker.storage.exists(told["OutputLocation"])


def test_an_input_that_is_not_there_is_a_failure(sagemaker: LocalSageMaker, runtime: Any) -> None:
    told = invoke(runtime, InputLocation="s3://bucket/in/none.csv")
    assert "s3://bucket/in/none.csv" in written(sagemaker, told["FailureLocation"])


def test_an_answer_that_cannot_be_written_holds_up_nobody(sagemaker: LocalSageMaker, runtime: Any) -> None:
    invoke(runtime, Body=b"here", S3OutputPathExtension="a" * 300)  # nor can its failure: this disk has no such name
    told = invoke(runtime, Body=b"after")
    assert written(sagemaker, told["OutputLocation"]) == "net after"
    assert soon(lambda: sagemaker.store.list(KIND) == [])


def test_what_a_crash_broke_off_is_asked_again_as_soon_as_somebody_looks(sagemaker: LocalSageMaker) -> None:
    more = {"Body": "", "InvocationTimeoutSeconds": 60, "OutputLocation": f"{OUT}crashed"}
    kept(sagemaker, 1, **more)
    sagemaker.store.change(KIND, f"{NAME} 1", {}, status=RUNNING)  # as a killed process leaves it
    sagemaker.describe_endpoint(EndpointName=NAME)
    assert written(sagemaker, f"{OUT}crashed") == "net "


def test_an_answer_may_take_no_longer_than_was_asked(sagemaker: LocalSageMaker, runtime: Any) -> None:
    sagemaker.storage.put_bytes("s3://bucket/in/slow.csv", b"silent")
    told = invoke(runtime, InputLocation="s3://bucket/in/slow.csv", InvocationTimeoutSeconds=1)
    assert "the model did not answer within 1 s" in written(sagemaker, told["FailureLocation"])


def test_a_models_own_error_has_the_members_that_boto3_knows(runtime: Any) -> None:
    with pytest.raises(ClientError, match=r"\(ModelError\).*client error \(415\)") as raised:
        runtime.invoke_endpoint(EndpointName=PLAIN, Body=b"415")
    said = raised.value.response
    assert (said["OriginalStatusCode"], said["OriginalMessage"]) == (415, "net 415")


def test_an_input_may_be_larger_than_what_other_endpoints_take(sagemaker: LocalSageMaker, runtime: Any) -> None:
    large = b"x" * (LARGEST_BODY + 1)
    sagemaker.storage.put_bytes("s3://bucket/in/large.csv", large)
    told = invoke(runtime, InputLocation="s3://bucket/in/large.csv")
    assert len(written(sagemaker, told["OutputLocation"])) == len("net ") + len(large)
    host = endpoint.start(sagemaker.store, PLAIN)
    connection = HTTPConnection("127.0.0.1", host.port, timeout=60)
    connection.putrequest("POST", "/invocations")
    for header in ((PATIENCE, "900"), ("Content-Length", str(len(large)))):
        connection.putheader(*header)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_an_endpoint_is_asked_in_its_own_way(runtime: Any) -> None:
    with pytest.raises(ClientError, match=r"\(ValidationError\).* is asynchronous: ask it by InvokeEndpointAsync"):
        runtime.invoke_endpoint(EndpointName=NAME, Body=b"?")
    with pytest.raises(ClientError, match=r"\(ValidationError\).* is not asynchronous: ask it by InvokeEndpoint\."):
        runtime.invoke_endpoint_async(EndpointName=PLAIN, InputLocation=IN)
    with pytest.raises(ClientError, match=r"\(ValidationError\).*Endpoint nobody of account"):
        runtime.invoke_endpoint_async(EndpointName="nobody", InputLocation=IN)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"InputLocation": IN, "Body": b"?"},
        {"InputLocation": "https://elsewhere/x"},
        {"InputLocation": IN, "RequestTTLSeconds": 59},
        {"InputLocation": IN, "InvocationTimeoutSeconds": 3601},
        {"InputLocation": IN, "Filename": "../../x"},
        {"Body": b"x" * 128_001},
    ],
)
def test_what_sagemaker_would_refuse_is_refused(
    server: LoopbackServer, sagemaker: LocalSageMaker, given: dict[str, Any]
) -> None:
    runtime = client(server, "sagemaker-runtime", parameter_validation=False)
    with refusal("ValidationError"):
        invoke(runtime, **given)


def test_a_number_of_thousands_of_digits_is_refused_too(server: LoopbackServer, sagemaker: LocalSageMaker) -> None:
    more = {"X-Amzn-SageMaker-InputLocation": IN, "X-Amzn-SageMaker-RequestTTLSeconds": "9" * 5000}
    headers = {name.replace("-", "_"): value for name, value in more.items()}
    status, said = raw(server, "POST", f"/endpoints/{NAME}/async-invocations", **headers)
    assert (status, b"can not be converted to Integer" in said) == (400, True), said


@pytest.mark.parametrize(("busy", "used"), [({1: 0, 2: 1}, True), ({1: 0, 2: 0}, False)])
def test_an_endpoint_is_in_use_as_long_as_it_answers(tmp_path: Path, busy: dict[int, int], used: bool) -> None:
    async def tell(_: Any) -> Report:
        return Report(busy, [])

    nobody: Any = None  # no process is started
    loop, store = Loop(), Store(str(tmp_path))
    supervisor: Any = Supervisor(store, loop, nobody, NAME, 60.0)
    supervisor.router = SimpleNamespace(tell=tell)
    os.makedirs(supervisor.files.folder)
    loop.run(supervisor._route({"variants": []}))
    assert bool(supervisor.files.last_used()) is used


def test_describe_tells_of_the_configuration_and_an_update_brings_another(sagemaker: LocalSageMaker) -> None:
    assert sagemaker.describe_endpoint(EndpointName=NAME)["AsyncInferenceConfig"] == CONFIG
    body = sagemaker.store.get("endpoint", NAME).body
    other = {"OutputConfig": {"S3OutputPath": "s3://bucket/other/"}}
    pending = {**body, "AsyncInferenceConfig": other}
    assert endpoint_record.after_update({**body, "pending": pending})["AsyncInferenceConfig"] == other


@pytest.fixture
def clients(server: LoopbackServer, sagemaker: LocalSageMaker) -> Clients:
    return Clients(client(server, "sagemaker"), refusing(client(server, "sagemaker-runtime")), sagemaker.storage, "")


def refusing(runtime: Any) -> Any:
    """As the commands' clients do: errors of boto3 are ours."""

    def call(name: str, **request: Any) -> Any:
        try:
            return getattr(runtime, name)(**request)
        except ClientError as exc:
            raise ServiceError(exc.response["Error"]["Code"], exc.response["Error"]["Message"], name) from exc

    return SimpleNamespace(
        invoke_endpoint=partial(call, "invoke_endpoint"), invoke_endpoint_async=partial(call, "invoke_endpoint_async")
    )


def test_predict_waits_for_the_answer_and_tells_what_was_refused(clients: Clients, tmp_path: Path) -> None:
    picture, large = tmp_path / "a.png", tmp_path / "b.png"
    picture.write_bytes(b"no picture")
    with pytest.raises(EndpointError, match="does not answer with predictions: 'net no picture'"):
        endpoints.predict(clients, NAME, str(picture))
    picture.write_bytes(b"415")
    with pytest.raises(EndpointError, match=r"a\.png: net 415 \(status 415\)"):
        endpoints.predict(clients, NAME, str(picture))
    large.write_bytes(b"x" * 128_001)
    with pytest.raises(EndpointError, match=r"b\.png: 128001 bytes; an asynchronous endpoint takes 128000"):
        endpoints.predict(clients, NAME, str(large))


def test_an_answer_that_does_not_come_is_told_with_its_place() -> None:
    runtime = SimpleNamespace(invoke_endpoint_async=lambda **_: {"OutputLocation": "s3://bucket/x.out"})
    nothing: Any = SimpleNamespace(exists=lambda uri: False)
    with pytest.raises(EndpointError, match="'e' has not answered after 0 s") as raised:
        asynchronous.ask(Clients(None, runtime, nothing, "", pause=lambda _: None), "e", b"?", limit_s=0)
    assert "s3://bucket/x.out" in raised.value.hint


def kept(sagemaker: LocalSageMaker, *numbers: int, name: str = NAME, **more: Any) -> None:
    for number in numbers:
        asked = {"EndpointName": name, "InferenceId": str(number), "RequestTTLSeconds": 60, **more}
        async_requests.put(sagemaker.store, name, str(number), asked)


@pytest.fixture
def alone(tmp_path: Path) -> LocalSageMaker:
    """A home in which no process looks after anything, with two instances of an endpoint."""
    found = connect(str(tmp_path))
    body = {"AsyncInferenceConfig": CONFIG, "variants": [{"VariantName": "v", "count": 2}]}
    found.store.add("endpoint", NAME, body, "InService")
    return found


def test_so_many_are_asked_at_once_as_the_instances_take_the_oldest_first(alone: LocalSageMaker) -> None:
    kept(alone, *range(9))
    asked: list[str] = []
    four, lock, most = threading.Barrier(4, lambda: time.sleep(0.2), 60), threading.Lock(), [0, 0]

    def answer(_: str, request: dict[str, Any]) -> str:
        with lock:
            asked.append(request["InferenceId"])
            most[0] += 1
            most[1] = max(most)
        if int(request["InferenceId"]) < 8:
            four.wait()  # all four places are taken at once, and no fifth is, though there is time
        with lock:
            most[0] -= 1
        return ""

    async_host.host(alone.home, NAME, answer)
    assert sorted(asked[:4]) == ["0", "1", "2", "3"] and len(asked) == 9
    assert most[1] == 4
    assert alone.store.list(KIND) == []


def test_what_a_killed_process_had_taken_is_asked_again(alone: LocalSageMaker) -> None:
    kept(alone, 1, 2)
    kept(alone, 3, name="other")
    alone.store.change(KIND, f"{NAME} 1", {}, status=RUNNING)
    asked: list[str] = []
    async_host.host(alone.home, NAME, lambda _, request: asked.append(request["InferenceId"]) or "")
    assert sorted(asked) == ["1", "2"]
    assert [(record.name, record.status) for record in alone.store.list(KIND)] == [("other 3", QUEUED)]


def test_a_request_that_cannot_be_asked_is_forgotten_and_holds_up_nobody(alone: LocalSageMaker) -> None:
    kept(alone, 1, 2)

    def answer(_: str, request: dict[str, Any]) -> str:
        if request["InferenceId"] == "1":
            raise RuntimeError("what nobody thought of")
        return ""

    async_host.host(alone.home, NAME, answer)
    assert alone.store.list(KIND) == []


def test_an_input_whose_name_is_too_long_for_this_machine_is_a_failure(alone: LocalSageMaker) -> None:
    alone.storage.put_bytes(IN, b"?")
    places = {"OutputLocation": f"{OUT}1", "FailureLocation": f"{FAILED}1"}
    kept(alone, 1, InputLocation=f"s3://bucket/{'a' * 300}", **places)
    async_host.host(alone.home, NAME)
    assert alone.store.list(KIND) == []
    assert b"there is no object s3://bucket/aaa" in alone.storage.get_bytes(f"{FAILED}1")


@contextmanager
def hanging_up(home: str, times: int) -> Iterator[list[str]]:
    """In place of NAME's supervisor and router: answers once it has hung up so often. What it was asked."""
    asked: list[str] = []

    class Router(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            if len(asked) > times:
                self.reply(200, b"at last")
            elif len(asked) == 1:
                self.reply(502, b'{"error": "the model broke off the connection"}', (PROBLEM, BROKEN))

        def reply(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for header in headers:
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    files = Files(home, NAME)
    os.makedirs(files.folder)
    with HTTPServer(("127.0.0.1", 0), Router) as server, locked(files.lock):
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        state = {"state": "Ready", "port": server.server_port, "pid": 0, "keep": False, "instances": []}
        files.write_state(state)
        yield asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("times", "place"), [(2, OUT), (3, FAILED)])
def test_a_request_that_is_broken_off_is_asked_three_times(alone: LocalSageMaker, times: int, place: str) -> None:
    places = {"OutputLocation": f"{OUT}1", "FailureLocation": f"{FAILED}1"}
    kept(alone, 1, Body="", InvocationTimeoutSeconds=60, **places)
    with hanging_up(alone.home, times) as asked:
        async_host.host(alone.home, NAME)
    assert len(asked) == 3
    assert [entry.uri for entry in alone.storage.list("s3://bucket/")] == [f"{place}1"]
    assert alone.store.list(KIND) == []


def test_a_request_that_waited_too_long_is_not_asked(alone: LocalSageMaker) -> None:
    kept(alone, 1, Body="", OutputLocation=f"{OUT}1", FailureLocation=f"{FAILED}1")
    record = alone.store.get(KIND, f"{NAME} 1")
    late = {**record.body, "queued": clock.clock_of(alone.store).now() - 61}
    failure = async_requests.answer(alone.home, late)
    assert failure.startswith("the request has expired: it waited 61 s")
    assert alone.storage.get_bytes(f"{FAILED}1").decode() == failure


def test_an_endpoint_that_was_deleted_meanwhile_is_a_failure(alone: LocalSageMaker) -> None:
    kept(alone, 1, name="gone", Body="", InvocationTimeoutSeconds=1, OutputLocation=f"{OUT}1")
    async_host.host(alone.home, "gone")
    assert alone.store.list(KIND) == []
    assert not alone.storage.exists(f"{OUT}1")


def deleting(alone: LocalSageMaker) -> dict[str, Any]:
    """Places of a request to an endpoint that is about to go, and of whose processes none is there any more."""
    places = {"OutputLocation": f"{OUT}1", "FailureLocation": f"{FAILED}1"}
    kept(alone, 1, Body="", InvocationTimeoutSeconds=60, **places)
    alone.store.change("endpoint", NAME, {}, status=endpoint_record.DELETING)
    return places


@pytest.mark.parametrize("status", [QUEUED, RUNNING])
def test_what_waits_for_an_endpoint_goes_with_it_and_never_to_the_next_of_its_name(
    alone: LocalSageMaker, status: str
) -> None:
    places = deleting(alone)
    alone.store.change(KIND, f"{NAME} 1", {}, status=status)
    kept(alone, 2, name="other")
    assert hosted.gone(alone, NAME)
    assert [record.name for record in alone.store.list(KIND)] == ["other 2"]
    said = alone.storage.get_bytes(places["FailureLocation"]).decode()
    assert said == f"endpoint {NAME!r} has been deleted"


def test_an_endpoint_that_is_being_deleted_is_not_woken_by_what_waits_for_it(alone: LocalSageMaker) -> None:
    places = deleting(alone)
    async_host.host(alone.home, NAME)
    assert alone.store.list(KIND) == []
    assert b"has been deleted" in alone.storage.get_bytes(places["FailureLocation"])
    assert not os.path.exists(Files(alone.home, NAME).log), "no supervisor has begun"


def test_what_waited_for_an_endpoint_is_not_asked_of_a_later_one_of_its_name(alone: LocalSageMaker) -> None:
    """As a process finds it that lived on while its endpoint was deleted and made anew."""
    places = {"OutputLocation": f"{OUT}1", "FailureLocation": f"{FAILED}1"}
    kept(alone, 1, Body="", InvocationTimeoutSeconds=60, **places)
    before = alone.store.get("endpoint", NAME)
    alone.store.remove("endpoint", NAME)
    alone.store.add("endpoint", NAME, before.body, before.status)
    with hanging_up(alone.home, 0) as asked:
        async_host.host(alone.home, NAME)
    assert asked == []
    assert b"has been deleted" in alone.storage.get_bytes(places["FailureLocation"])
