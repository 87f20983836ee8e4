"""The time by which hosting goes: alarms' periods, baking, cooldowns. The real one, or so many times as fast.

DARKROOM_CLOCK_SPEED=60 makes a minute of AWS a second here. The speed is kept in the store, so that whoever looks at
the same endpoints sees the same time; what processes themselves need (a model that loads, an answer) stays real time.
"""

from __future__ import annotations

import os
import time

from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.local.store import Store

VARIABLE = "DARKROOM_CLOCK_SPEED"
FASTEST = 3600.0
_KIND = _NAME = "clock"


class Clock:
    """At the real time `since` it was `then`, and from there it runs `speed` times as fast; seconds since 1970."""

    __slots__ = ("since", "speed", "then")

    def __init__(self, speed: float = 1.0, since: float = 0.0, then: float = 0.0) -> None:
        self.speed = speed
        self.since = since
        self.then = then

    def now(self) -> float:
        return self.then + (time.time() - self.since) * self.speed

    def real(self, seconds: float) -> float:
        """How long `seconds` of this clock really take."""
        return seconds / self.speed


def clock_of(store: Store) -> Clock:
    """The clock of everything in this store. Raises DarkroomError when the variable is no speed."""
    text = os.environ.get(VARIABLE, "")
    clock = _kept(store)
    return set_speed(store, _speed(text)) if text and _speed(text) != clock.speed else clock


def set_speed(store: Store, speed: float) -> Clock:
    """From now on: time makes no jump."""
    with store.transaction():
        clock = Clock(speed, time.time(), _kept(store).now())
        store.put(_KIND, _NAME, {"speed": speed, "since": clock.since, "then": clock.then})
    return clock


def _kept(store: Store) -> Clock:
    found = store.find(_KIND, _NAME)
    return Clock(**found[0].body) if found else Clock()


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= FASTEST:
        raise DarkroomError(f"{VARIABLE}={text!r} is no speed", f"take a number above 0, at most {FASTEST:.0f}")
    return speed
