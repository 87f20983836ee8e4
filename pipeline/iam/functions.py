"""The roles of the Lambda functions: each with what its handler calls, and its own log."""

from __future__ import annotations

from pipeline.config.deployment import production_name
from pipeline.iam import clauses
from pipeline.iam.execution import SERVICE, alarms_of, packages_of, passing, property_files
from pipeline.iam.scope import Scope
from pipeline.iam.statements import Statement

VARIANT = "AllTraffic"  # as the deployment calls it
GOLDEN = "golden.json"  # which evaluate.py writes beside evaluation.json
_SCALING = "sagemaker.application-autoscaling.amazonaws.com"
_SCALED = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"


def deploying(scope: Scope) -> list[Statement]:
    """lambda_deploy.py: model, configuration, endpoint, alarms and scaling, out of a package of this group."""
    place, made = scope.place, scope.made
    models, configs = place.sagemaker("model", made), place.sagemaker("endpoint-config", made)
    endpoints = place.sagemaker("endpoint", scope.config.endpoint_name)
    updating = ("sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint")
    labels = ("sagemaker:AddTags", "sagemaker:ListTags")
    return [
        log_of(scope, scope.config.deploy_function),
        Statement("LookAtPackages", ("sagemaker:DescribeModelPackage",), packages_of(scope)),
        Statement("MakeModels", (*_all_of("Model"), *labels), models),
        Statement("MakeConfigurations", (*_all_of("EndpointConfig"), *labels), configs),
        Statement("FindMade", ("sagemaker:ListEndpointConfigs", "sagemaker:ListModels"), clauses.ALL),
        Statement("UseEndpoint", (*_all_of("Endpoint"), *_of_endpoint(scope), *labels), endpoints),
        Statement("UseConfigurations", updating, configs),
        passing((scope.serving_role,), SERVICE),
        *_reading_golden(scope),
        *_alarms(scope),
        *(_scaling(scope) if scope.config.deploy.scaling else []),
        *clauses.keys(scope, ("kms:DescribeKey",)),
        *clauses.grants(scope),
    ]


def _of_endpoint(scope: Scope) -> tuple[str, ...]:
    """Application Auto Scaling asks for its caller's right to change capacity before it acts by its own role."""
    scaling = ("sagemaker:UpdateEndpointWeightsAndCapacities",) if scope.config.deploy.scaling else ()
    return ("sagemaker:InvokeEndpoint", "sagemaker:UpdateEndpoint", *scaling)


def _all_of(kind: str) -> tuple[str, ...]:
    return tuple(f"sagemaker:{verb}{kind}" for verb in ("Create", "Delete", "Describe"))


def _reading_golden(scope: Scope) -> list[Statement]:
    """The smoke test's pictures. What is absent is not told from what is denied: both are no pictures."""
    files = tuple(f"{each.rpartition('/')[0]}/{GOLDEN}" for each in property_files(scope))
    if not scope.config.deploy.smoke_test or not files:
        return []
    reading = Statement("ReadGoldenPictures", ("s3:GetObject",), tuple(scope.place.objects(each) for each in files))
    return [reading, *clauses.keys(scope, ("kms:Decrypt",), "DecryptGoldenPictures", clauses.through_s3(scope))]


def _alarms(scope: Scope) -> list[Statement]:
    """Those of the updates, and those that Application Auto Scaling makes with its caller's rights."""
    place, others = scope.place, alarms_of(scope)[1:]
    tracked = f"alarm:TargetTracking-endpoint/{scope.config.endpoint_name}/variant/{VARIANT}-*"
    names = (f"alarm:{scope.made}", *([tracked] if scope.config.deploy.scaling else []))
    actions = tuple(f"cloudwatch:{each}" for each in ("DeleteAlarms", "DescribeAlarms", "PutMetricAlarm"))
    looking = [Statement("LookAtAlarms", ("cloudwatch:DescribeAlarms",), others)] if others else []
    return [Statement("MakeAlarms", actions, tuple(place.arn("cloudwatch", name) for name in names)), *looking]


def _scaling(scope: Scope) -> list[Statement]:
    """https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_id-based-policy-examples.html"""
    place = scope.place
    operations = ("DeregisterScalableTarget", "PutScalingPolicy", "RegisterScalableTarget")
    linked = f"arn:{place.partition}:iam::{place.account}:role/aws-service-role/{_SCALING}/{_SCALED}"
    namespace = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
    return [
        Statement(
            "ScaleEndpoint",
            tuple(f"application-autoscaling:{each}" for each in operations),
            (place.arn("application-autoscaling", "scalable-target/*"),),
            namespace,
        ),
        Statement(
            "LinkScaling",
            ("iam:CreateServiceLinkedRole",),
            (linked,),
            {"StringEquals": {"iam:AWSServiceName": _SCALING}},
        ),
    ]


def finding(scope: Scope) -> list[Statement]:
    """lambda_champion.py: the approved packages of this group."""
    return [
        log_of(scope, scope.config.champion_function),
        Statement("ListPackages", ("sagemaker:ListModelPackages",), clauses.ALL),
        Statement("LookAtPackages", ("sagemaker:DescribeModelPackage",), packages_of(scope)),
    ]


def invoking(scope: Scope) -> list[Statement]:
    """lambda_invoke.py: production alone, about pictures that callers bring or that lie below --read."""
    endpoint = scope.place.sagemaker("endpoint", production_name(scope.config))
    pictures = tuple(scope.place.objects(each) for each in scope.reads)
    reading = [Statement("ReadPictures", ("s3:GetObject",), pictures)] if pictures else []
    return [
        log_of(scope, scope.config.invoke_function),
        Statement("AskEndpoint", ("sagemaker:InvokeEndpoint",), endpoint),
        *reading,
    ]


def log_of(scope: Scope, function: str) -> Statement:
    """The log group has the function's name, whatever alias is called."""
    name = function.partition(":function:")[2].partition(":")[0]
    return clauses.logs(scope.place, (f"/aws/lambda/{name}",))
