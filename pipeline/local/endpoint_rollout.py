"""One deployment under way: a new fleet beside the old one, traffic shifted in stages, back when an alarm says so."""

from __future__ import annotations

import math

from pipeline.errors import DarkroomError, EndpointError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from pipeline.local.clock import Clock
    from pipeline.local.endpoint_fleet import Fleet
    from pipeline.local.endpoint_stages import Plan, Stage
    from pipeline.local.loop import Loop

    class Stands(Protocol):
        """What a rollout needs of the endpoint: its fleets' traffic, its alarms, and somebody to tell."""

        loop: Loop
        clock: Clock

        def shift(self, shares: Mapping[str, float]) -> None:
            """From now on so much of each variant's traffic goes to the new fleet."""

        def busy(self, port: int) -> int: ...

        def alarmed(self, names: list[str]) -> list[str]:
            """Those that are in ALARM."""

        def tell(self, status: str, message: str) -> None:
            """What the new fleet's variants are about, as VariantStatus has it."""


_LOOK_S = 0.05


class RolledBack(EndpointError):
    """The old fleet serves again; the message says why."""


class Rollout:
    """`await run()` returns when the new fleet serves alone. Raises RolledBack; EndpointError when that failed, too."""

    def __init__(self, stands: Stands, plan: Plan, blue: Fleet, green: Fleet, rolling_back: Callable[[], None]) -> None:
        self.stands = stands
        self.plan = plan
        self.blue = blue
        self.green = green
        self.rolling_back = rolling_back
        self.deadline = stands.clock.now() + plan.limit
        self.full = {name: variant["count"] for name, variant in green.variants.items()}

    async def run(self) -> None:
        try:
            if not self.plan.rolling:
                await self._launch(self.full)
            for number, stage in enumerate(self.plan.stages):
                await self._advance(stage, "canary" if number < len(self.plan.stages) - 1 else "full")
        except DarkroomError as exc:
            await self._back(exc)
        self.stands.tell("Deleting", f"Terminating {sum(self.blue.counts().values())} instance(s).")
        await self.blue.stop(self.stands.busy)

    async def _launch(self, counts: Mapping[str, int]) -> None:
        self.stands.tell("Creating", f"Launching {sum(counts.values())} instance(s).")
        await self.green.start(counts)
        self._check_time()

    async def _advance(self, stage: Stage, size: str) -> None:
        total = sum(stage.active.values())
        if self.plan.rolling:
            await self._launch(stage.active)
        capacity = f"{size} capacity of {total} instance(s)."
        self.stands.tell("ActivatingTraffic", f"Activating traffic on {capacity}")
        self.stands.shift({name: stage.active[name] / self.full[name] for name in self.full})
        how_long = f"{stage.bake} seconds ({stage.words})"
        self.stands.tell("Baking", f"Baking for {how_long} with traffic enabled on {capacity}")
        await self._bake(stage.bake)
        if self.plan.rolling:
            await self._thin_out(stage)

    async def _bake(self, seconds: float) -> None:
        """Looks at the alarms at once, all the time, and once more at the end."""
        clock, end = self.stands.clock, self.stands.clock.now() + seconds
        while True:
            await self.green.mend()
            if tripped := self.stands.alarmed(self.plan.alarms):
                raise EndpointError(f"CloudWatch alarm(s) in ALARM during the deployment: {', '.join(tripped)}")
            self._check_time()
            left = clock.real(end - clock.now())
            if left <= 0:
                return
            await self.stands.loop.sleep(min(_LOOK_S, left))

    def _check_time(self) -> None:
        if self.stands.clock.now() > self.deadline:
            raise EndpointError(f"the deployment exceeded MaximumExecutionTimeoutInSeconds ({self.plan.limit})")

    async def _thin_out(self, stage: Stage) -> None:
        """As many of the old instances go as new ones have come."""
        for name in self.blue.variants:
            gone = stage.active.get(name, 0) / self.full.get(name, 1)
            left = math.floor(self.blue.variants[name]["count"] * (1 - gone))
            await self.blue.shrink(name, left, self.stands.busy)

    async def _back(self, cause: DarkroomError) -> None:
        self.rolling_back()
        if not self.plan.rolling:
            self.stands.shift({})
        try:
            await self.blue.start()  # what a rolling update has ended already
        except DarkroomError as exc:
            raise EndpointError(f"{cause.message}; and the old fleet cannot serve again: {exc.message}") from exc
        self.stands.shift({})
        await self.green.stop(self.stands.busy)
        raise RolledBack(cause.message)
