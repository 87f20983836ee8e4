"""What `darkroom check --aws` takes for granted: names of quotas, IAM's simulator, the images of AWS's account."""

from __future__ import annotations

from pipeline.preflight.images import parsed
from pipeline.preflight.quotas import SERVICE, TOTALS, name_of
from smoke.account import Account
from smoke.stages import FREE, STACK
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


CHECKS = (
    Check("quota-names", FREE, quota_names, "Service Quotas lists each of the names that the preflight looks for"),
    Check("foreign-image", FREE, foreign_image, "AWS's account answers BatchGetImage of its own images"),
    Check("simulated-rights", STACK, simulated_rights, "allowed in the pipeline's folder, and not elsewhere"),
)
