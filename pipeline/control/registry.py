"""The model registry: what was registered, and who may go to production."""

from __future__ import annotations

from pipeline.client import pages
from pipeline.control import outcome
from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.client import Clients

APPROVED, REJECTED, PENDING = "Approved", "Rejected", "PendingManualApproval"
# pipeline/config/deployment.py has them, and would bring pydantic into --help
STAGES = PRODUCTION, STAGING = ("production", "staging")
LONGEST_REASON = 1024  # characters of an ApprovalDescription, and no line breaks


def newest_first(clients: Clients, group: str = "") -> list[dict[str, Any]]:
    """DescribeModelPackage of every package, of one group or of all."""
    return [described(clients, row) for row in _summaries(clients, group)]


def page(clients: Clients, group: str, most: int, token: str = "") -> tuple[list[dict[str, Any]], str]:
    """Summaries of the newest packages of a group, and the token of those before them; empty where there are none."""
    more = {"NextToken": token} if token else {}
    answer = clients.sagemaker.list_model_packages(
        ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Descending", MaxResults=most, **more
    )
    return answer["ModelPackageSummaryList"], str(answer.get("NextToken") or "")


def version(clients: Clients, group: str, number: str) -> dict[str, Any]:
    """DescribeModelPackage of one version, in two calls. Raises ServiceError for what is not there."""
    found = clients.sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    arn = str(found["ModelPackageGroupArn"]).replace(":model-package-group/", ":model-package/", 1)
    return described(clients, {"ModelPackageArn": f"{arn}/{number}"})


def _summaries(clients: Clients, group: str) -> list[dict[str, Any]]:
    """As ListModelPackages gives them, newest first: a group may hold hundreds that nobody asked about."""
    operation = clients.sagemaker.list_model_package_groups
    listed = pages(operation, "ModelPackageGroupSummaryList")
    groups = [group] if group else [row["ModelPackageGroupName"] for row in listed]
    rows = [row for name in groups for row in _of_group(clients, name)]
    return sorted(rows, key=lambda row: (row["CreationTime"], row["ModelPackageVersion"]), reverse=True)


def _of_group(clients: Clients, group: str) -> list[dict[str, Any]]:
    operation = clients.sagemaker.list_model_packages
    return list(pages(operation, "ModelPackageSummaryList", ModelPackageGroupName=group))


def described(clients: Clients, row: dict[str, Any]) -> dict[str, Any]:
    """DescribeModelPackage of a summary."""
    package: dict[str, Any] = clients.sagemaker.describe_model_package(ModelPackageName=row["ModelPackageArn"])
    return package


def find(clients: Clients, version: int, group: str = "") -> dict[str, Any]:
    """The package with this version. Raises DarkroomError if there is none, or one in each of several groups."""
    rows = _summaries(clients, group)
    found = [row for row in rows if row["ModelPackageVersion"] == version]
    if not found:
        known = ", ".join(str(row["ModelPackageVersion"]) for row in rows) or "none yet"
        raise DarkroomError(f"there is no model with version {version}; there is: {known}", "darkroom models")
    if len(found) > 1:
        groups = ", ".join(row["ModelPackageGroupName"] for row in found)
        raise DarkroomError(f"several groups have a version {version}: {groups}", "add --group GROUP")
    return described(clients, found[0])


def newest_approved(clients: Clients, group: str = "") -> dict[str, Any]:
    """Raises DarkroomError if nothing is approved."""
    rows = _summaries(clients, group)
    for row in rows:
        if row["ModelApprovalStatus"] == APPROVED:
            return described(clients, row)
    if not rows:
        raise nothing(clients)
    newest = rows[0]["ModelPackageVersion"]
    raise DarkroomError("no model is approved", f"darkroom approve {newest}, then darkroom deploy")


def deployable(clients: Clients, version: int | None, group: str, stage: str) -> dict[str, Any]:
    """The package with this version, without one the newest that is approved. Raises DarkroomError for what production
    would refuse, before anything is asked of the deploying function.
    """
    if version is None:
        return newest_approved(clients, group)
    package = find(clients, version, group)
    number, status = package["ModelPackageVersion"], package["ModelApprovalStatus"]
    if stage == PRODUCTION and status != APPROVED:
        raise DarkroomError(
            f"model version {number} is {status}, not Approved", f"darkroom approve {spelled(number, group)}"
        )
    return package


