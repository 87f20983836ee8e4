"""What the supervisor of an endpoint does: it brings the endpoint to where its record says, and keeps it there.

Created, updated from one fleet of model servers to another, scaled, deleted; what crashes is started again, and the
router told of it.
"""

from __future__ import annotations

import os
import shutil
import time

from pipeline.errors import DarkroomError, EndpointError
from pipeline.local import alarm_states, autoscaling, endpoint_record, process_id
from pipeline.local.clock import clock_of
from pipeline.local.endpoint_counts import Counts
from pipeline.local.endpoint_files import Files, last_lines
from pipeline.local.endpoint_fleet import Fleet, Ground
from pipeline.local.endpoint_rollout import RolledBack, Rollout
from pipeline.local.endpoint_routes import routes
from pipeline.local.endpoint_traffic import Report, Router
from pipeline.local.storage import Storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.isolation import Isolation
    from pipeline.local.loop import Loop, Task
    from pipeline.local.store import Record, Store

SETTLED_S = 10.0  # a new endpoint that nobody calls goes to sleep so soon after it was seen healthy
_LOOK_S = 0.1


class Supervisor:
    """One endpoint; `await run()` returns when it is over. Raises EndpointError when it cannot serve any more."""

    def __init__(self, store: Store, loop: Loop, isolation: Isolation, name: str, idle_s: float) -> None:
        self.store = store
        self.loop = loop
        self.clock = clock_of(store)
        self.name = name
        self.idle_s = idle_s  # 0: never stops by itself
        self.files = Files(store.home, name)
        self.work = os.path.join(store.home, "work", f"endpoint-{name}")  # the lock says that it is ours alone
        self.stopping = self.closing = False
        log = self.files.log
        self.ground = Ground(store, Storage(store.home), isolation, loop, self.work, log, lambda: self.closing)
        self.router = Router(isolation, loop, os.path.join(self.work, "router"), log, 0)
        self.counts = Counts(store, self.clock, name)
        self.blue: Fleet | None = None
        self.green: Fleet | None = None
        self.shares: Mapping[str, float] = {}
        self._task: Task | None = None
        self._told: set[int] = set()
        self._heard = False
        self._report = Report({}, [])
        self._ready_since = 0.0
        self._written: dict[str, Any] = {}

    async def run(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)  # what a killed supervisor left
        try:
            self._obey(self.files.read_wish())
            self.router.start()
            while (record := self._wanted()) is not None:
                await self._follow(record)
                await self.loop.sleep(_LOOK_S)
        finally:
            self.closing = True
            if self._task is not None:
                self._task.cancel()
            for fleet in (self.green, self.blue):
                if fleet is not None:
                    await fleet.stop()
            await self.router.stop()
            shutil.rmtree(self.work, ignore_errors=True)

    def _wanted(self) -> Record | None:
        """The endpoint as it is now; None when there is nothing more to serve."""
        if self.stopping or os.path.exists(self.files.stop):
            return None
        found = self.store.find("endpoint", self.name)
        if not found or self._is_idle(found[0]):
            return None
        return found[0]

    def _is_idle(self, record: Record) -> bool:
        if not self.idle_s or self._task is not None or record.status in endpoint_record.IN_PROGRESS:
            return False
        if not self._ready_since or os.path.exists(self.files.wish):
            return False
        unused = self._ready_since - self.idle_s + min(SETTLED_S, self.idle_s)
        return time.time() - max(self.files.last_used(), unused) > self.idle_s

    async def _follow(self, record: Record) -> None:
        wish = self.files.read_wish()
        if self._obey(wish):
            await self.router.stop()
            self.router.start()
            self._heard = False
        if self._task is not None and self._task.done:
            task, self._task = self._task, None
            task.result()
        elif self._task is None or record.status == endpoint_record.DELETING:
            self._begin(record)
        if self.blue is not None and self._ready_since and not self.closing:
            await self.blue.mend()
        await self._route(record.body)
        if self._task is None and record.status == endpoint_record.IN_SERVICE and self.counts.kept:
            self._scale(record)
        self._write("Ready" if self._serves() else "Starting")
        self.files.fulfil(wish)

    def _begin(self, record: Record) -> None:
        """What the record asks for and is not under way."""
        body, task = record.body, self._task
        match record.status:
            case endpoint_record.DELETING:
                if not self.closing:
                    self.closing = True
                    if task is not None:
                        task.cancel()
                    self._task = self.loop.spawn(self._delete())
            case endpoint_record.CREATING:
                self._task = self.loop.spawn(self._create(body))
            case endpoint_record.UPDATING if body.get("pending"):
                self._task = self.loop.spawn(self._update(body))
            case endpoint_record.UPDATING:
                self._task = self.loop.spawn(self._resize(body))
            case endpoint_record.FAILED:
                raise EndpointError(body.get("FailureReason", "it failed"))
            case _ if self.blue is None:
                self._task = self.loop.spawn(self._wake(body))

    async def _wake(self, body: dict[str, Any]) -> None:
        fleet = self.blue = self._fleet(body)
        await fleet.start()

    async def _create(self, body: dict[str, Any]) -> None:
        fleet = self.blue = self._fleet(body)
        self.tell("Creating", f"Launching {sum(v['count'] for v in body['variants'])} instance(s).")
        try:
            await fleet.start()
        except DarkroomError as exc:  # whatever it is: else the next supervisor would try again, and the next
            reason = self._reason(exc)
            self._change(endpoint_record.FAILED, {"FailureReason": reason, "pending": None})
            raise EndpointError(reason) from exc
        while not self._serves():
            await self.loop.sleep(_LOOK_S)
        self._change(endpoint_record.IN_SERVICE, {"pending": None})

    async def _update(self, body: dict[str, Any]) -> None:
        if self.blue is None:
            await self._wake_for_update(body)
        assert self.blue is not None
        green = self.green = self._fleet(body["pending"])
        plan = endpoint_record.plan(body["pending"])
        rollout = Rollout(self, plan, self.blue, green, lambda: self._change(endpoint_record.ROLLING_BACK, {}))
        try:
            await rollout.run()
        except RolledBack as exc:
            self.green = None
            self._change(endpoint_record.IN_SERVICE, {"FailureReason": self._reason(exc), "pending": None})
        except DarkroomError as exc:
            reason = self._reason(exc)
            self._change(endpoint_record.ROLLBACK_FAILED, {"FailureReason": reason, "pending": None})
            raise EndpointError(reason) from exc
        else:
            self.blue, self.green = green, None
            self._change(endpoint_record.IN_SERVICE, endpoint_record.after_update(body))
        self.shares = {}

    def _scale(self, record: Record) -> None:
        """What scaling policies ask for becomes the record's; `_resize` brings it about."""
        now = self.clock.now()
        for variant in record.body["variants"]:
            name, before = variant["VariantName"], variant["count"]
            wish = autoscaling.wanted(self.store, self.name, name, before, now)
            if wish is not None:
                activity = autoscaling.begin(self.store, self.name, name, before, wish, now)
                changes = endpoint_record.resized(record.body, {name: wish.count}, {}, now, activity)
                self._change(endpoint_record.UPDATING, changes)
                return

    async def _resize(self, body: dict[str, Any]) -> None:
        """Another number of instances, or other weights, of the same configuration."""
        scaling, failure = body.get("scaling") or {}, ""
        if self.blue is None:
            await self._wake(body)
        assert self.blue is not None
        try:
            await self.blue.resize(body["variants"], self.busy)
        except DarkroomError as exc:
            failure = self._reason(exc)
            body["variants"] = endpoint_record.before(body)
            self._change(endpoint_record.ROLLING_BACK, {"variants": body["variants"]})
            await self.blue.resize(body["variants"], self.busy)
        more = {"FailureReason": failure} if failure else {}
        self._change(endpoint_record.IN_SERVICE, {"live": {}, "scaling": None, **more})
        if scaling.get("activity"):
            autoscaling.end(self.store, scaling["activity"], self.clock.now(), failure)

    async def _wake_for_update(self, body: dict[str, Any]) -> None:
        """The old fleet serves meanwhile, and is there to go back to. One that cannot start keeps no update away."""
        fleet = self.blue = self._fleet(body)
        try:
            await fleet.start()
        except DarkroomError as exc:
            print(f"darkroom: the old fleet does not start: {exc.message}", flush=True)
            await fleet.stop()

    async def _delete(self) -> None:
        """The record goes when this process has: whoever looks then removes it."""
        for fleet in (self.green, self.blue):
            if fleet is not None:
                await fleet.stop(self.busy)
        self.stopping = True

    def _fleet(self, body: Mapping[str, Any]) -> Fleet:
        return Fleet(self.ground, body["EndpointConfigName"], body["revision"], body["variants"])

    # what a rollout stands on

    def shift(self, shares: Mapping[str, float]) -> None:
        self.shares = shares

    def busy(self, port: int) -> int:
        """Requests that an instance has now; 1 as long as the router may still send it some."""
        return 1 if port in self._told else self._report.busy.get(port, 0)

    def alarmed(self, names: list[str]) -> list[str]:
        found = [record for name in names for record in self.store.find(alarm_states.KIND, name)]
        return [record.name for record in found if record.status == alarm_states.ALARM]

    def tell(self, status: str, message: str) -> None:
        with self.store.transaction():
            body = self.store.get("endpoint", self.name).body
            self._change(None, endpoint_record.told(body, status, message, self.clock.now(), self.green))

    def _change(self, status: str | None, changes: dict[str, Any]) -> None:
        self.store.change("endpoint", self.name, changes, status=status)

    def _reason(self, exc: DarkroomError) -> str:
        """As FailureReason holds it: the cause, and as much of the log's end as there is room for."""
        return endpoint_record.reason(exc.message, last_lines(self.files.log))

    # the router and the files

    async def _route(self, body: Mapping[str, Any]) -> None:
        wanted = [] if self.closing else routes(self.blue, self.green, self.shares)
        report = await self.router.tell({"variants": wanted, **endpoint_record.limits(body)})
        self._heard = report is not None
        if report is None:
            return
        self._report = report
        self._told = {port for variant in wanted for fleet in variant["fleets"] for port in fleet["ports"]}
        if report.counted or any(report.busy.values()):
            self.files.touch_used()
        self.counts.add(report, [each for fleet in (self.blue, self.green) if fleet for each in fleet.described()])

    def _serves(self) -> bool:
        """Every variant has an instance that the router knows of."""
        if self.closing or self.blue is None or not self._heard:
            return False
        ports = [self.blue.ports(name) for name in self.blue.variants]
        return all(ports) and self._told.issuperset(port for each in ports for port in each)

    def _obey(self, wish: Mapping[str, Any]) -> bool:
        """Whether the router has to move to another port."""
        if wish.get("keep"):
            self.idle_s = 0.0
        moved = wish.get("port", 0) not in (0, self.router.port)
        if moved:
            self.router.port = wish["port"]
        return moved

    def _write(self, state: str, reason: str = "") -> None:
        known = {"state": state, "reason": reason, "keep": not self.idle_s, "port": self.router.port}
        known |= {"pid": os.getpid(), "identity": process_id.identity()}
        known["instances"] = [each for fleet in (self.blue, self.green) if fleet for each in fleet.described()]
        if state == "Ready" and self._written.get("state") != "Ready":
            self._ready_since = time.time()
        if known != self._written:
            self.files.write_state(known)
            self._written = known

    def fail(self, reason: str) -> None:
        self._write("Failed", reason)

    def end(self) -> None:
        """Said before the lock is free: who comes now waits for that, and starts another one."""
        self._write("Ended")
