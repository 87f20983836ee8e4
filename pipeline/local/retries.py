"""Retry policies of one step, as AWS reads them: the first policy that names the error's type decides.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
"""

from __future__ import annotations

import time
from math import inf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

DEFAULT_ATTEMPTS = 5
DEFAULT_INTERVAL_S = 1.0
DEFAULT_BACKOFF = 2.0


class Retries:
    """Each policy counts its own attempts; the time of all of them runs from the step's start."""

    __slots__ = ("_began", "_policies", "_used")

    def __init__(self, policies: Sequence[dict[str, Any]]) -> None:
        self._policies = policies
        self._used = [0] * len(policies)
        self._began = time.time()

    def pause_after(self, exception_type: str) -> float | None:
        """Seconds until the next attempt; None if there is to be none, as after '': that no policy can name."""
        for index, policy in enumerate(self._policies):
            if exception_type and exception_type in policy.get("ExceptionType", ()):
                self._used[index] += 1
                if self._used[index] > _attempts(policy) or self._expired(policy):
                    return None
                backoff = policy.get("BackoffRate", DEFAULT_BACKOFF) ** (self._used[index] - 1)
                return float(policy.get("IntervalSeconds", DEFAULT_INTERVAL_S) * backoff)
        return None

    def _expired(self, policy: dict[str, Any]) -> bool:
        return bool(time.time() - self._began > policy.get("ExpireAfterMin", inf) * 60)


def _attempts(policy: dict[str, Any]) -> float:
    """A policy with an expiry has no limit of its own."""
    return float(policy.get("MaxAttempts", inf if "ExpireAfterMin" in policy else DEFAULT_ATTEMPTS))
