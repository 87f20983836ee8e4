"""What models and jobs of `darkroom transform` get of pipeline.yaml, as others do: machine, network, keys, tags."""

from __future__ import annotations

from pipeline.config.instances import offered
from pipeline.config.members import Members, output_key, tags, volume_key, vpc
from pipeline.config.model import Config
from pipeline.errors import DarkroomError


def machine(config: Config, chosen: str = "") -> str:
    """`chosen`, or the endpoint's. Raises DarkroomError for one that batch transforms are not offered on."""
    name = chosen or config.deploy.instance_type
    try:
        return offered("TransformInstanceType")(name)
    except ValueError as exc:
        where = "" if chosen else "deploy.instance_type: "
        raise DarkroomError(f"{where}{name!r} {exc}", "name a machine with --instance-type") from exc


def model_members(config: Config) -> Members:
    """Of CreateModel, beside container and role."""
    isolated = config.deploy.isolates(config.security)
    return {"EnableNetworkIsolation": isolated, **vpc(config), **tags(config)}


def job_members(config: Config, instance_type: str) -> Members:
    """Of CreateTransformJob: resources, tags, and the key of its TransformOutput."""
    resources = {"InstanceType": instance_type, "InstanceCount": 1, **volume_key(config, instance_type)}
    return {"TransformResources": resources, "TransformOutput": output_key(config), **tags(config)}
