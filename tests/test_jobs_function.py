"""Lambda steps: the handler's process, its environment, what comes back, what fails."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from local_drivers import run_lambda

from pipeline.local.endpoint_files import Files, is_supervised
from pipeline.local.functions import register_function
from pipeline.local.storage import Storage
from pipeline.local.store import Store

ARN = "arn:aws:lambda:us-east-1:111122223333:function:fn"
OUTPUT = {"OutputName": "answer", "OutputType": "String"}


def run(tmp_path: Path, source: str, event: Any = None, isolation: str = "rewrite", **options: Any) -> SimpleNamespace:
    home = tmp_path / "home"
    module = tmp_path / "index.py"
    module.write_text(source)
    register_function(Store(str(home)), ARN, str(module), timeout_s=options.pop("timeout_s", 60))
    step = {"FunctionArn": ARN, "OutputParameters": options.pop("outputs", [OUTPUT])}
    return run_lambda(home, event or {}, isolation, step=step, **options)


def handler(body: str, head: str = "") -> str:
    return f"{head}\ndef handler(event, context):\n    {body}\n"


@pytest.mark.parametrize("isolation", ["namespace", "rewrite"])
def test_a_handler_reaches_this_machine_with_boto3_unmodified(tmp_path: Path, isolation: str) -> None:
    body = """s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
    s3.put_object(Bucket="bucket", Key="key", Body=event["text"])
    sagemaker.create_model_package_group(ModelPackageGroupName="group")
    return {"answer": s3.get_object(Bucket="bucket", Key="key")["Body"].read().decode(), "more": 1}"""
    done = run(tmp_path, handler(body, "import boto3"), {"text": "hello"}, isolation)
    assert done.error == ""
    assert done.body["OutputParameters"] == done.body["Outputs"] == {"answer": "hello"}
    assert Storage(str(tmp_path / "home")).get_bytes("s3://bucket/key") == b"hello"
    assert Store(str(tmp_path / "home")).get("model-package-group", "group").status == "Completed"


def test_two_handlers_at_once_share_one_server(tmp_path: Path) -> None:
    body = 'return {"answer": boto3.client("sts").meta.endpoint_url}'
    done = run(tmp_path, handler(body, "import boto3"), twice=True)
    assert done.body["Outputs"] == done.second["Outputs"]


def test_what_the_step_shows_are_its_outputs(tmp_path: Path) -> None:
    outputs = [OUTPUT, {"OutputName": "count", "OutputType": "Integer"}, {"OutputName": "share", "OutputType": "Float"}]
    outputs.append({"OutputName": "fine", "OutputType": "Boolean"})
    result = '{"answer": "a", "count": 3, "share": 1, "fine": True}'
    done = run(tmp_path, handler(f"return {result}"), outputs=outputs)
    assert done.body["Outputs"] == {"answer": "a", "count": 3, "share": 1, "fine": True}
    shown = [(each["Name"], each["Value"]) for each in done.announced[-1]["Lambda"]["OutputParameters"]]
    assert shown == [("answer", "a"), ("count", "3"), ("share", "1"), ("fine", "true")]
    assert done.announced[0] == {"Lambda": {"Arn": ARN}}
    assert done.status == "Completed"
    assert "Lambda" in done.parity


def test_the_environment_is_lambdas_and_nothing_of_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "x")
    body = """import json, os, sys, tempfile
    assert json.loads(json.dumps(event)) == {"a": [1, None]}
    assert "SECRET_OF_THE_CALLER" not in os.environ
    assert os.environ["AWS_LAMBDA_FUNCTION_NAME"] == context.function_name == "fn"
    assert os.environ["AWS_REGION"] == os.environ["AWS_DEFAULT_REGION"] == "us-east-1"
    assert os.environ["LAMBDA_TASK_ROOT"] == os.getcwd() == sys.path[0]
    assert 0 < context.get_remaining_time_in_millis() <= 60000
    assert context.invoked_function_arn.endswith(":function:fn") and context.memory_limit_in_mb == "128"
    assert len(context.aws_request_id) == 36
    assert not any(name.startswith("DARKROOM") for name in os.environ if name != "DARKROOM_EXECUTION")
    open(os.path.join(tempfile.gettempdir(), "file"), "w").close()
    return {"answer": tempfile.gettempdir()}"""
    done = run(tmp_path, handler(body), {"a": [1, None]})
    assert done.error == ""
    assert done.body["Outputs"]["answer"].startswith(str(tmp_path / "home" / "work"))
    assert not os.path.exists(done.body["Outputs"]["answer"])


def test_the_log_reads_as_lambdas(tmp_path: Path) -> None:
    body = """logging.getLogger().warning("careful")
    print("plain")
    return {"answer": context.aws_request_id}"""
    done = run(tmp_path, handler(body, "import logging"))
    request = done.body["Outputs"]["answer"]
    assert done.log.startswith(f"START RequestId: {request} Version: $LATEST\n")
    assert f"{request}\tcareful\n" in done.log
    assert "plain\n" in done.log
    assert f"END RequestId: {request}\nREPORT RequestId: {request} Duration: " in done.log


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (handler('raise ValueError("no good")'), "ValueError: no good"),
        (handler("return {}", "import nothing_like_it"), "Runtime.ImportModuleError: Unable to import module 'index'"),
        (
            "def lambda_handler(e, c): ...\nlambda_handler = None",
            "Runtime.HandlerNotFound: Handler 'lambda_handler' missing on module 'index'",
        ),
        (
            handler('return {"answer": object()}'),
            "Runtime.MarshalError: Unable to marshal response: Object of type obj",
        ),
        (handler('return {"answer": float("nan")}'), "Runtime.MarshalError"),
        (handler("import os; os._exit(3)"), "Runtime.ExitError: Runtime exited with error: exit status 3"),
        (handler("import os; os.kill(os.getpid(), 9)"), "Runtime.ExitError: Runtime exited with error: signal: 9"),
    ],
)
def test_a_handler_that_fails_fails_the_step_with_its_error(tmp_path: Path, source: str, match: str) -> None:
    import re

    done = run(tmp_path, source)
    assert re.search(match, done.error), done.error
    assert ARN in done.error
    assert done.log_path.endswith("Step.log")
    assert done.status == "Failed"


def test_the_traceback_is_in_the_log(tmp_path: Path) -> None:
    done = run(tmp_path, handler('raise ValueError("no good")'))
    assert "[ERROR] ValueError: no good" in done.log
    assert 'index.py", line 3, in handler' in done.log


@pytest.mark.parametrize(
    ("result", "kind", "match"),
    [
        ("{}", "String", r"'answer' is missing in the handler's result; it returned the keys \[\]"),
        ("None", "String", "'answer' is missing .* it returned None"),
        ('{"answer": 3}', "String", "'answer' is declared String, the handler returned 3"),
        ('{"answer": True}', "Integer", "declared Integer, the handler returned True"),
        ('{"answer": "1.5"}', "Float", "declared Float, the handler returned '1.5'"),
        ('{"answer": 1}', "Boolean", "declared Boolean, the handler returned 1"),
        ('{"answer": 1}', "Number", "unknown OutputType 'Number'"),
    ],
)
def test_an_output_that_is_missing_or_of_another_type_is_named(
    tmp_path: Path, result: str, kind: str, match: str
) -> None:
    import re

    done = run(tmp_path, handler(f"return {result}"), outputs=[{"OutputName": "answer", "OutputType": kind}])
    assert re.search(match, done.error), done.error


def test_a_handler_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    body = f"""child = subprocess.Popen(["sleep", "100"])
    open({str(marker)!r}, "w").write(str(child.pid))
    child.wait()"""
    done = run(tmp_path, handler(body, "import subprocess"), timeout_s=2)
    assert "Sandbox.Timedout: Task timed out after 2.00 seconds" in done.error
    assert not _runs(int(marker.read_text()))


def test_a_cancelled_step_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run(tmp_path, handler("import time; time.sleep(100)"), cancel_after=1.5)
    assert done.error == "cancelled"
    assert done.status == "Stopped"
    assert [name for name in done.left if not name.startswith("server-")] == []


def test_a_function_without_code_names_what_to_type(tmp_path: Path) -> None:
    done = run_lambda(tmp_path, {}, step={"FunctionArn": ARN})
    assert f"--function {ARN}=ZIP-OR-FOLDER" in done.error


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("isolation", ["namespace", "rewrite"])
def test_an_endpoint_that_a_handler_makes_in_a_run_is_in_service_and_no_process_stays(
    tmp_path: Path, isolation: str
) -> None:
    """And again, with another configuration, as by the next run."""
    body = """client = boto3.client("sagemaker")
    for name, change in (("first", client.create_endpoint), ("second", client.update_endpoint)):
        client.create_model(ModelName=name, PrimaryContainer={"Image": "image:1"}, ExecutionRoleArn=ROLE)
        variant = {"VariantName": "A", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        change(EndpointName="e", EndpointConfigName=name)
        found = client.describe_endpoint(EndpointName="e")
        assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", name), found
    return {"answer": "done"}"""
    done = run(tmp_path, handler(body, 'import boto3\nROLE = "arn:aws:iam::111122223333:role/role"'), None, isolation)
    assert done.body["Outputs"] == {"answer": "done"}
    assert not is_supervised(Files(str(tmp_path / "home"), "e"))
