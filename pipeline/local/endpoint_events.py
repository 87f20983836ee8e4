"""Events of endpoints as SageMaker sends them to EventBridge: another status, another stage of a deployment.

https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
"""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.local import endpoint_record, names
from pipeline.local.operations.answers import pick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.store import Record

STATE = "SageMaker Endpoint State Change"
DEPLOYMENT = "SageMaker Endpoint Deployment State Change"
_UNDER_WAY = (endpoint_record.UPDATING, endpoint_record.ROLLING_BACK)
# IN_SERVICE, not InService
_WORDS = {"InService": "IN_SERVICE", "RollingBack": "ROLLING_BACK", "UpdateRollbackFailed": "UPDATE_ROLLBACK_FAILED"}
_OF_VARIANT = ("VariantName", "CurrentWeight", "DesiredWeight", "CurrentInstanceCount", "DesiredInstanceCount")


def state(record: Record) -> tuple[str, str]:
    """Differs after each change of the status, and of the configuration in service."""
    return record.status, record.body["revision"]


def stages(record: Record) -> dict[str, Any]:
    """What an update or a scaling that is under way says of its variants; empty where nothing is, or nothing yet."""
    if record.status not in _UNDER_WAY:
        return {}
    live = (record.body.get("pending") or record.body).get("live") or {}
    return {name: now["status"] for name, now in live.items() if now.get("status")}


def event(kind: str, record: Record, tags: Mapping[str, str], now: float) -> dict[str, Any]:
    """`kind`: STATE, or DEPLOYMENT, which tells of the new fleet as well. `now`: seconds; times inside are in ms."""
    fleets = endpoint_record.described(record)
    detail = {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "EndpointConfigName": record.body["EndpointConfigName"],
        "ProductionVariants": [_variant(each) for each in fleets.get("ProductionVariants", ())],
        "EndpointStatus": _WORDS.get(record.status, record.status.upper()),
        "CreationTime": _milliseconds(record.created),
        "LastModifiedTime": _milliseconds(record.modified),
        "Tags": dict(tags),
    }
    if kind == DEPLOYMENT and (coming := fleets.get("PendingDeploymentSummary")):
        variants = [_variant(each) for each in coming["ProductionVariants"]]
        start = {"StartTime": _milliseconds(coming["StartTime"])}
        detail["PendingDeploymentSummary"] = {**coming, **start, "ProductionVariants": variants}
    return {
        "version": "0",
        "id": names.random_id(32),
        "detail-type": kind,
        "source": "aws.sagemaker",
        "account": names.ACCOUNT,
        "time": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": names.REGION,
        "resources": [record.arn],
        "detail": detail,
    }


def _variant(described: Mapping[str, Any]) -> dict[str, Any]:
    told = [{**each, "StartTime": _milliseconds(each["StartTime"])} for each in described.get("VariantStatus", ())]
    return {**pick(described, *_OF_VARIANT), **({"VariantStatus": told} if told else {})}


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
