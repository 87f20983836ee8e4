"""Autoscaling of the endpoint's variant: registered when it is in service, changed in place, taken back."""

from __future__ import annotations

from typing import Any

from rollout.account import Account, gone
from rollout.settings import METRICS, Scaling

VARIANT = "AllTraffic"
POLICY = "darkroom"


def ensure(account: Account, endpoint: str, settings: Scaling | None) -> None:
    """Both calls change what is there; without settings it is taken back."""
    if settings is None:
        delete(account, endpoint)
        return
    about = _about(endpoint)
    account.scaling.register_scalable_target(**about, MinCapacity=settings.min, MaxCapacity=settings.max)
    account.scaling.put_scaling_policy(
        **about,
        PolicyName=POLICY,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=_tracking(endpoint, settings),
    )


def delete(account: Account, endpoint: str) -> None:
    """With the target its policies go, and the alarms that these made."""
    gone(lambda: account.scaling.deregister_scalable_target(**_about(endpoint)))


def _about(endpoint: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def _tracking(endpoint: str, settings: Scaling) -> dict[str, Any]:
    """SageMakerVariantInvocationsPerInstance counts by the minute, whatever the cooldowns are."""
    metric = METRICS[settings.metric]
    cooldowns = {"ScaleOutCooldown": settings.out_s, "ScaleInCooldown": settings.in_s}
    if settings.metric == "backlog":  # there is no predefined one:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html
        custom = {
            "MetricName": metric,
            "Namespace": "AWS/SageMaker",
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
            "Statistic": "Average",
        }
        return {"TargetValue": settings.target, "CustomizedMetricSpecification": custom, **cooldowns}
    specification = {"PredefinedMetricType": metric}
    return {"TargetValue": settings.target, "PredefinedMetricSpecification": specification, **cooldowns}
