"""What `darkroom check --aws` takes for granted: names of quotas, IAM's simulator, the images of AWS's account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.control.removal import VARIANT
from pipeline.preflight.images import parsed
from pipeline.preflight.quotas import SERVICE, TOTALS, name_of
from smoke.account import Account
from smoke.stages import ENDPOINT, FREE, STACK
from smoke.verdict import CannotTell, Check, Verdict, judged

_LOCKED_OUT = ("AccessDenied", "AccessDeniedException")


def quota_names(account: Account) -> Verdict:
    code, message = account.refusal("service-quotas", "list_service_quotas", ServiceCode=SERVICE, MaxResults=1)
    if code:
        raise CannotTell(f"{code} {message}", "credentials that may list quotas: darkroom iam --role check")
    listed = {
        row["QuotaName"]
        for row in account.pages("service-quotas", "list_service_quotas", "Quotas", ServiceCode=SERVICE)
    }
    wanted = {*TOTALS.values(), *(name_of(kind, "ml.m5.xlarge") for kind in TOTALS)}
    parallel = sorted(name for name in listed if "tuning job" in name)
    return judged(wanted <= listed, f"missing: {sorted(wanted - listed) or 'none'}; of tuning: {parallel}")


def simulated_rights(account: Account) -> Verdict:
    """The role of the stack has what darkroom iam says; the simulator has to say so, resource by resource."""
    role = account.pipeline.pipeline.role_arn
    bucket = account.pipeline.pipeline.bucket_name
    arns = [f"arn:aws:s3:::{bucket}/{account.pipeline.pipeline.folder}/runs/x", "arn:aws:s3:::darkroom-smoke/x"]
    request = {"PolicySourceArn": role, "ActionNames": ["s3:PutObject"], "ResourceArns": arns}
    code, message = account.refusal("iam", "simulate_principal_policy", **request)
    if code:
        raise CannotTell(f"{code} {message}", "the stack, and credentials that may simulate: darkroom iam --role check")
    results = account.ask("iam", "simulate_principal_policy", **request)["EvaluationResults"]
    each = [
        (one["EvalResourceName"], one["EvalResourceDecision"])
        for result in results
        for one in result.get("ResourceSpecificResults", ())
    ] or [(result["EvalResourceName"], result["EvalDecision"]) for result in results]
    return judged(sorted(decision == "allowed" for _, decision in each) == [False, True], str(each))


def foreign_image(account: Account) -> Verdict:
    version = account.pipeline.images.framework_version
    host = f"763104351884.dkr.ecr.{account.region}.amazonaws.com"
    image = parsed(f"{host}/pytorch:{version}-cpu-amzn2023-sagemaker")
    assert image is not None
    request = {"registryId": image.account, "repositoryName": image.repository, "imageIds": image.ids}
    code, message = account.refusal("ecr", "batch_get_image", **request)
    if code in _LOCKED_OUT or not code:
        return judged(not code, f"{code or 'it answers'} {message}".strip())
    raise CannotTell(f"{code} {message}", "ask again in a region that has AWS's images")


def counted_invocations(account: Account) -> Verdict:
    """Of the last day, as `darkroom down` asks for them."""
    name = account.pipeline.endpoint_name
    now = datetime.now(UTC)
    request = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocations",
        "Dimensions": [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": VARIANT}],
        "StartTime": now - timedelta(days=1),
        "EndTime": now,
        "Period": 3600,
        "Statistics": ["Sum"],
    }
    code, message = account.refusal("cloudwatch", "get_metric_statistics", **request)
    if code:
        raise CannotTell(f"{code} {message}", "credentials that may read metrics")
    points = account.ask("cloudwatch", "get_metric_statistics", **request)["Datapoints"]
    if not points:
        raise CannotTell(f"nobody asked {name} within a day", "ask it once, and look again ten minutes later")
    return judged(any(point["Sum"] > 0 for point in points), str(points))


CHECKS = (
    Check("quota-names", FREE, quota_names, "Service Quotas lists each of the names that the preflight looks for"),
    Check("foreign-image", FREE, foreign_image, "AWS's account answers BatchGetImage of its own images"),
    Check("simulated-rights", STACK, simulated_rights, "allowed in the pipeline's folder, and not elsewhere"),
    Check("counted-invocations", ENDPOINT, counted_invocations, "an hour in which the endpoint was asked"),
)
