"""The roles of the Lambda functions: each with what its handler calls, and its own log."""

from __future__ import annotations

from pipeline.iam import clauses
from pipeline.iam.execution import SERVICE, packages_of, passing
from pipeline.iam.scope import Scope
from pipeline.iam.statements import Statement

INVOKE = "darkroom-invoke"  # the name of the function, whose handler is still to come
# CreateModel's and CreateEndpointConfig's names begin with the endpoint's, cut so that "-v<version>-<digest>" fits
_KEPT = 63 - len("-v99999-0123456789")


def deploying(scope: Scope) -> list[Statement]:
    """lambda_deploy.py: model, configuration and endpoint, out of a package of this group."""
    place, endpoint = scope.place, scope.config.endpoint_name
    made = f"{endpoint[:_KEPT].rstrip('-')}-v*" if len(endpoint) <= _KEPT else f"{endpoint[:_KEPT].rstrip('-')}*"
    models, configs = place.sagemaker("model", made), place.sagemaker("endpoint-config", made)
    endpoints = place.sagemaker("endpoint", endpoint)
    updating = ("sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint")
    return [
        log_of(scope, scope.config.deploy_function),
        Statement("LookAtPackages", ("sagemaker:DescribeModelPackage",), packages_of(scope)),
        Statement("MakeModels", ("sagemaker:CreateModel", "sagemaker:DescribeModel"), models),
        Statement(
            "MakeConfigurations", ("sagemaker:CreateEndpointConfig", "sagemaker:DescribeEndpointConfig"), configs
        ),
        Statement("PointEndpoint", ("sagemaker:DescribeEndpoint", *updating), endpoints),
        Statement("UseConfigurations", updating, configs),
        passing((scope.serving_role,), SERVICE),
        *clauses.keys(scope, ("kms:DescribeKey",)),
        *clauses.grants(scope),
    ]


def finding(scope: Scope) -> list[Statement]:
    """lambda_champion.py: the approved packages of this group."""
    return [
        log_of(scope, scope.config.champion_function),
        Statement("ListPackages", ("sagemaker:ListModelPackages",), clauses.ALL),
        Statement("LookAtPackages", ("sagemaker:DescribeModelPackage",), packages_of(scope)),
    ]


def invoking(scope: Scope) -> list[Statement]:
    """For a function that asks the endpoint."""
    place = scope.place
    endpoint = place.sagemaker("endpoint", scope.config.endpoint_name)
    return [
        log_of(scope, place.arn("lambda", f"function:{INVOKE}")),
        Statement("AskEndpoint", ("sagemaker:InvokeEndpoint",), endpoint),
    ]


def log_of(scope: Scope, function: str) -> Statement:
    """The log group has the function's name, whatever alias is called."""
    name = function.partition(":function:")[2].partition(":")[0]
    return clauses.logs(scope.place, (f"/aws/lambda/{name}",))
