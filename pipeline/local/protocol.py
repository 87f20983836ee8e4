"""The JSON protocols of SageMaker, its runtime and STS, over the local service; the table of what is answered."""

from __future__ import annotations

import json

from pipeline.errors import ServiceError
from pipeline.local import names
from pipeline.local.messages import Answer, json_answer
from pipeline.local.operations.endpoints import LARGEST_BODY, Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.messages import Request
    from pipeline.local.service import LocalSageMaker

JSON = "application/x-amz-json-1.1"
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
    "UpdateEndpoint": "update_endpoint",
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
_STATUS = {
    "RequestEntityTooLarge": 413,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
    "AccessDeniedException": 403,
    "ModelError": 424,
    "InternalFailure": 500,
}


def answer(request: Request, service: LocalSageMaker) -> Answer:
    """For everything but S3. Raises ServiceError; UnknownOperationException for what is not in the table."""
    target = request.headers.get("X-Amz-Target", "")
    if target:
        return _sagemaker(target, request, service)
    parts = request.path.split("/")
    if request.method == "POST" and len(parts) == 4 and (parts[1], parts[3]) == ("endpoints", "invocations"):
        return _invocation(parts[2], request, service)
    if request.service == "sts":
        return _caller_identity(request)
    subject = f"{request.method} {request.path}" + (f" of service {request.service!r}" if request.service else "")
    raise ServiceError("UnknownOperationException", f"the local server does not answer {subject}")


def refusal(exc: ServiceError) -> Answer:
    body = {"__type": exc.code, "message": exc.message + (f" ({exc.hint})" if exc.hint else "")}
    return json_answer(_STATUS.get(exc.code, 400), body, JSON, **{"x-amzn-ErrorType": exc.code})


def _sagemaker(target: str, request: Request, service: LocalSageMaker) -> Answer:
    prefix, _, operation = target.partition(".")
    if prefix != "SageMaker" or operation not in OPERATIONS:
        message = f"the local SageMaker does not know {target}; it answers: {', '.join(OPERATIONS)}"
        raise ServiceError("UnknownOperationException", message, operation)
    try:
        body = json.loads(request.body.all(LARGEST_REQUEST) or b"{}")
    except ValueError as exc:
        raise ServiceError("SerializationException", f"the request is not JSON: {exc}", operation) from exc
    if not isinstance(body, dict):
        raise ServiceError("SerializationException", "the request is not a JSON object", operation)
    method = getattr(service, OPERATIONS[operation])
    _check_members(operation, method, body)
    return json_answer(200, method(**body), JSON)


def _check_members(operation: str, method: Any, body: dict[str, Any]) -> None:
    """Operations with spelled-out keyword arguments; the others check by themselves."""
    import inspect

    try:
        inspect.signature(method).bind(**body)
    except TypeError as exc:
        raise ServiceError("ValidationException", f"{operation}: {exc}", operation) from exc


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


def _caller_identity(request: Request) -> Answer:
    from urllib.parse import parse_qs

    action = parse_qs(request.body.all(LARGEST_REQUEST).decode()).get("Action", [""])[0]
    if action != "GetCallerIdentity":
        raise ServiceError(
            "UnknownOperationException", f"the local STS does not know {action!r}; it answers GetCallerIdentity"
        )
    arn = f"arn:aws:sts::{names.ACCOUNT}:assumed-role/darkroom/local"
    text = (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>{arn}</Arn><UserId>DARKROOM:local</UserId><Account>{names.ACCOUNT}</Account></GetCallerIdentityResult>"
        "<ResponseMetadata><RequestId>darkroom</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )
    return Answer(200, {"Content-Type": "text/xml"}, text.encode())
