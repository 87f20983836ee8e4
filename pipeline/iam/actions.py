"""What IAM knows of the actions that darkroom's roles need: what each one is about, and which take nothing but `*`.

Read in AWS's service authorization reference (2026-11), https://docs.aws.amazon.com/service-authorization/latest/reference/:
list_amazonsagemaker, list_amazons3, list_amazonec2, list_amazonelasticcontainerregistry, list_amazoncloudwatch(logs),
list_awslambda, list_awskeymanagementservice, list_awsidentityandaccessmanagementiam, list_awscloudformation,
list_amazoneventbridge, list_servicequotas, list_awsapplicationautoscaling.
"""

from __future__ import annotations

from collections import namedtuple

REFERENCE = "https://docs.aws.amazon.com/service-authorization/latest/reference/"

# why an action is granted on "*", where AWS says so, and a condition key that has to narrow it ("" for none)
Forced = namedtuple("Forced", "reason source condition", defaults=("",))

# resource type → actions that can be limited to such resources
_BY_KIND = {
    "processing-job": "sagemaker:CreateProcessingJob DescribeProcessingJob StopProcessingJob",
    "training-job": "sagemaker:CreateTrainingJob DescribeTrainingJob StopTrainingJob",
    "hyper-parameter-tuning-job": "sagemaker:CreateHyperParameterTuningJob DescribeHyperParameterTuningJob "
    "StopHyperParameterTuningJob ListTrainingJobsForHyperParameterTuningJob",
    "model-package": "sagemaker:CreateModelPackage DescribeModelPackage UpdateModelPackage",
    "model-package-group": "sagemaker:CreateModelPackage CreateModelPackageGroup DescribeModelPackageGroup",
    "model": "sagemaker:CreateModel DeleteModel DescribeModel",
    "endpoint-config": "sagemaker:CreateEndpointConfig DeleteEndpointConfig DescribeEndpointConfig CreateEndpoint "
    "UpdateEndpoint",
    "endpoint": "sagemaker:CreateEndpoint UpdateEndpoint DeleteEndpoint DescribeEndpoint InvokeEndpoint "
    "UpdateEndpointWeightsAndCapacities",
    "pipeline": "sagemaker:CreatePipeline UpdatePipeline DescribePipeline ListPipelineVersions UpdatePipelineVersion "
    "StartPipelineExecution ListPipelineExecutions",
    "pipeline-execution": "sagemaker:DescribePipelineExecution StopPipelineExecution RetryPipelineExecution "
    "ListPipelineExecutionSteps ListPipelineParametersForExecution DescribePipelineDefinitionForExecution",
    "bucket": "s3:ListBucket GetBucketLocation GetBucketPolicy GetBucketPublicAccessBlock GetBucketVersioning "
    "GetEncryptionConfiguration",
    "object": "s3:GetObject PutObject DeleteObject AbortMultipartUpload",
    "repository": "ecr:BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer CompleteLayerUpload "
    "DescribeImages InitiateLayerUpload PutImage UploadLayerPart",
    "log-group": "logs:CreateLogGroup DescribeLogStreams FilterLogEvents",
    "log-stream": "logs:CreateLogStream PutLogEvents GetLogEvents",
    "function": "lambda:GetFunctionConfiguration InvokeFunction",
    "key": "kms:CreateGrant Decrypt DescribeKey Encrypt GenerateDataKey GetKeyPolicy",
    "role": "iam:GetRole ListAttachedRolePolicies ListRolePolicies PassRole SimulatePrincipalPolicy",
    "stack": "cloudformation:DescribeStacks",
    "rule": "events:DescribeRule",
    "subnet": "ec2:CreateNetworkInterface",
    "security-group": "ec2:CreateNetworkInterface",
    "network-interface": "ec2:CreateNetworkInterface CreateNetworkInterfacePermission DeleteNetworkInterface",
    "alarm": "cloudwatch:DeleteAlarms DescribeAlarms PutMetricAlarm",
    "scalable-target": "application-autoscaling:DeregisterScalableTarget PutScalingPolicy RegisterScalableTarget",
    "topic": "sns:Publish",
    "service-linked-role": "iam:CreateServiceLinkedRole",
}
TAGGED = ("processing-job", "training-job", "hyper-parameter-tuning-job", "model-package", "model-package-group")
HOSTING = ("model", "endpoint-config", "endpoint")
TAGGING = {"sagemaker:AddTags": (*TAGGED, "pipeline", *HOSTING), "sagemaker:ListTags": ("pipeline", *HOSTING)}


