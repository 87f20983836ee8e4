"""What the router of an endpoint counted, on its way into the store; and how busy each instance was."""

from __future__ import annotations

import time

from pipeline.local import alarm_states, metrics
from pipeline.local.endpoint_tally import add, summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from pipeline.local.clock import Clock
    from pipeline.local.endpoint_traffic import Report
    from pipeline.local.store import Store

_CONCURRENCY = "ConcurrentRequestsPerModel"


class Counts:
    """`kept`: whether the last `add` wrote what there was into the store, and had alarms evaluated."""

    def __init__(self, store: Store, clock: Clock, endpoint: str) -> None:
        self.kept = False
        self._store = store
        self._clock = clock
        self._endpoint = endpoint
        self._counted: dict[tuple[str, str], dict[str, Any]] = {}
        self._next = 0.0

    def add(self, report: Report, instances: Iterable[Mapping[str, Any]]) -> None:
        """`instances` as Fleet.described has them. Kept at most once a second, or ten seconds of a faster clock."""
        for config, variant, counted in report.counted:
            for metric, values in counted.items():
                add(self._of(config, variant).setdefault(metric, {}), values)
        for each in instances if any(report.busy.values()) else ():
            busy = summary(float(report.busy.get(each["port"], 0)))
            add(self._of(each["config"], each["variant"]).setdefault(_CONCURRENCY, {}), busy)
        self.kept = time.monotonic() >= self._next
        if self.kept:
            self._next = time.monotonic() + min(1.0, self._clock.real(10))
            self._keep()

    def _of(self, config: str, variant: str) -> dict[str, Any]:
        return self._counted.setdefault((config, variant), {})

    def _keep(self) -> None:
        now = self._clock.now()
        if self._counted:
            metrics.record(self._store, self._endpoint, now, [(*who, what) for who, what in self._counted.items()])
            self._counted = {}
        alarm_states.refresh(self._store, now)
