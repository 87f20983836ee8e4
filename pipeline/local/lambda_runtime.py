"""What runs a Lambda handler: executed by path in a child process, with its interpreter; imports nothing of ours.

Arguments: the folder of the code, the handler, a file with the event, a file for the result. The result is {"value": …}
or {"errorType": …, "errorMessage": …, "stackTrace": […]} with error types of Lambda's own Python runtime.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Context:
    """The object that Lambda passes beside the event."""

    identity = None
    client_context = None

    def __init__(self) -> None:
        environ = os.environ
        self.function_name = environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.invoked_function_arn = environ.pop("DARKROOM_FUNCTION_ARN")
        self.aws_request_id = environ.pop("DARKROOM_REQUEST_ID")
        self._deadline = time.monotonic() + float(environ.pop("DARKROOM_TIMEOUT"))

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))

    def log(self, message: str) -> None:
        print(message, flush=True)


def main(task_root: str, handler: str, event_path: str, result_path: str) -> None:
    context = Context()
    print(f"START RequestId: {context.aws_request_id} Version: {context.function_version}", flush=True)
    began = time.monotonic()
    _log_as_lambda_does(context.aws_request_id)
    sys.path.insert(0, task_root)
    os.chdir(task_root)
    with open(event_path, encoding="utf-8") as file:
        event = json.load(file)
    result = _call(handler, event, context)
    if "errorType" in result:
        print(f"[ERROR] {result['errorType']}: {result['errorMessage']}", *result["stackTrace"], sep="\n", flush=True)
    with open(f"{result_path}.part", "w", encoding="utf-8") as file:
        json.dump(result, file)
    os.replace(f"{result_path}.part", result_path)
    print(f"END RequestId: {context.aws_request_id}")
    milliseconds = (time.monotonic() - began) * 1000
    print(f"REPORT RequestId: {context.aws_request_id} Duration: {milliseconds:.2f} ms", flush=True)
    sys.stderr.flush()
    os._exit(0)  # as in Lambda, threads that the handler left running do not keep it


def _call(handler: str, event: Any, context: Context) -> dict[str, Any]:
    module_name, _, function_name = handler.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as exc:
        return _error("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {exc}", exc)
    except SyntaxError as exc:
        return _error("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {exc}", exc)
    except Exception as exc:  # whatever the code raises while it is imported is the function's answer
        return _error(type(exc).__name__, str(exc), exc)
    function = getattr(module, function_name, None)
    if function is None:
        return _error("Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'")
    try:
        value = function(event, context)
    except Exception as exc:  # whatever the handler raises is the function's answer
        return _error(type(exc).__name__, str(exc), exc)
    try:
        return json.loads(json.dumps({"value": value}, allow_nan=False))  # type: ignore[no-any-return]
    except (TypeError, ValueError) as exc:
        return _error("Runtime.MarshalError", f"Unable to marshal response: {exc}", exc)


def _error(kind: str, message: str, exc: BaseException | None = None) -> dict[str, Any]:
    trace = traceback.format_tb(exc.__traceback__) if exc is not None else []
    return {"errorType": kind, "errorMessage": message, "stackTrace": [line.rstrip() for line in trace[1:]]}


def _log_as_lambda_does(request_id: str) -> None:
    handler = logging.StreamHandler(sys.stdout)
    form = f"[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t{request_id}\t%(message)s"
    formatter = logging.Formatter(form, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)


if __name__ == "__main__":
    main(*sys.argv[1:])
