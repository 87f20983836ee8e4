"""The parity report: what a run on this machine only simulated, and how.

Job drivers add what they see themselves (images, instance types, channels); this module adds what the definition alone
tells: step types that are records here, and members of requests that have no effect here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pipeline.definition import Definition

_ROLE = "not assumed: everything runs as you, on this machine, without AWS credentials; permissions are not checked"
_KEY = "not used: files in .darkroom/ are not encrypted"
# a step type → what it is here
_TYPES = {
    "RegisterModel": "packages and their group are records in .darkroom/; SageMaker does not see them",
    "Model": "a record in .darkroom/; what it serves is unpacked when its server starts",
    "EndpointConfig": "a record in .darkroom/",
}
# a request's member → what the local service does with it
_MEMBERS = {
    "RoleArn": _ROLE,
    "ExecutionRoleArn": _ROLE,
    "VpcConfig": "not applied: jobs use this machine's network",
    "EnableNetworkIsolation": "not enforced: a job could reach this machine's network",
    "EnableInterContainerTrafficEncryption": "not applied: hosts of one job talk over loopback",
    "KmsKeyId": _KEY,
    "VolumeKmsKeyId": _KEY,
    "OutputKmsKeyId": _KEY,
    "S3Uri": "s3:// addresses are folders below .darkroom/s3/",
    "VolumeSizeInGB": "not limited: jobs share this machine's disk",
    "Tags": "kept for ListTags, without effect",
    "EnableManagedSpotTraining": "never interrupted: there is no spot market here",
    "ExperimentConfig": "kept, without effect",
    "DebugHookConfig": "what the hook saves goes to S3 when the job has ended; on AWS while it runs",
    "DebugRuleConfigurations": "judged when the job has ended, by its own code; on AWS while it runs, by AWS's images",
    "ProfilerConfig": "without effect: SageMaker's profiler is not on this machine",
    "ProfilerRuleConfigurations": "not judged: SageMaker's profiler is not on this machine",
}


def rows(definition: Definition) -> dict[str, str]:
    """Subject → how, for every such step type, and every such member that is not switched off everywhere."""
    found: dict[str, str] = {}
    for step in definition.steps.values():
        if step.type in _TYPES:
            found[step.type] = _TYPES[step.type]
        for name in _member_names(step.arguments):
            if name in _MEMBERS:
                found[name] = _MEMBERS[name]
    return found


def _member_names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if inner:
                yield name
            if isinstance(inner, dict | list):
                yield from _member_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _member_names(inner)
