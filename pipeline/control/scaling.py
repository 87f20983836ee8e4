"""How an endpoint's variants scale: bounds and what is tracked, as Application Auto Scaling has them."""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pipeline.client import Hosting

NAMESPACE = "sagemaker"

# least, most: instances · tracked: what a policy keeps where
Scaling = namedtuple("Scaling", "variant least most tracked")
# target: of the metric, such as calls of an instance in a minute · cooldowns in seconds, None for the service's own
Tracked = namedtuple("Tracked", "metric target in_s out_s")


def of(hosting: Hosting, endpoint: str, variants: Sequence[str]) -> list[Scaling]:
    """Of the variants that scale."""
    return [found for variant in variants for found in _of_variant(hosting, endpoint, variant)]


def _of_variant(hosting: Hosting, endpoint: str, variant: str) -> list[Scaling]:
    resource = f"endpoint/{endpoint}/variant/{variant}"
    targets = hosting.scaling.describe_scalable_targets(ServiceNamespace=NAMESPACE, ResourceIds=[resource])
    policies = hosting.scaling.describe_scaling_policies(ServiceNamespace=NAMESPACE, ResourceId=resource)
    tracked = [_tracked(each) for each in policies["ScalingPolicies"]]
    found = targets["ScalableTargets"]
    return [Scaling(variant, each["MinCapacity"], each["MaxCapacity"], list(filter(None, tracked))) for each in found]


def _tracked(policy: dict[str, Any]) -> Tracked | None:
    """None for a policy that scales by steps."""
    config = policy.get("TargetTrackingScalingPolicyConfiguration")
    if not config:
        return None
    predefined = (config.get("PredefinedMetricSpecification") or {}).get("PredefinedMetricType")
    own = (config.get("CustomizedMetricSpecification") or {}).get("MetricName")
    cooldowns = config.get("ScaleInCooldown"), config.get("ScaleOutCooldown")
    return Tracked(str(predefined or own or ""), config["TargetValue"], *cooldowns)
