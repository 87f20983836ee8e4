"""Lambda's Invoke on this machine, over boto3: what handlers answer and raise, and what is refused before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from over_http import client, raw, refusal

from pipeline.local.functions import register_function
from pipeline.local.server import LoopbackServer
from pipeline.local.service import connect

ARN = "arn:aws:lambda:us-east-1:111122223333:function:echo"
CODE = """
import boto3, os, sys

def handler(event, context):
    print("heard", event)
    match event:
        case {"raise": text}:
            raise LookupError(text)
        case {"die": code}:
            os._exit(code)
        case {"pipelines": _}:
            return boto3.client("sagemaker").list_pipelines()["PipelineSummaries"]
    return {"event": event, "name": context.function_name}
"""


@pytest.fixture(scope="module")
def functions(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    code = tmp_path_factory.mktemp("code") / "echo.py"
    code.write_text(CODE)
    register_function(connect(server.home).store, ARN, str(code))
    return client(server, "lambda")


def called(functions: Any, event: Any, name: str = "echo", **more: str) -> tuple[Any, str]:
    """What the payload says, and FunctionError."""
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(event).encode(), **more)
    assert answer["StatusCode"] == 200
    return json.loads(answer["Payload"].read()), answer.get("FunctionError", "")


@pytest.mark.parametrize("name", ["echo", ARN, f"{ARN}:live"])
def test_a_function_answers_by_its_name_its_arn_and_an_alias(functions: Any, name: str) -> None:
    assert called(functions, {"a": [1, None]}, name) == ({"event": {"a": [1, None]}, "name": "echo"}, "")


def test_what_a_handler_raises_or_dies_of_is_its_answer(functions: Any, server: LoopbackServer) -> None:
    said, error = called(functions, {"raise": "nothing here"})
    assert (said["errorType"], said["errorMessage"], error) == ("LookupError", "nothing here", "Unhandled")
    said, error = called(functions, {"die": 3})
    assert (said["errorType"], error) == ("Runtime.ExitError", "Unhandled")
    assert said["errorMessage"] == "Runtime exited with error: exit status 3"
    log = Path(server.home, "logs/functions/echo.log").read_text()
    assert "heard {'raise': 'nothing here'}" in log and "[ERROR] LookupError: nothing here" in log


def test_a_handler_reaches_this_machine_and_leaves_nothing(functions: Any, server: LoopbackServer) -> None:
    assert called(functions, {"pipelines": True}) == ([], "")
    assert not [path for path in Path(server.home, "work").glob("function-*")]


def test_what_cannot_be_called_is_refused_in_lambdas_words(functions: Any, server: LoopbackServer) -> None:
    with refusal("ResourceNotFoundException"):
        functions.invoke(FunctionName="nobody")
    with refusal("InvalidRequestContentException"):
        functions.invoke(FunctionName="echo", Payload=b"{")
    with refusal("InvalidParameterValueException"):
        functions.invoke(FunctionName="echo", InvocationType="Event")
    assert functions.invoke(FunctionName="echo", InvocationType="DryRun")["StatusCode"] == 204
    body = b'"' + b"x" * (7 << 20) + b'"'
    address = "/2015-03-31/functions/echo/invocations"
    signed = "AWS4-HMAC-SHA256 Credential=a/20261201/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0"
    assert raw(server, "POST", address, body, Authorization=signed)[0] == 413
