"""The process that plays EventBridge while deployments are under way: python -m pipeline.local.event_host HOME.

It calls each rule's function on every change of an endpoint, as SageMaker's events do, and by a schedule. It
ends when nothing is under way any more; whoever changes an endpoint then starts another one.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from pipeline.errors import DarkroomError
from pipeline.local import endpoint_events, endpoint_record, event_rules, function_process
from pipeline.local.clock import clock_of
from pipeline.local.endpoint_files import Files, is_supervised, take
from pipeline.local.functions import find_function
from pipeline.local.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pipeline.local.event_rules import Rule, Seen

_LOOK_S = 0.1


class Bus:
    """`send(rule, event)` calls the rule's function; an event is told once, whatever became of it."""

    def __init__(self, store: Store, send: Callable[[Rule, dict[str, Any]], None]) -> None:
        self.store = store
        self.send = send
        self.clock = clock_of(store)
        self._told: dict[tuple[str, str, str], Any] = {}
        self._looked: dict[str, float] = {}

    def turn(self) -> bool:
        """Tells what has changed, and what is due; False when nothing is under way any more."""
        return any([self._turn(rule) for rule in event_rules.rules(self.store)])

    def _turn(self, rule: Rule) -> bool:
        seen = list(event_rules.endpoints(self.store, rule))
        changes = [(kind, each) for each in seen for kind in self._changes(rule, each)]
        for kind, each in changes:
            self.send(rule, endpoint_events.event(kind, each.record, each.tags, self.clock.now()))
        waiting = [each.record.name for each in seen if not each.over]
        due = self._looked.setdefault(rule.function, self.clock.now()) + rule.every
        if waiting and self.clock.now() >= due:
            self._looked[rule.function] = self.clock.now()
            self.send(rule, {"action": "advance", "endpoint_name": ",".join(waiting)})
        return bool(changes or waiting)

    def _changes(self, rule: Rule, seen: Seen) -> list[str]:
        """The kinds of events that are to be told now."""
        record, found = seen.record, list[str]()
        now: dict[str, Any] = {endpoint_events.STATE: endpoint_events.state(record)}
        if stages := endpoint_events.stages(record):
            now[endpoint_events.DEPLOYMENT] = stages
        for kind, what in now.items():
            if self._told.get((rule.function, record.name, kind)) != what:
                self._told[rule.function, record.name, kind] = what
                found.append(kind)
        return found


def host(home: str) -> None:
    """Until nothing is under way."""
    store = Store(home)

    def send(rule: Rule, event: dict[str, Any]) -> None:
        try:
            result = function_process.call(home, find_function(store, rule.function), event)
        except DarkroomError as exc:
            result = {"errorType": type(exc).__name__, "errorMessage": exc.message}
        if "errorType" in result:
            print(f"{rule.function}: {result['errorType']}: {result.get('errorMessage', '')}", flush=True)

    bus = Bus(store, send)
    while bus.turn():
        _remove_deleted(store)
        time.sleep(_LOOK_S)
    store.close()


def _remove_deleted(store: Store) -> None:
    """Whoever looks removes them, and maybe nobody else does."""
    for record in store.list("endpoint"):
        if record.status == endpoint_record.DELETING and not is_supervised(Files(store.home, record.name)):
            endpoint_record.remove(store, record.name)


def main(home: str) -> int:
    """Whoever started us waits until the lock is taken, here or by an earlier one."""
    lock = os.open(event_rules.files(home).lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if not take(lock):
        return 0
    if os.fork():  # the lock goes on with the child
        os._exit(0)
    while True:
        host(home)
        fcntl.flock(lock, fcntl.LOCK_UN)
        # what began after the last look, while nobody else could take the lock, is still to be told
        if not _is_anything_waiting(home) or not take(lock):
            return 0


def _is_anything_waiting(home: str) -> bool:
    store = Store(home)
    try:
        found = [seen for rule in event_rules.rules(store) for seen in event_rules.endpoints(store, rule)]
        return any(not seen.over for seen in found)
    finally:
        store.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
