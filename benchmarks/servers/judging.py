"""What benchmarks/soaking.py finds wrong: with an answer, with a log, with memory."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

CLOSE = 1e-3  # of probabilities: the server's network rounds otherwise, and a batch otherwise than one picture


class Expected(NamedTuple):
    """Of a good request each class with its probability, of a bad one nothing."""

    status: int
    chances: dict[str, float] | None = None


def is_right(answer: bytes, status: int, expected: Expected) -> bool:
    if status != expected.status:
        return False
    try:
        said = json.loads(answer)
        if expected.chances is None:
            return set(said) == {"error"} and "Traceback" not in said["error"]
        (prediction,) = said["predictions"]
        told = [(each["class"], each["probability"]) for each in (prediction, *prediction["top"])]
    except (ValueError, KeyError, TypeError):
        return False
    close = all(abs(probability - expected.chances.get(name, 9)) <= CLOSE for name, probability in told)
    return close and told[0][1] >= max(expected.chances.values()) - CLOSE and len(told) > 1


def tracebacks(log: str) -> int:
    return log.count("Traceback (most recent call last)")


def private_mib(rollup: str) -> float:
    """What is the process's own, of the text of /proc/PID/smaps_rollup: what it shares with nobody."""
    return sum(map(int, re.findall(r"^Private_(?:Clean|Dirty|Hugetlb): +(\d+) kB$", rollup, re.MULTILINE))) / 1024
