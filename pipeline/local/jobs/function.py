"""Lambda steps: the function's handler in a child process, with boto3 directed to this machine."""

from __future__ import annotations

import json
import os
import sys

from pipeline.errors import DarkroomError
from pipeline.local import function_process, loopback
from pipeline.local.functions import LONGEST_S, find_function
from pipeline.local.jobs import JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.container import Process
    from pipeline.local.jobs import JobContext
    from pipeline.local.store import Record

KIND = "function-invocation"


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """`request` is the event; the answer holds OutputParameters and Outputs, name → value, as declared by the step."""
    arn = context.step.get("FunctionArn", "")
    context.announce({"Lambda": {"Arn": arn}})
    try:
        function = find_function(context.store, arn)
    except DarkroomError as exc:
        raise JobFailed(f"{exc.message}; {exc.hint}") from exc
    version = ".".join(map(str, sys.version_info[:2]))
    calls = "SageMaker, S3, STS, metrics, alarms and scaling of endpoints are answered by this machine"
    awake = "an endpoint that it deploys is in service unseen, and sleeps until it is called"
    runtime = f"handlers run in a process of this machine's Python {version}, memory not limited; {calls}; {awake}"
    context.parity("Lambda", runtime)
    context.store.add(KIND, context.job_name, {"FunctionArn": arn, "Event": request}, "InProgress")
    status = "Stopped"
    try:
        value = await _invoke(function, request, context)
        outputs = _outputs(context.step.get("OutputParameters") or [], value, arn, context.log_path)
        status = "Completed"
    except JobFailed:
        status = "Failed"
        raise
    finally:
        context.store.change(KIND, context.job_name, {}, status)
        _remove(context.work)
    shown = [{"Name": name, "Value": _text(output)} for name, output in outputs.items()]
    context.announce({"Lambda": {"Arn": arn, "OutputParameters": shown}})
    return {"FunctionArn": arn, "OutputParameters": outputs, "Outputs": outputs}


async def _invoke(function: Record, event: dict[str, Any], context: JobContext) -> Any:
    from pipeline.local.container import Spec, stop

    limit = min(function.body["timeout"], LONGEST_S)
    tree = os.path.join(context.work, "ml")
    os.makedirs(tree)
    paths = [os.path.join(context.work, name) for name in ("event.json", "result.json")]
    with open(paths[0], "w", encoding="utf-8") as file:
        json.dump(event, file)
    server = await loopback.ensure(context)
    env = function_process.environment(function, server.url, server.key, context.work, limit)
    argv = function_process.command(function, *paths)
    process = context.isolation.launch(Spec(argv, env, tree, context.log_path, cwd=context.work, image=function.name))
    try:
        code = await context.loop.exit_of(process.pid, limit)
    except BaseException:
        await stop(process, context.loop, grace=0.0)
        process.finish()
        raise
    if code is None:
        await stop(process, context.loop, grace=0.0)
        process.finish()
        raise _failed(function.name, "Sandbox.Timedout", f"Task timed out after {limit:.2f} seconds", context)
    return _result(function.name, process, paths[1], code, context)


def _result(arn: str, process: Process, path: str, code: int, context: JobContext) -> Any:
    problem = process.finish()
    try:
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
    except FileNotFoundError:
        end = f"Runtime exited with error: {function_process.exit_words(code)}"
        raise _failed(arn, "Runtime.ExitError", problem or end, context) from None
    if "errorType" in result:
        raise _failed(arn, result["errorType"], result["errorMessage"], context)
    return result["value"]


def _failed(arn: str, kind: str, message: str, context: JobContext) -> JobFailed:
    return JobFailed(f"Lambda function {arn} failed: {kind}: {message}", log_path=context.log_path)


def _outputs(declared: list[dict[str, str]], value: Any, arn: str, log_path: str) -> dict[str, Any]:
    """Every declared output with a value of its type. Raises JobFailed that names what is missing or wrong."""
    problems = []
    outputs = {}
    for output in declared:
        name, kind = output["OutputName"], output.get("OutputType", "String")
        if not isinstance(value, dict) or name not in value:
            problems.append(f"OutputParameters: {name!r} is missing in the handler's result")
        elif not _is_of_type(value[name], kind):
            problems.append(f"OutputParameters: {name!r} is declared {kind}, the handler returned {value[name]!r}")
        else:
            outputs[name] = value[name]
    if problems:
        shape = f"it returned the keys {sorted(value)}" if isinstance(value, dict) else f"it returned {value!r}"
        message = f"Lambda function {arn}: {'; '.join(problems)}; {shape}: return them at the top level of a dict"
        raise JobFailed(message, log_path=log_path)
    return outputs


def _is_of_type(value: Any, kind: str) -> bool:
    match kind:
        case "String":
            return isinstance(value, str)
        case "Integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "Float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "Boolean":
            return isinstance(value, bool)
    raise JobFailed(f"OutputParameters: unknown OutputType {kind!r}: use String, Integer, Float or Boolean")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _remove(folder: str) -> None:
    if os.path.isdir(folder):
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
