"""How long a loop waits for what it is given."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Waiting:
    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, source: Iterator[Item]) -> Iterator[Item]:
        while True:
            began = time.perf_counter()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - began
            yield item