def _kinds() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = dict(TAGGING)
    for kind, text in _BY_KIND.items():
        service, _, names = text.partition(":")
        for name in names.split():
            action = f"{service}:{name}"
            found[action] = (*found.get(action, ()), kind)
    return found


# action → the types of resources that a policy may name for it
KINDS = _kinds()

_EC2 = Forced(
    "EC2's Describe actions have no resource types", f"{REFERENCE}list_amazonec2.html#amazonec2-actions-as-permissions"
)
_QUOTAS = f"{REFERENCE}list_servicequotas.html"
# Every action that is granted on "*", and nothing else ever is.
FORCED = {
    "ecr:GetAuthorizationToken": Forced(
        "the token is the registry's, not a repository's", f"{REFERENCE}list_amazonelasticcontainerregistry.html"
    ),
    "cloudwatch:PutMetricData": Forced(
        "metrics are no resources; the namespaces are named instead",
        f"{REFERENCE}list_amazoncloudwatch.html",
        "cloudwatch:namespace",
    ),
    **dict.fromkeys(
        (
            *("ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeRegions"),
            *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcEndpoints", "ec2:DescribeVpcs"),
        ),
        _EC2,
    ),
    "ec2:DeleteNetworkInterfacePermission": Forced(
        "the request names a permission, not an interface: the resource type is optional",
        f"{REFERENCE}list_amazonec2.html",
    ),
    **dict.fromkeys(
        ("servicequotas:ListAWSDefaultServiceQuotas", "servicequotas:ListServiceQuotas"),
        Forced("lists are of the whole service; only a request for more names a quota", _QUOTAS),
    ),
    "events:ListRuleNamesByTarget": Forced(
        "it asks by target, whatever rules there are", f"{REFERENCE}list_amazoneventbridge.html"
    ),
    "sagemaker:ListModelPackages": Forced(
        "SageMaker's List calls take no resource but a few; for this one the type is optional, and which ARN a request "
        "with a group is judged by is written nowhere",
        "https://docs.aws.amazon.com/sagemaker/latest/dg/api-permissions-reference.html",
    ),
    "sagemaker:ListModelPackageGroups": Forced("it has no resource type", f"{REFERENCE}list_amazonsagemaker.html"),
    **dict.fromkeys(
        ("sagemaker:ListEndpointConfigs", "sagemaker:ListModels"),
        Forced("they have no resource type", f"{REFERENCE}list_amazonsagemaker.html"),
    ),
    "sagemaker:ListPipelines": Forced("it has no resource type", f"{REFERENCE}list_amazonsagemaker.html"),
}

# Resource types that are named as a whole, kind/*, because the service makes up each name.
WHOLE_KINDS = {
    "network-interface": "EC2 names interfaces; subnets and security groups are named exactly",
    "scalable-target": "Application Auto Scaling makes up each id; the namespace is a condition",
    "key": "an alias is no resource of a key's action: the condition kms:ResourceAliases names it",
}
# Resource types whose account may be anybody's: a shared VPC belongs to another account, and ids are unique.
ANY_ACCOUNT = ("subnet", "security-group")

# Actions that no API operation is called like: what S3 and Lambda ask for some of theirs, and who hands a role on.
NO_OPERATION = frozenset(
    {
        *("iam:PassRole", "s3:ListBucket", "lambda:InvokeFunction"),
        *("s3:GetEncryptionConfiguration", "s3:GetBucketPublicAccessBlock"),
    }
)
