"""What an hour of a machine costs, as far as somebody has written it down: each price with its region, source and date.

AWS's own price list cannot be read without its API; what is not in this short table is unknown, never estimated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import ConfigError, DarkroomError

PROCESSING, TRAINING, TRANSFORM, HOSTING = "Processing", "Training", "Transform", "Hosting"
_MOST = 10_000.0  # USD an hour: above it somebody wrote another unit
_FORM = '{"ml.m5.xlarge": 0.23}, USD an hour for each machine'


@dataclass(frozen=True)
class Price:
    """USD an hour for one machine; `date`: when the source said so."""

    usd: float
    region: str
    source: str
    date: str


@dataclass(frozen=True)
class Money:
    """Prices of one's own, machine → USD an hour, and where they stand; the day, as a price has a date."""

    own: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    date: str = ""


# a bill that AWS published of its own account, line by line: "$0.257 per Training ml.m5.xlarge hour in EU (Ireland)"
_BILL = ("https://github.com/aws-samples/sagemaker-ssh-helper/blob/main/Sample_Costs.md", "2023-12")
# an undated file that lists models of summer 2024; it names no region, but its EC2 prices are those of us-east-1. Nor
# does it name the type of job: the bill above has one price for all of them, but for a tenth of a cent
_BENCHMARKS = (
    "https://github.com/aws-samples/foundation-model-benchmarking-tool/blob/main/configs/pricing.yml",
    "2024, undated; region inferred from its EC2 prices",
)
# the answer of AWS's price list, quoted: "$1.1267 per Hosting ml.g6.xlarge hour in US East (Ohio)"
_QUOTED = ("https://github.com/xbill9/sagemaker-gemma", "2026-09")
# AWS's price list as others have read it, each with region, usage type and the day: "USE1-Host:ml.m5.large"
_LAB = (
    "https://github.com/scott2borg/cs401r-2026-instructor (CS_401R_Labs, Lab 6): Pricing API, USE1-Host, -Processing",
    "2026-07-30",
)
_TRAINED = (
    "https://github.com/SatsyilCorp/compass-demo/blob/main/docs/COST_MODEL.md: SKU JMCWJEAPVJNFJ5P4, USE1-Train",
    "2026-08-11",
)
_SERVED = (
    "https://github.com/Derpinator96/AURALane/blob/main/docs/AWS-COSTS.md: Price List API, USE1-Host",
    "2026-09-28",
)
_JOBS = (PROCESSING, TRAINING, TRANSFORM)
# Region, types of jobs, machine, USD an hour, source. p4d and p5 are missing on purpose: what was written of them in
# 2024 was before AWS lowered it in June 2025. So are c5, c6i, c7i, m6i and m5 above 2xlarge: lists of them that name a
# region, a type of job and a date were looked for (2026-12) and not found.
_ROWS = (
    ("eu-west-1", (*_JOBS, HOSTING), "ml.m5.xlarge", 0.257, _BILL),
    ("eu-west-1", (TRAINING,), "ml.g4dn.xlarge", 0.822, _BILL),
    ("eu-west-1", (HOSTING,), "ml.g4dn.xlarge", 0.821, _BILL),
    ("eu-west-1", (HOSTING,), "ml.g4dn.4xlarge", 1.678, _BILL),
    ("eu-west-1", (HOSTING,), "ml.g4dn.12xlarge", 5.453, _BILL),
    ("eu-west-1", (TRAINING,), "ml.g5.xlarge", 1.57, _BILL),
    ("eu-west-1", (HOSTING,), "ml.g5.12xlarge", 7.91, _BILL),
    ("eu-west-1", (TRAINING,), "ml.p3.2xlarge", 4.131, _BILL),
    ("us-east-1", (PROCESSING,), "ml.t3.medium", 0.05, _LAB),
    ("us-east-1", (PROCESSING, HOSTING), "ml.m5.large", 0.115, _LAB),
    ("us-east-1", (TRAINING,), "ml.m5.large", 0.115, _TRAINED),
    ("us-east-1", (PROCESSING,), "ml.m5.xlarge", 0.23, _LAB),
    ("us-east-1", (TRAINING, TRANSFORM), "ml.m5.xlarge", 0.23, _BENCHMARKS),
    ("us-east-1", (HOSTING,), "ml.m5.xlarge", 0.23, _SERVED),
    ("us-east-1", (HOSTING,), "ml.m5.2xlarge", 0.461, _SERVED),
    ("us-east-1", (TRAINING, HOSTING), "ml.g4dn.12xlarge", 4.89, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.g5.xlarge", 1.4084, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.g5.2xlarge", 1.515, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.g5.12xlarge", 7.09, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.g5.24xlarge", 10.18, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.g5.48xlarge", 20.36, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.g6.2xlarge", 1.222, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.g6.12xlarge", 5.752, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.g6.16xlarge", 4.246, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.g6.24xlarge", 8.344, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.g6.48xlarge", 16.688, _BENCHMARKS),
    ("us-east-1", (TRAINING, HOSTING), "ml.p3.2xlarge", 3.825, _BENCHMARKS),
    ("us-east-1", (HOSTING,), "ml.inf2.xlarge", 0.99, _BENCHMARKS),
    ("us-east-1", (HOSTING,), "ml.inf2.8xlarge", 2.36, _BENCHMARKS),
    ("us-east-1", (HOSTING,), "ml.inf2.24xlarge", 7.79, _BENCHMARKS),
    ("us-east-1", (HOSTING,), "ml.inf2.48xlarge", 15.58, _BENCHMARKS),
    ("us-east-2", (HOSTING,), "ml.g6.xlarge", 1.1267, _QUOTED),
)


class Prices:
    """The table, with prices of one's own before it."""

    def __init__(self, region: str, own: Mapping[str, float], source: str, date: str) -> None:
        """`own`: machine → USD an hour, for every type of job."""
        self._region = region
        self._own = {machine: Price(usd, region, source, date) for machine, usd in own.items()}
        self._table = {
            (row_region, kind, machine): Price(usd, row_region, *source)
            for row_region, kinds, machine, usd, source in _ROWS
            for kind in kinds
        }

    def of(self, kind: str, machine: str) -> Price | None:
        """None where nobody has said: then the cost is unknown."""
        return self._own.get(machine) or self._table.get((self._region, kind, machine))


def read(path: str) -> dict[str, float]:
    """A JSON object of machines and USD an hour. Raises ConfigError with everything that is wrong, DarkroomError."""
    try:
        with open(path, encoding="utf-8") as file:
            content: Any = json.load(file)
    except OSError as exc:
        raise DarkroomError(f"cannot read {path}: {exc.strerror}", f"it holds {_FORM}") from exc
    except (ValueError, RecursionError) as exc:
        raise DarkroomError(f"{path} is not JSON: {exc}", f"it holds {_FORM}") from exc
    if not isinstance(content, dict):
        raise ConfigError(path, [f"(file): {type(content).__name__} is no table of prices"], f"it holds {_FORM}")
    if problems := list(_problems(content)):
        raise ConfigError(path, problems, f"it holds {_FORM}")
    return {machine: float(usd) for machine, usd in content.items()}


def _problems(content: Mapping[str, Any]) -> Iterable[str]:
    for machine, usd in content.items():
        if not machine.startswith("ml."):
            yield f"{machine}: machines of SageMaker begin with ml."
        if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 <= usd <= _MOST:
            yield f"{machine}: {usd!r} is no number of USD an hour"
