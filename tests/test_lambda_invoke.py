"""The asking handler: what it takes, what it says of what is wrong, and how long it tries again."""

from __future__ import annotations

import base64
import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from hosting import Clock, refused
from lambda_invoke import LARGEST, Refused, handler

PICTURE = b"\x89PNG a picture"
IMAGE = base64.b64encode(PICTURE).decode()
ANSWER = {"predictions": [{"class": "7", "probability": 0.9}]}


class Aws:
    """S3 and the endpoint. `failures` come first, then the answer; `asked` are the requests."""

    def __init__(self, *failures: Exception) -> None:
        self.clock = Clock()
        self.failures = [*failures]
        self.asked: list[dict[str, Any]] = []
        self.objects = {"s3://bucket/folder/a.png": PICTURE}

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if self.failures:
            raise self.failures.pop(0)
        return {"Body": io.BytesIO(json.dumps(ANSWER).encode())}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        address = f"s3://{Bucket}/{Key}"
        if Bucket == "others":
            raise refused("AccessDenied", "no", "GetObject")
        if address not in self.objects:
            raise refused("NoSuchKey", "no", "GetObject")
        return {"Body": io.BytesIO(self.objects[address])}

    def ask(self, event: dict[str, Any], seconds: float = 30.0) -> Any:
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: int(seconds * 1000))
        return handler(event, context, {"s3": self, "sagemaker-runtime": self, "clock": self.clock})


@pytest.fixture(autouse=True)
def endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDPOINT_NAME", "digits-production")
    monkeypatch.delenv("ENDPOINT_KIND", raising=False)


def model_error(status: int, said: str) -> ClientError:
    error = refused("ModelError", f"Received client error ({status})", "InvokeEndpoint")
    error.response |= {"OriginalStatusCode": status, "OriginalMessage": said}
    return error


@pytest.mark.parametrize("event", [{"image": IMAGE}, {"s3": "s3://bucket/folder/a.png"}])
def test_a_plain_event_gets_the_prediction_itself(event: dict[str, str]) -> None:
    aws = Aws()
    assert aws.ask(event) == ANSWER
    (request,) = aws.asked
    assert (request["EndpointName"], request["Body"]) == ("digits-production", PICTURE)


HTTP = {
    "function URL": {"requestContext": {"http": {"method": "POST"}}, "body": IMAGE, "isBase64Encoded": True},
    "API Gateway": {
        "httpMethod": "POST",
        "body": IMAGE,
        "isBase64Encoded": True,
        "headers": {"Content-Type": "image/png"},
    },
    "an object": {
        "requestContext": {},
        "body": json.dumps({"image": IMAGE}),
        "headers": {"content-type": "application/json; charset=utf-8"},
    },
    "an address": {
        "requestContext": {},
        "body": json.dumps({"s3": "s3://bucket/folder/a.png"}),
        "headers": {"content-type": "application/json"},
    },
}


@pytest.mark.parametrize("case", HTTP)
def test_an_http_event_gets_an_http_answer(case: str) -> None:
    aws = Aws()
    answer = aws.ask(HTTP[case])
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, ANSWER)
    assert aws.asked[0]["Body"] == PICTURE


def test_json_that_is_an_array_of_pixels_goes_to_the_endpoint_as_it_is() -> None:
    aws = Aws()
    event = {"requestContext": {}, "body": "[[0]]", "headers": {"content-type": "application/json"}}
    assert aws.ask(event)["statusCode"] == 200
    assert (aws.asked[0]["Body"], aws.asked[0]["ContentType"]) == (b"[[0]]", "application/json")


WRONG = {
    "nothing": ({}, 400, "give either"),
    "both": ({"image": IMAGE, "s3": "s3://bucket/a"}, 400, "give either"),
    "no text": ({"image": 7}, 400, "has to be a text"),
    "no base64": ({"image": "?"}, 400, "not valid base64"),
    "empty": ({"image": ""}, 400, "empty"),
    "no address": ({"s3": "https://example.org/a.png"}, 400, "is no address like s3://"),
    "absent": ({"s3": "s3://bucket/folder/b.png"}, 404, "nothing lies at"),
    "forbidden": ({"s3": "s3://others/b.png"}, 403, "darkroom infra --read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_request_is_one_sentence_with_its_status(case: str) -> None:
    event, status, words = WRONG[case]
    with pytest.raises(Refused, match=words) as caught:
        Aws().ask(event)
    assert caught.value.status == status
    http = {"requestContext": {}, "body": json.dumps(event), "headers": {"content-type": "application/json"}}
    if event:
        assert Aws().ask(http)["statusCode"] == status


@pytest.mark.parametrize(("kind", "size"), [("", 6_291_456), ("serverless", 4_194_304)])
def test_a_picture_that_is_too_large_is_told_so_and_not_sent(
    kind: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDPOINT_KIND", kind)
    aws = Aws()
    aws.objects["s3://bucket/large"] = b"x" * (size + 1)
    with pytest.raises(Refused, match=f"the endpoint takes {LARGEST[kind]:,}") as caught:
        aws.ask({"s3": "s3://bucket/large"})
    assert (caught.value.status, aws.asked) == (413, [])


@pytest.mark.parametrize("code", ["ThrottlingException", "ModelNotReadyException", "ServiceUnavailable"])
def test_what_passes_is_tried_again_with_growing_pauses(code: str) -> None:
    aws = Aws(*[refused(code, "later", "InvokeEndpoint") for _ in range(3)])
    began = aws.clock.now
    assert aws.ask({"image": IMAGE}) == ANSWER
    assert aws.clock.now - began == pytest.approx(0.2 + 0.4 + 0.8)


def test_a_lost_connection_is_tried_again() -> None:
    assert Aws(ConnectTimeoutError(endpoint_url="x")).ask({"image": IMAGE}) == ANSWER


def test_it_gives_up_while_there_is_time_to_say_so() -> None:
    aws = Aws(*[refused("ThrottlingException", "Rate exceeded", "InvokeEndpoint") for _ in range(99)])
    began = aws.clock.now
    with pytest.raises(Refused, match="did not answer in time: ThrottlingException: Rate exceeded") as caught:
        aws.ask({"image": IMAGE}, seconds=10)
    assert caught.value.status == 503
    assert aws.clock.now - began < 9.001


@pytest.mark.parametrize(("status", "told"), [(415, 415), (400, 400), (500, 502)])
def test_what_the_model_says_of_a_picture_is_handed_on_and_not_asked_again(status: int, told: int) -> None:
    aws = Aws(model_error(status, '{"error": "the body is no picture"}'))
    with pytest.raises(Refused, match="^the body is no picture$") as caught:
        aws.ask({"image": IMAGE})
    assert (caught.value.status, len(aws.asked)) == (told, 1)


def test_an_error_of_ones_own_is_not_put_on_the_caller() -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        Aws(refused("AccessDeniedException", "no", "InvokeEndpoint")).ask({"requestContext": {}, "body": "x"})
