"""The Lambda functions of the pipeline's steps, their log groups, and those of SageMaker's jobs."""

from __future__ import annotations

from pipeline.client import FUNCTION_SECONDS
from pipeline.infra import packaging
from pipeline.infra.intrinsics import Json, arn, either, ref
from pipeline.infra.packaging import CHAMPION, DEPLOY, INVOKE, Package
from pipeline.infra.setting import Setting

RUNTIME = "python3.12"
SECONDS = {
    DEPLOY: FUNCTION_SECONDS,
    CHAMPION: 60,
    INVOKE: 60,
}  # the handlers answer within it, retries of their own calls included
ALIAS = "live"  # of the asking function
ENDPOINTS = "ENDPOINT_NAMES"  # the variable of lambda_deploy.py: what a schedule has it look at
MEGABYTES = 256  # with 128, importing boto3 alone takes seconds
TRIES_AGAIN = 2
TOO_OLD_SECONDS = 3600
LOGICAL = {DEPLOY: "DeployFunction", CHAMPION: "ChampionFunction", INVOKE: "InvokeFunction"}
ROLES = {DEPLOY: "DeployFunctionRole", CHAMPION: "ChampionFunctionRole", INVOKE: "InvokeFunctionRole"}
_JOBS = {"ProcessingLogs": "ProcessingJobs", "TrainingLogs": "TrainingJobs"}
_ENDPOINTS = ("StagingLogs", "ProductionLogs")


def resources(setting: Setting) -> Json:
    found: Json = {}
    for package in setting.packages:
        name = LOGICAL[package.program]
        found[f"{name}Logs"] = log_group(f"/aws/lambda/{package.function}")
        found[name] = _function(package, setting)
        if package.program == DEPLOY:
            found[f"{name}Invocations"] = _invocations(name)
        if package.program == INVOKE:
            found |= _alias(name, package)
    for name, jobs in _JOBS.items():
        found[name] = log_group(f"/aws/sagemaker/{jobs}", "MakesJobLogGroups")
    for name, endpoint in zip(_ENDPOINTS, setting.endpoints, strict=True):
        found[name] = log_group(f"/aws/sagemaker/Endpoints/{endpoint}", "MakesJobLogGroups")
    return found


def _function(package: Package, setting: Setting) -> Json:
    """No reserved concurrency: new accounts have ten executions at once, and none of those may be reserved."""
    name = LOGICAL[package.program]
    return {
        "Type": "AWS::Lambda::Function",
        "Condition": "HasFunctions",
        "Properties": {
            "FunctionName": package.function,
            "Runtime": RUNTIME,
            "Architectures": ["arm64"],
            "Handler": package.handler,
            "Code": {"S3Bucket": ref("Bucket"), "S3Key": package.key},
            "Role": arn(ROLES[package.program]),
            "Timeout": SECONDS[package.program],
            "MemorySize": MEGABYTES,
            **_variables(package, setting),
            "LoggingConfig": {"LogGroup": ref(f"{name}Logs")},
            "VpcConfig": either(
                "HasVpc", {"SubnetIds": ref("FunctionSubnets"), "SecurityGroupIds": ref("FunctionSecurityGroups")}
            ),
        },
    }


def _variables(package: Package, setting: Setting) -> Json:
    match package.program:
        case packaging.DEPLOY:
            variables = {ENDPOINTS: ",".join(setting.endpoints)}
        case packaging.INVOKE:
            kind = {"ENDPOINT_KIND": "serverless"} if setting.config.deploy.serverless else {}
            variables = {"ENDPOINT_NAME": setting.production, **kind}
        case _:
            return {}
    return {"Environment": {"Variables": variables}}


def _alias(function: str, package: Package) -> Json:
    """Callers use its ARN: only a version or an alias is kept warm. A version never changes, so other code is another
    one, and has another name here."""
    version = f"{function}{package.digest}"
    warm = {"ProvisionedConcurrentExecutions": ref("InvokeConcurrency")}
    alias = {
        "FunctionName": ref(function),
        "FunctionVersion": {"Fn::GetAtt": [version, "Version"]},
        "Name": ALIAS,
        "ProvisionedConcurrencyConfig": either("KeepsWarm", warm),
    }
    return {
        version: {
            "Type": "AWS::Lambda::Version",
            "Condition": "HasFunctions",
            "Properties": {"FunctionName": ref(function)},
        },
        f"{function}Alias": {"Type": "AWS::Lambda::Alias", "Condition": "HasFunctions", "Properties": alias},
    }


def _invocations(function: str) -> Json:
    """EventBridge hands an event over and is done: what the handler then refuses would be lost without this."""
    return {
        "Type": "AWS::Lambda::EventInvokeConfig",
        "Condition": "HasFunctions",
        "Properties": {
            "FunctionName": ref(function),
            "Qualifier": "$LATEST",
            "MaximumRetryAttempts": TRIES_AGAIN,
            "MaximumEventAgeInSeconds": TOO_OLD_SECONDS,
            "DestinationConfig": {"OnFailure": {"Destination": arn("UndeliveredEvents")}},
        },
    }


def log_group(name: str, condition: str = "") -> Json:
    return {
        "Type": "AWS::Logs::LogGroup",
        **({"Condition": condition} if condition else {}),
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "LogGroupName": name,
            "RetentionInDays": ref("LogRetentionDays"),
            "KmsKeyId": either("HasLogsKey", ref("LogsKeyArn")),
        },
    }
