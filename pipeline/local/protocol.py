"""Which operations of which AWS services are answered, over the local service, in the protocols that boto3 speaks."""

from __future__ import annotations

import json
import re
from collections import namedtuple

from pipeline.errors import ModelError, ServiceError
from pipeline.local import cbor, query, request_check
from pipeline.local.messages import Answer, json_answer
from pipeline.local.operations.alarms import Alarms
from pipeline.local.operations.asynchronous import Asynchronous
from pipeline.local.operations.endpoints import Runtime
from pipeline.local.operations.functions import LARGEST_EVENT, Functions
from pipeline.local.operations.logs import Logs
from pipeline.local.operations.scaling import Scaling
from pipeline.request_sizes import LARGEST_BODY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.messages import Request
    from pipeline.local.service import LocalSageMaker

JSON = "application/x-amz-json-1.1"
_RPC_HEADERS = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
LARGEST_REQUEST = 8 << 20  # bytes; a definition is 1 MiB at most, escaped as a JSON string twice that
# operation → method of LocalSageMaker: only what stands here can be called from outside
OPERATIONS = {
    "AddTags": "add_tags",
    "CreateEndpoint": "create_endpoint",
    "CreateEndpointConfig": "create_endpoint_config",
    "CreateModel": "create_model",
    "CreateModelPackage": "create_model_package",
    "CreateModelPackageGroup": "create_model_package_group",
    "CreatePipeline": "create_pipeline",
    "CreateTransformJob": "create_transform_job",
    "DeleteEndpoint": "delete_endpoint",
    "DeleteEndpointConfig": "delete_endpoint_config",
    "DeleteModel": "delete_model",
    "DeleteModelPackage": "delete_model_package",
    "DeleteModelPackageGroup": "delete_model_package_group",
    "DeletePipeline": "delete_pipeline",
    "DeleteTags": "delete_tags",
    "DescribeEndpoint": "describe_endpoint",
    "DescribeEndpointConfig": "describe_endpoint_config",
    "DescribeHyperParameterTuningJob": "describe_hyper_parameter_tuning_job",
    "DescribeModel": "describe_model",
    "DescribeModelPackage": "describe_model_package",
    "DescribeModelPackageGroup": "describe_model_package_group",
    "DescribePipeline": "describe_pipeline",
    "DescribePipelineDefinitionForExecution": "describe_pipeline_definition_for_execution",
    "DescribePipelineExecution": "describe_pipeline_execution",
    "DescribeProcessingJob": "describe_processing_job",
    "DescribeTrainingJob": "describe_training_job",
    "DescribeTransformJob": "describe_transform_job",
    "ListEndpointConfigs": "list_endpoint_configs",
    "ListEndpoints": "list_endpoints",
    "ListHyperParameterTuningJobs": "list_hyper_parameter_tuning_jobs",
    "ListModelPackageGroups": "list_model_package_groups",
    "ListModelPackages": "list_model_packages",
    "ListModels": "list_models",
    "ListPipelineExecutionSteps": "list_pipeline_execution_steps",
    "ListPipelineExecutions": "list_pipeline_executions",
    "ListPipelineParametersForExecution": "list_pipeline_parameters_for_execution",
    "ListPipelineVersions": "list_pipeline_versions",
    "ListPipelines": "list_pipelines",
    "ListProcessingJobs": "list_processing_jobs",
    "ListTags": "list_tags",
    "ListTrainingJobs": "list_training_jobs",
    "ListTrainingJobsForHyperParameterTuningJob": "list_training_jobs_for_hyper_parameter_tuning_job",
    "ListTransformJobs": "list_transform_jobs",
    "RetryPipelineExecution": "retry_pipeline_execution",
    "SendPipelineExecutionStepFailure": "send_pipeline_execution_step_failure",
    "SendPipelineExecutionStepSuccess": "send_pipeline_execution_step_success",
    "StartPipelineExecution": "start_pipeline_execution",
    "StopPipelineExecution": "stop_pipeline_execution",
    "StopTransformJob": "stop_transform_job",
    "UpdateEndpoint": "update_endpoint",
    "UpdateEndpointWeightsAndCapacities": "update_endpoint_weights_and_capacities",
    "UpdateModelPackage": "update_model_package",
    "UpdatePipeline": "update_pipeline",
    "UpdatePipelineVersion": "update_pipeline_version",
}
_PAYLOAD = {"Content-Type": "ContentType", "Accept": "Accept"}
_INVOKE = {
    "X-Amzn-SageMaker-Custom-Attributes": "CustomAttributes",
    "X-Amzn-SageMaker-Target-Variant": "TargetVariant",
    "X-Amzn-SageMaker-Inference-Id": "InferenceId",
}
_INVOKE_ASYNC = {
    "X-Amzn-SageMaker-Content-Type": "ContentType",
    "X-Amzn-SageMaker-Accept": "Accept",
    "X-Amzn-SageMaker-Custom-Attributes": "CustomAttributes",
    "X-Amzn-SageMaker-Inference-Id": "InferenceId",
    "X-Amzn-SageMaker-InputLocation": "InputLocation",
    "X-Amzn-SageMaker-S3OutputPathExtension": "S3OutputPathExtension",
    "X-Amzn-SageMaker-Filename": "Filename",
    "X-Amzn-SageMaker-RequestTTLSeconds": "RequestTTLSeconds",
    "X-Amzn-SageMaker-InvocationTimeoutSeconds": "InvocationTimeoutSeconds",
}
_NUMBER = re.compile("[0-9]{1,9}")
_SECONDS = ("RequestTTLSeconds", "InvocationTimeoutSeconds")  # numbers, which headers are not
_INVOKE_FUNCTION = {
    "X-Amz-Invocation-Type": "InvocationType",
    "X-Amz-Log-Type": "LogType",
    "X-Amz-Client-Context": "ClientContext",
}
# what follows is none of SageMaker's: methods of Scaling, Alarms and Logs
SCALING = {
    "DeleteScalingPolicy": "delete_scaling_policy",
    "DeregisterScalableTarget": "deregister_scalable_target",
    "DescribeScalingActivities": "describe_scaling_activities",
    "DescribeScalableTargets": "describe_scalable_targets",
    "DescribeScalingPolicies": "describe_scaling_policies",
    "PutScalingPolicy": "put_scaling_policy",
    "RegisterScalableTarget": "register_scalable_target",
}
ALARMS = {
    "DeleteAlarms": "delete_alarms",
    "DescribeAlarms": "describe_alarms",
    "GetMetricData": "get_metric_data",
    "GetMetricStatistics": "get_metric_statistics",
    "ListMetrics": "list_metrics",
    "PutMetricAlarm": "put_metric_alarm",
    "SetAlarmState": "set_alarm_state",
}
LOGS = {
    "DescribeLogGroups": "describe_log_groups",
    "DescribeLogStreams": "describe_log_streams",
    "FilterLogEvents": "filter_log_events",
    "GetLogEvents": "get_log_events",
}
# `name` as boto3 has it; `methods` is its table; `connect` makes what has them out of a LocalSageMaker
Service = namedtuple("Service", "name methods connect")
# prefix of X-Amz-Target, and of RPC v2's path
_TARGETS = {
    "SageMaker": Service("sagemaker", OPERATIONS, lambda service: service),
    "AnyScaleFrontendService": Service("application-autoscaling", SCALING, lambda s: Scaling(s.store, s.storage)),
    "GraniteServiceVersion20100801": Service("cloudwatch", ALARMS, lambda s: Alarms(s.store, s.storage)),
    "Logs_20140328": Service("logs", LOGS, lambda s: Logs(s.store, s.storage)),
}
_CLOUDWATCH = _TARGETS["GraniteServiceVersion20100801"]
# what a service calls a request that its model does not take, where that is not ValidationException
_INVALID = {"cloudwatch": "ValidationError", "logs": "InvalidParameterException"}
# CloudWatch's errors: the name that its model has, where that is not the code
_SHAPES = {"InvalidFormat": "InvalidFormatFault", "LimitExceeded": "LimitExceededFault"}
_STATUS = {
    "RequestEntityTooLarge": 413,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
    "AccessDeniedException": 403,
    "AccessDenied": 403,
    "ModelError": 424,
    "ResourceNotFoundException": 404,
    "RequestTooLargeException": 413,
    "InternalFailure": 500,
}


