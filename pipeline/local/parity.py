"""The parity report: what a run on this machine only simulated, and how.

Job drivers add what they see themselves (images, instance types, channels); this module adds what stands in requests
and has no meaning here at all.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pipeline.definition import Definition

# a request's member → what the local service does with it
_MEMBERS = {
    "RoleArn": "not assumed: everything runs as you, on this machine; permissions are not checked",
    "ExecutionRoleArn": "not assumed: everything runs as you, on this machine; permissions are not checked",
    "VpcConfig": "not applied: jobs use this machine's network",
    "EnableNetworkIsolation": "not enforced: a job could reach this machine's network",
    "EnableInterContainerTrafficEncryption": "not applied: hosts of one job talk over loopback",
    "KmsKeyId": "not used: files in .darkroom/ are not encrypted",
    "VolumeKmsKeyId": "not used: files in .darkroom/ are not encrypted",
    "OutputKmsKeyId": "not used: files in .darkroom/ are not encrypted",
    "VolumeSizeInGB": "not limited: jobs share this machine's disk",
    "Tags": "kept, without effect",
    "EnableManagedSpotTraining": "never interrupted: there is no spot market here",
    "ExperimentConfig": "kept, without effect",
}


def rows(definition: Definition) -> dict[str, str]:
    """Subject → how, for every member that stands somewhere in the definition."""
    found: dict[str, str] = {}
    for step in definition.steps.values():
        for name in _member_names(step.arguments):
            if name in _MEMBERS:
                found[name] = _MEMBERS[name]
    return found


def _member_names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            if isinstance(inner, dict | list):
                yield from _member_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _member_names(inner)
