"""All checks by name, in the order of their stages."""

from __future__ import annotations

from smoke import (
    looks_builds,
    looks_data,
    looks_debugger,
    looks_deploying,
    looks_endpoint,
    looks_functions,
    looks_preflight,
    looks_server,
    looks_service,
    looks_stack,
    looks_steps,
    looks_studio,
    looks_training,
    looks_transforms,
    makes_alarms,
    makes_calls,
    makes_events,
    makes_pipelines,
    makes_roles,
    makes_tags,
)
from smoke.stages import STAGES
from smoke.verdict import Check

LOOKS = (
    *(looks_service, looks_preflight, looks_stack, looks_steps, looks_data, looks_training, looks_debugger),
    *(looks_functions, looks_endpoint, looks_server, looks_deploying, looks_transforms, looks_builds, looks_studio),
)
MAKES = (makes_pipelines, makes_roles, makes_events, makes_alarms, makes_tags, makes_calls)
_ORDER = tuple(STAGES)
CHECKS: dict[str, Check] = {
    check.name: check
    for check in sorted(
        (check for module in (*LOOKS, *MAKES) for check in module.CHECKS), key=lambda each: _ORDER.index(each.stage)
    )
}