def answer(request: Request, service: LocalSageMaker) -> Answer:
    """For everything but S3. Raises ServiceError; UnknownOperationException for what is not in a table."""
    target = request.headers.get("X-Amz-Target", "")
    parts = request.path.split("/")
    if target:
        return _json(target, request, service)
    if _is_rpc(request) and len(parts) == 5 and (parts[1], parts[3]) == ("service", "operation"):
        return _rpc(parts[2], parts[4], request, service)
    if request.method == "POST" and len(parts) == 4 and (parts[1], parts[3]) == ("endpoints", "invocations"):
        return _invocation(parts[2], request, service)
    if request.method == "POST" and len(parts) == 4 and (parts[1], parts[3]) == ("endpoints", "async-invocations"):
        return _async_invocation(parts[2], request, service)
    if request.method == "POST" and parts[1:3] == ["2015-03-31", "functions"] and parts[4:] == ["invocations"]:
        return _function_call(parts[3], request, service)
    match request.service:
        case "sts":
            return query.caller_identity(request)
        case "iam":
            return query.refuse_iam(request)
        case "monitoring":
            return _query(request, service)
    subject = f"{request.method} {request.path}" + (f" of service {request.service!r}" if request.service else "")
    raise ServiceError("UnknownOperationException", f"the local server does not answer {subject}")


