"""The model servers of one endpoint configuration: so many for each of its variants, mended when they crash."""

from __future__ import annotations

import os
import time
from collections import namedtuple

from pipeline.errors import EndpointError
from pipeline.local.model_process import ModelProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from pipeline.local.loop import Task

MOST_CRASHES = 3  # in a row, each within _STABLE_S of the start, while no other instance of the variant serves
_STABLE_S = 60.0
_PAUSE_S = 5.0  # before an instance that crashed so often is started once more, where others serve
_LOOK_S = 0.05

# what every fleet of an endpoint stands on; `given_up` says that nobody waits for it any more
Ground = namedtuple("Ground", "store storage isolation loop folder log given_up")


class Instance:
    """One model server; `up` while requests may go to it."""

    __slots__ = ("crashes", "number", "process", "starting", "up", "wakes")

    def __init__(self, process: ModelProcess, number: int) -> None:
        self.process = process
        self.number = number
        self.up = False
        self.crashes = 0
        self.starting: Task | None = None
        self.wakes = 0.0


class Fleet:
    """`variants` as an endpoint's record has them: each with its containers and `count`, the instances it wants."""

    def __init__(self, ground: Ground, config: str, revision: str, variants: Sequence[Mapping[str, Any]]) -> None:
        self.config = config
        self.revision = revision
        self.variants = {variant["VariantName"]: dict(variant) for variant in variants}
        self.instances: dict[str, list[Instance]] = {name: [] for name in self.variants}
        self._ground = ground
        self._made = 0

    async def start(self, counts: Mapping[str, int] | None = None) -> None:
        """Up to so many instances of each variant (those it wants), all at once; returns when /ping of all is green.

        Raises EndpointError of the first that cannot start.
        """
        wanted = counts if counts is not None else {name: each["count"] for name, each in self.variants.items()}
        fresh = []
        for name, count in wanted.items():
            while len(self.instances[name]) < count:
                fresh.append((name, self._add(name)))
        loop = self._ground.loop
        tasks = {loop.spawn(self._start_one(instance)): name for name, instance in fresh}
        try:
            for task, name in tasks.items():
                await self._started(task, name)
        finally:
            for task in tasks:
                task.cancel()

    async def _started(self, task: Task, name: str) -> None:
        try:
            await self._ground.loop.join(task)
        except EndpointError as exc:
            words = f"The primary container for production variant {name} did not pass the ping health check"
            raise EndpointError(f"{words}: {exc.message}", exc.hint) from exc

    async def resize(self, variants: Sequence[Mapping[str, Any]], busy: Callable[[int], int]) -> None:
        """To other counts and weights: first those that come, then those that go. Raises EndpointError as `start`."""
        for variant in variants:
            self.variants[variant["VariantName"]] = dict(variant)
        await self.start()
        for name, variant in self.variants.items():
            await self.shrink(name, variant["count"], busy)

    async def shrink(self, name: str, count: int, busy: Callable[[int], int]) -> None:
        """Ends the newest instances above `count`, each once it has answered what it was given."""
        while len(self.instances[name]) > count:
            await self._end(name, self.instances[name][-1], busy)

    async def stop(self, busy: Callable[[int], int] = lambda _port: 0) -> None:
        for name in self.instances:
            for instance in self.instances[name]:
                instance.up = False
        for name in self.instances:
            await self.shrink(name, 0, busy)

    async def mend(self) -> None:
        """Starts what crashed. Raises EndpointError when a variant crashes again and again."""
        for name, instances in self.instances.items():
            for instance in instances:
                if instance.starting is not None:
                    self._look_after(name, instance)
                elif instance.wakes and time.monotonic() >= instance.wakes:
                    self._start_again(instance)
                elif instance.up and (code := await instance.process.exit_code()) is not None:
                    self._crashed(name, instance, f"ended with exit code {code}")

    def ports(self, name: str) -> list[int]:
        """Of the instances that take requests."""
        return [each.process.port for each in self.instances.get(name, ()) if each.up]

    def counts(self) -> dict[str, int]:
        """Instances that take requests."""
        return {name: len(self.ports(name)) for name in self.variants}

    def described(self) -> list[dict[str, Any]]:
        """Every instance: variant, configuration, port, process, and whether it takes requests."""
        return [
            {"variant": name, "config": self.config, "port": each.process.port, "pid": each.process.pid, "up": each.up}
            for name, instances in self.instances.items()
            for each in instances
        ]

    def _add(self, name: str) -> Instance:
        self._made += 1
        variant = self.variants[name]
        if len(variant["containers"]) != 1:
            count = len(variant["containers"])
            raise EndpointError(f"variant {name!r} has {count} containers; this machine serves one each")
        ground = self._ground
        folder = os.path.join(ground.folder, f"{self.revision}-{self._made}")
        process = ModelProcess(ground.store, ground.isolation, ground.loop, variant, folder, ground.log, 0)
        instance = Instance(process, self._made)
        self.instances[name].append(instance)
        return instance

    async def _start_one(self, instance: Instance) -> None:
        await instance.process.start(self._ground.storage, self._ground.given_up)
        instance.up = not self._ground.given_up()
        instance.wakes = 0.0

    def _crashed(self, name: str, instance: Instance, how: str) -> None:
        instance.up = False
        instance.crashes = instance.crashes + 1 if instance.process.age < _STABLE_S else 1
        if instance.crashes > MOST_CRASHES:
            if not self.ports(name):
                times = f"{instance.crashes} times within {_STABLE_S:.0f} s of its start"
                raise EndpointError(f"its model server ended {times}")
            instance.wakes = time.monotonic() + _PAUSE_S
            return
        print(f"darkroom: an instance of {name} {how}: starting it again", flush=True)
        self._start_again(instance)

    def _start_again(self, instance: Instance) -> None:
        instance.wakes = 0.0
        instance.starting = self._ground.loop.spawn(self._start_one(instance))

    def _look_after(self, name: str, instance: Instance) -> None:
        task = instance.starting
        if task is None or not task.done:
            return
        instance.starting = None
        try:
            task.result()
        except EndpointError as exc:
            self._crashed(name, instance, f"did not start ({exc.message})")

    async def _end(self, name: str, instance: Instance, busy: Callable[[int], int]) -> None:
        """The router is told first, by whoever reads `ports`; then what it has under way is waited for."""
        instance.up = False
        if instance.starting is not None:
            instance.starting.cancel()
        loop = self._ground.loop
        await loop.sleep(2 * _LOOK_S)
        deadline = time.monotonic() + 60.0
        while busy(instance.process.port) and time.monotonic() < deadline:
            await loop.sleep(_LOOK_S)
        await instance.process.stop()
        self.instances[name].remove(instance)