def nothing(clients: Clients) -> DarkroomError:
    """Where nothing was ever registered."""
    return DarkroomError(
        f"there is no model yet{clients.place}", f"darkroom {'start --wait' if clients.place else 'run'}"
    )


def reason(text: str, needed: bool = False) -> str:
    """On one line, as the service takes it. Raises DarkroomError for what it would not keep."""
    found = " ".join(text.split())
    if needed and not found:
        raise DarkroomError("a rejection without a reason helps nobody", 'add --reason "…"')
    if strange := next((each for each in found if not each.isprintable()), ""):
        raise DarkroomError(f"the reason holds {strange!r}, which is no character to be read", "leave it out")
    if len(found) > LONGEST_REASON:
        kept = f"SageMaker keeps {LONGEST_REASON:,}"
        raise DarkroomError(f"the reason has {len(found):,} characters, and {kept}", "shorten it, and link to the rest")
    return found


def decide(clients: Clients, package: dict[str, Any], status: str, reason: str) -> None:
    """Sets the approval status, with the reason as its ApprovalDescription. Without one, that of another decision goes.

    Two that decide in the same moment: the last one counts, since the service has no update on a condition.
    """
    request = {"ModelPackageArn": package["ModelPackageArn"], "ModelApprovalStatus": status}
    stale = package.get("ApprovalDescription") and package.get("ModelApprovalStatus") != status
    described = {"ApprovalDescription": reason} if reason or stale else {}
    clients.sagemaker.update_model_package(**request, **described)


def annotate(clients: Clients, package: dict[str, Any], reason: str) -> None:
    """The note alone: an update of the approval status would be an approval to whoever listens for one."""
    clients.sagemaker.update_model_package(ModelPackageArn=package["ModelPackageArn"], ApprovalDescription=reason)


def due(status: str, which: str) -> list[str]:
    """What decides about a model in this status, or decides otherwise, without `darkroom`. `which`: as spelled()."""
    again = " --again" if status == REJECTED else ""
    commands = [] if status == APPROVED else [f'approve {which} --reason "…"{again}']
    return [*commands, *([] if status == REJECTED else [f'reject {which} --reason "…"'])]


def spelled(version: int, group: str = "") -> str:
    """As it has to be typed."""
    from shlex import quote

    return f"{version} --group {quote(group)}" if group else str(version)


def by(who: dict[str, Any] | None) -> str:
    """' by ann', as far as the service tells who created or changed a package: this machine's does not."""
    identity = (who or {}).get("IamIdentity") or {}
    name = (who or {}).get("UserProfileName") or identity.get("Arn") or ""
    return f" by {name}" if name else ""


def accuracy(clients: Clients, package: dict[str, Any]) -> float | None:
    """`None` if the package links no evaluation that can be read."""
    return outcome.accuracy(evaluation(clients, package))


def evaluation(clients: Clients, package: dict[str, Any]) -> dict[str, Any]:
    """The one that the package links; empty if it links none that can be read."""
    address = evaluation_address(package)
    found = outcome.read_json(clients, address) if address else None
    return found if isinstance(found, dict) else {}


def page_address(package: Mapping[str, Any]) -> str:
    """Of the page that EvaluateModel left of the model; empty if the package names none."""
    return str((package.get("CustomerMetadataProperties") or {}).get("page", ""))


def evaluation_address(package: Mapping[str, Any]) -> str:
    """Empty if it links none."""
    quality = (package.get("ModelMetrics") or {}).get("ModelQuality") or {}
    return str((quality.get("Statistics") or {}).get("S3Uri", ""))


def champion_beside(clients: Clients, package: Mapping[str, Any]) -> int:
    """The newest approved version of its group but this one; 0 if there is none."""
    rows = _summaries(clients, str(package["ModelPackageGroupName"]))
    others = (row for row in rows if row["ModelPackageVersion"] != package["ModelPackageVersion"])
    return next((int(row["ModelPackageVersion"]) for row in others if row["ModelApprovalStatus"] == APPROVED), 0)


def opponent(clients: Clients, package: Mapping[str, Any], hint: str) -> int:
    """The champion beside it, to compare it with. Raises DarkroomError with `hint` if there is none."""
    found = champion_beside(clients, package)
    if not found:
        group, version = package["ModelPackageGroupName"], package["ModelPackageVersion"]
        why = f"no other version of {group} is approved: there is no champion to compare version {version} with"
        raise DarkroomError(why, hint)
    return found