def refusal(request: Request, exc: ServiceError) -> Answer:
    """In the protocol of the request."""
    status = _STATUS.get(exc.code, 400)
    message = exc.message + (f" ({exc.hint})" if exc.hint else "")
    if _is_rpc(request):
        side = "Receiver" if status >= 500 else "Sender"
        body = {"__type": f"com.amazonaws.cloudwatch#{_SHAPES.get(exc.code, exc.code)}", "message": message}
        headers = {**_RPC_HEADERS, "x-amzn-query-error": f"{exc.code};{side}"}
        return Answer(status, headers, cbor.dump(body))
    if query.is_form(request) and "X-Amz-Target" not in request.headers:
        return query.refusal(status, ServiceError(exc.code, message))
    more = exc.members if isinstance(exc, ModelError) else {}
    said = {"__type": exc.code, "message": message, **more}
    return json_answer(status, said, JSON, **{"x-amzn-ErrorType": exc.code})


def _json(target: str, request: Request, service: LocalSageMaker) -> Answer:
    prefix, _, operation = target.partition(".")
    text = request.body.all(LARGEST_REQUEST)
    wanted = _wanted(prefix, operation, target)
    try:
        body = json.loads(text or b"{}", parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise ServiceError("SerializationException", f"the request is not JSON: {exc}", operation) from exc
    return json_answer(200, _call(wanted, operation, body, service), JSON)


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no value of JSON")


def _rpc(prefix: str, operation: str, request: Request, service: LocalSageMaker) -> Answer:
    data = request.body.all(LARGEST_REQUEST)
    wanted = _wanted(prefix, operation, f"{prefix}.{operation}")
    reply = _call(wanted, operation, cbor.load(data) if data else {}, service)
    return Answer(200, _RPC_HEADERS, cbor.dump(reply))


def _query(request: Request, service: LocalSageMaker) -> Answer:
    fields = query.form(request)
    operation = fields.get("Action", "")
    if operation not in ALARMS:
        raise query.no_action("CloudWatch", operation, f"it answers: {', '.join(ALARMS)}")
    body = query.request_of(_CLOUDWATCH.name, operation, fields)
    return query.answer(_CLOUDWATCH.name, operation, _call(_CLOUDWATCH, operation, body, service))


def _wanted(prefix: str, operation: str, target: str) -> Service:
    wanted: Service | None = _TARGETS.get(prefix)
    if wanted is None or operation not in wanted.methods:
        known = f"; it answers: {', '.join(wanted.methods)}" if wanted else ""
        raise ServiceError(
            "UnknownOperationException", f"the local service does not know {target[:200]!r}{known}", operation
        )
    return wanted


def _call(wanted: Service, operation: str, body: Any, service: LocalSageMaker) -> dict[str, Any]:
    """Only what stands in a table can be called, and only with what the service's model has."""
    if not isinstance(body, dict):
        raise ServiceError("SerializationException", "the request is not an object", operation)
    try:
        body = request_check.checked(wanted.name, operation, body)
        method = getattr(wanted.connect(service), wanted.methods[operation])
        _check_members(operation, method, body)
    except ServiceError as exc:
        code = _INVALID.get(wanted.name, exc.code) if exc.code == "ValidationException" else exc.code
        raise ServiceError(code, exc.message, operation) from exc
    answered: dict[str, Any] = method(**body)
    return answered


def _is_rpc(request: Request) -> bool:
    return bool(request.headers.get("smithy-protocol", "") == "rpc-v2-cbor")


def _check_members(operation: str, method: Any, body: dict[str, Any]) -> None:
    """Members that AWS knows, and this service not yet."""
    import inspect

    try:
        inspect.signature(method).bind(**body)
    except TypeError as exc:
        raise ServiceError("ValidationException", f"{operation}: the local service: {exc}", operation) from exc


def _invocation(name: str, request: Request, service: LocalSageMaker) -> Answer:
    given = {
        member: request.headers[header] for header, member in (_PAYLOAD | _INVOKE).items() if header in request.headers
    }
    runtime = Runtime(service.store, service.storage)
    reply = runtime.invoke_endpoint(EndpointName=name, Body=request.body.all(LARGEST_BODY), **given)
    headers = {
        "Content-Type": reply["ContentType"],
        "x-Amzn-Invoked-Production-Variant": reply["InvokedProductionVariant"],
    }
    return Answer(200, headers, reply["Body"].read())


def _async_invocation(name: str, request: Request, service: LocalSageMaker) -> Answer:
    operation = "InvokeEndpointAsync"
    given: dict[str, Any] = {
        member: request.headers[header] for header, member in _INVOKE_ASYNC.items() if header in request.headers
    }
    given |= {member: int(given[member]) for member in _SECONDS if _NUMBER.fullmatch(given.get(member, ""))}
    body = request.body.all(LARGEST_BODY)
    asked = {"EndpointName": name, **given, **({"Body": body} if body else {})}
    try:
        request_check.checked("sagemaker-runtime", operation, asked)
    except ServiceError as exc:
        code = "ValidationError" if exc.code == "ValidationException" else exc.code
        raise ServiceError(code, exc.message, operation) from exc
    reply = Asynchronous(service.store, service.storage).invoke_endpoint_async(**asked)
    places = {f"X-Amzn-SageMaker-{member}": place for member, place in reply.items() if member != "InferenceId"}
    return json_answer(202, {"InferenceId": reply["InferenceId"]}, "application/json", **places)


def _function_call(function: str, request: Request, service: LocalSageMaker) -> Answer:
    given = {
        member: request.headers[header] for header, member in _INVOKE_FUNCTION.items() if header in request.headers
    }
    if "Qualifier" in request.query:
        given["Qualifier"] = request.query["Qualifier"]
    functions = Functions(service.store, service.storage)
    reply = functions.invoke(FunctionName=function, Payload=request.body.all(LARGEST_EVENT), **given)
    failed = {"X-Amz-Function-Error": reply["FunctionError"]} if "FunctionError" in reply else {}
    told = {"Content-Type": "application/json", "X-Amz-Executed-Version": reply["ExecutedVersion"], **failed}
    return Answer(reply["StatusCode"], told, reply["Payload"].read())
