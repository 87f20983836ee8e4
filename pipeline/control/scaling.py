"""How an endpoint's variants scale: bounds and what is tracked, as Application Auto Scaling has them."""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pipeline.client import Hosting

# least, most: instances · tracked: what a policy keeps where
Scaling = namedtuple("Scaling", "variant least most tracked")
# target: of the metric, such as calls of an instance in a minute · cooldowns in seconds, None for the service's own
Tracked = namedtuple("Tracked", "metric target in_s out_s")


def of(hosting: Hosting, endpoint: str, variants: Sequence[str]) -> list[Scaling]:
    """Of the variants that scale."""
    return [found for variant in variants for found in _of_variant(hosting, endpoint, variant)]


def _of_variant(hosting: Hosting, endpoint: str, variant: str) -> list[Scaling]:
    tracked = [_tracked(each) for each in policies(hosting, endpoint, variant)]
    return [
        Scaling(variant, each["MinCapacity"], each["MaxCapacity"], list(filter(None, tracked)))
        for each in targets(hosting, endpoint, variant)
    ]


def targets(hosting: Hosting, endpoint: str, variant: str) -> list[dict[str, Any]]:
    """What of the variant scales, as DescribeScalableTargets gives it: its number of instances, or nothing."""
    namespace, resource = resource_of(endpoint, variant).values()
    answer = hosting.scaling.describe_scalable_targets(ServiceNamespace=namespace, ResourceIds=[resource])
    return list(answer["ScalableTargets"])


def policies(hosting: Hosting, endpoint: str, variant: str) -> list[dict[str, Any]]:
    """As DescribeScalingPolicies gives them."""
    return list(hosting.scaling.describe_scaling_policies(**resource_of(endpoint, variant))["ScalingPolicies"])


def resource_of(endpoint: str, variant: str) -> dict[str, str]:
    """What Application Auto Scaling calls a variant by in all of its requests, but for the dimension."""
    return {"ServiceNamespace": "sagemaker", "ResourceId": f"endpoint/{endpoint}/variant/{variant}"}


def _tracked(policy: dict[str, Any]) -> Tracked | None:
    """None for a policy that scales by steps."""
    config = policy.get("TargetTrackingScalingPolicyConfiguration")
    if not config:
        return None
    predefined = (config.get("PredefinedMetricSpecification") or {}).get("PredefinedMetricType")
    own = (config.get("CustomizedMetricSpecification") or {}).get("MetricName")
    cooldowns = config.get("ScaleInCooldown"), config.get("ScaleOutCooldown")
    return Tracked(str(predefined or own or ""), config["TargetValue"], *cooldowns)
