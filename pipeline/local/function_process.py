"""A Lambda function's handler as a process: its environment, its command line, and one call of it outside of a run."""

from __future__ import annotations

import json
import os
import sys

from pipeline.local import names
from pipeline.local.functions import LONGEST_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.store import Record

_RUNTIME = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lambda_runtime.py")
_MEMORY_MB = 128


def command(function: Record, event: str, result: str) -> list[str]:
    """`event` and `result` are files. The result is as lambda_runtime.py writes it."""
    # -P and -s: what lies beside the runtime, and the user's own site-packages, are not the handler's to import
    return [
        sys.executable,
        "-P",
        "-s",
        "-B",
        _RUNTIME,
        function.body["folder"],
        function.body["handler"],
        event,
        result,
    ]


def environment(function: Record, url: str, key: str, work: str, limit: float) -> dict[str, str]:
    """As the Lambda runtime sets it; the credentials are none: the key only says whose child this is."""
    from pipeline.local.container import base_environment

    name, request_id = function.name.split(":")[6], _request_id()
    return {
        **base_environment(work),
        "AWS_REGION": names.REGION,
        "AWS_DEFAULT_REGION": names.REGION,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": "darkroom",
        "AWS_SESSION_TOKEN": "darkroom",
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(_MEMORY_MB),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": request_id,
        "LAMBDA_TASK_ROOT": function.body["folder"],
        "_HANDLER": function.body["handler"],
        **function.body["environment"],
        "DARKROOM_FUNCTION_ARN": function.name,
        "DARKROOM_REQUEST_ID": request_id,
        "DARKROOM_TIMEOUT": str(limit),
    }


def log_path(home: str, function: Record) -> str:
    """Where calls outside of runs write; those of a run have the step's log."""
    return os.path.join(home, "logs", "functions", f"{function.name.split(':')[6]}.log")


def call(home: str, function: Record, event: Any) -> dict[str, Any]:
    """{"value": …} or Lambda's error. The handler reaches this machine's service by boto3, at an address of its own."""
    import shutil
    import tempfile

    from pipeline.local import server

    key = "DARKROOM" + names.random_id().upper()
    os.makedirs(os.path.join(home, "work"), exist_ok=True)
    work = tempfile.mkdtemp(prefix="function-", dir=os.path.join(home, "work"))
    serving = server.serve(home, key=key, quiet=True)
    try:
        limit = min(function.body["timeout"], LONGEST_S)
        return _called(function, event, environment(function, serving.url, key, work, limit), log_path(home, function))
    finally:
        serving.shutdown()
        serving.server_close()
        shutil.rmtree(work, ignore_errors=True)


def _called(function: Record, event: Any, env: dict[str, str], log: str) -> dict[str, Any]:
    import subprocess

    limit = float(env["DARKROOM_TIMEOUT"])
    paths = [os.path.join(env["HOME"], name) for name in ("event.json", "result.json")]
    with open(paths[0], "w", encoding="utf-8") as file:
        json.dump(event, file)
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "ab") as output:
        try:
            done = subprocess.run(
                command(function, *paths),
                env=env,
                cwd=env["HOME"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"errorType": "Sandbox.Timedout", "errorMessage": f"Task timed out after {limit:.2f} seconds"}
    try:
        with open(paths[1], encoding="utf-8") as file:
            result: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        code = done.returncode
        return {"errorType": "Runtime.ExitError", "errorMessage": f"Runtime exited with error: {exit_words(code)}"}
    return result


def exit_words(code: int) -> str:
    return f"signal: {-code}" if code < 0 else f"exit status {code}"


def _request_id() -> str:
    digits = os.urandom(16).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
