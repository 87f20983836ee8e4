"""Which members each operation takes, as botocore's service model has them (a test compares the two)."""

from __future__ import annotations

import re

from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# of pipelines 256 characters, of everything else 63; such a name is also a safe part of a path and of an ARN
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_LONGEST_NAMES = {"PipelineName": 256}
_PAGE = "NextToken MaxResults SortBy SortOrder"
_CREATED = "CreationTimeAfter CreationTimeBefore"
_MODIFIED = "LastModifiedTimeAfter LastModifiedTimeBefore"
_JOBS = f"{_PAGE} {_CREATED} {_MODIFIED} NameContains StatusEquals"

# '!' marks the required ones
_MEMBERS = {
    "DescribeProcessingJob": "ProcessingJobName!",
    "DescribeTrainingJob": "TrainingJobName!",
    "DescribeHyperParameterTuningJob": "HyperParameterTuningJobName!",
    "DescribeTransformJob": "TransformJobName!",
    "CreateTransformJob": "TransformJobName! ModelName! MaxConcurrentTransforms ModelClientConfig MaxPayloadInMB"
    " BatchStrategy Environment TransformInput! TransformOutput! DataCaptureConfig TransformResources! DataProcessing"
    " Tags ExperimentConfig",
    "StopTransformJob": "TransformJobName!",
    "ListProcessingJobs": _JOBS,
    "ListTrainingJobs": f"{_JOBS} WarmPoolStatusEquals TrainingPlanArnEquals",
    "ListHyperParameterTuningJobs": _JOBS,
    "ListTransformJobs": _JOBS,
    "ListTrainingJobsForHyperParameterTuningJob": f"HyperParameterTuningJobName! {_PAGE} StatusEquals",
    "SendPipelineExecutionStepSuccess": "CallbackToken! OutputParameters ClientRequestToken",
    "SendPipelineExecutionStepFailure": "CallbackToken! FailureReason ClientRequestToken",
    "CreateModel": "ModelName! PrimaryContainer Containers InferenceExecutionConfig ExecutionRoleArn Tags VpcConfig"
    " EnableNetworkIsolation",
    "DescribeModel": "ModelName!",
    "ListModels": f"{_PAGE} {_CREATED} NameContains",
    "DeleteModel": "ModelName!",
    "CreateEndpointConfig": "EndpointConfigName! ProductionVariants! DataCaptureConfig Tags KmsKeyId"
    " AsyncInferenceConfig ExplainerConfig ShadowProductionVariants ExecutionRoleArn VpcConfig EnableNetworkIsolation"
    " MetricsConfig",
    "DescribeEndpointConfig": "EndpointConfigName!",
    "ListEndpointConfigs": f"{_PAGE} {_CREATED} NameContains",
    "DeleteEndpointConfig": "EndpointConfigName!",
    "CreateEndpoint": "EndpointName! EndpointConfigName! DeploymentConfig Tags",
    "UpdateEndpoint": "EndpointName! EndpointConfigName! RetainAllVariantProperties ExcludeRetainedVariantProperties"
    " DeploymentConfig RetainDeploymentConfig",
    "UpdateEndpointWeightsAndCapacities": "EndpointName! DesiredWeightsAndCapacities!",
    "DescribeEndpoint": "EndpointName!",
    "ListEndpoints": f"{_PAGE} {_CREATED} {_MODIFIED} NameContains StatusEquals",
    "DeleteEndpoint": "EndpointName!",
    "CreateModelPackageGroup": "ModelPackageGroupName! ModelPackageGroupDescription Tags",
    "DescribeModelPackageGroup": "ModelPackageGroupName!",
    "ListModelPackageGroups": f"{_PAGE} {_CREATED} NameContains CrossAccountFilterOption",
    "DeleteModelPackageGroup": "ModelPackageGroupName!",
    "CreateModelPackage": "ModelPackageName ModelPackageGroupName ModelPackageDescription ModelPackageRegistrationType"
    " InferenceSpecification ValidationSpecification SourceAlgorithmSpecification CertifyForMarketplace Tags"
    " ModelApprovalStatus MetadataProperties ModelMetrics ClientToken Domain Task SamplePayloadUrl"
    " CustomerMetadataProperties DriftCheckBaselines AdditionalInferenceSpecifications SkipModelValidation SourceUri"
    " SecurityConfig ModelCard ModelLifeCycle",
    "DescribeModelPackage": "ModelPackageName! IncludedData",
    "ListModelPackages": f"{_PAGE} {_CREATED} NameContains ModelApprovalStatus ModelPackageGroupName ModelPackageType",
    "UpdateModelPackage": "ModelPackageArn! ModelApprovalStatus ModelPackageRegistrationType ApprovalDescription"
    " CustomerMetadataProperties CustomerMetadataPropertiesToRemove AdditionalInferenceSpecificationsToAdd"
    " InferenceSpecification SourceUri ModelCard ModelLifeCycle ClientToken",
    "DeleteModelPackage": "ModelPackageName!",
    "AddTags": "ResourceArn! Tags!",
    "ListTags": "ResourceArn! NextToken MaxResults",
    "DeleteTags": "ResourceArn! TagKeys!",
    "InvokeEndpointAsync": "EndpointName! ContentType Accept CustomAttributes InferenceId InputLocation Body"
    " S3OutputPathExtension Filename RequestTTLSeconds InvocationTimeoutSeconds",
    "InvokeEndpoint": "EndpointName! Body! ContentType Accept CustomAttributes TargetVariant InferenceId",
}
_NAMES = {operation: tuple(text.replace("!", "").split()) for operation, text in _MEMBERS.items()}
_REQUIRED = {
    operation: tuple(word[:-1] for word in text.split() if word.endswith("!")) for operation, text in _MEMBERS.items()
}


def names(operation: str) -> tuple[str, ...]:
    return _NAMES[operation]


def required(operation: str) -> tuple[str, ...]:
    return _REQUIRED[operation]


def check(operation: str, request: Mapping[str, Any]) -> None:
    """Raises ServiceError ParamValidationError that names every missing and every unknown member, as boto3 does."""
    problems = [
        f'Missing required parameter in input: "{name}"' for name in _REQUIRED[operation] if name not in request
    ]
    unknown = [name for name in request if name not in _NAMES[operation]]
    problems += [
        f'Unknown parameter in input: "{name}", must be one of: {", ".join(_NAMES[operation])}' for name in unknown
    ]
    if problems:
        raise ServiceError("ParamValidationError", "Parameter validation failed:\n" + "\n".join(problems), operation)


def check_name(operation: str, member: str, value: Any) -> None:
    """Raises ServiceError ValidationException for what the service takes for no name of a new resource."""
    longest = _LONGEST_NAMES.get(member, 63)
    if not isinstance(value, str) or len(value) > longest or not _NAME.fullmatch(value):
        raise ServiceError(
            "ValidationException",
            f"{member} {value!r} is no name: letters, digits and inner hyphens, at most {longest} characters",
            operation,
        )


def one_of(operation: str, member: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raises ServiceError ValidationException in the service's own words."""
    if value not in allowed:
        raise ServiceError(
            "ValidationException",
            f"1 validation error detected: Value '{value}' at '{member[0].lower()}{member[1:]}' failed to satisfy"
            f" constraint: Member must satisfy enum value set: [{', '.join(allowed)}]",
            operation,
        )
