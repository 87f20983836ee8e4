"""ParameterRanges of a tuning job → Optuna's distributions, and drawn values → the strings that SageMaker passes on."""

from __future__ import annotations

import math
import os

from pipeline.local.jobs import JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from optuna.distributions import BaseDistribution

# "Auto" searches a range on a logarithmic scale from this ratio of its ends on; what AWS does is not documented
_AUTO_LOG_RATIO = 100.0
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
SCALES = ("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")


def load_optuna() -> Any:
    """Imports Optuna (0.2 s). Inside a pid namespace no thread can start, so numpy's BLAS must not try."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        import optuna
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Range:
    """One searched hyperparameter. Optuna sees `distribution`; a reverse logarithmic x is searched as 1 - x."""

    __slots__ = ("distribution", "name", "reverse", "values")

    def __init__(self, name: str, distribution: BaseDistribution, reverse: bool = False, values: Any = ()) -> None:
        self.name = name
        self.distribution = distribution
        self.reverse = reverse
        self.values: tuple[str, ...] = tuple(values)  # of a categorical one

    def text(self, drawn: Any) -> str:
        """A drawn value as a hyperparameter."""
        if self.reverse:
            drawn = 1.0 - drawn
        return drawn if isinstance(drawn, str) else repr(drawn)

    def drawn(self, text: str) -> Any:
        """The inverse. Raises ValueError for a value that is not in the range."""
        if self.values:
            value: Any = text
        else:
            value = float(text)
            value = 1.0 - value if self.reverse else value
            low, high = self.distribution.low, self.distribution.high  # type: ignore[attr-defined]
            if not self.reverse and isinstance(low, int):
                value = int(text)
            elif self.reverse:  # 1 - (1 - x) may leave the range by one rounding
                value = min(max(value, low), high)
        internal = self.distribution.to_internal_repr(value)
        if not self.distribution._contains(internal):
            raise ValueError(f"{self.name}={text} is outside of its range")
        return value


def read_ranges(ranges: Mapping[str, Any]) -> list[Range]:
    """Raises JobFailed for what the service refuses, naming the range."""
    load_optuna()
    found: list[Range] = []
    if ranges.get("AutoParameters"):
        raise JobFailed("ClientError: AutoParameters (Autotune) do not exist on this machine: give ranges")
    for item in ranges.get("IntegerParameterRanges") or []:
        found.append(_integer(item))
    for item in ranges.get("ContinuousParameterRanges") or []:
        found.append(_continuous(item))
    for item in ranges.get("CategoricalParameterRanges") or []:
        found.append(_categorical(item))
    names = [item.name for item in found]
    for name in names:
        if names.count(name) > 1:
            raise JobFailed(f"ClientError: ParameterRanges: {name!r} is there twice")
    if not found:
        raise JobFailed("ClientError: ParameterRanges is empty: there is nothing to tune")
    return found


def _integer(item: Mapping[str, str]) -> Range:
    from optuna.distributions import IntDistribution

    name = item["Name"]
    try:
        low, high = int(item["MinValue"]), int(item["MaxValue"])
    except ValueError as exc:
        raise JobFailed(f"ClientError: integer range {name!r}: {exc}") from exc
    scale = _scale(item, low, high)
    if scale == "ReverseLogarithmic":
        raise JobFailed(f"ClientError: integer range {name!r}: ReverseLogarithmic is for continuous ranges")
    return Range(name, IntDistribution(low, high, log=scale == "Logarithmic"))


def _continuous(item: Mapping[str, str]) -> Range:
    from optuna.distributions import FloatDistribution

    name = item["Name"]
    try:
        low, high = float(item["MinValue"]), float(item["MaxValue"])
    except ValueError as exc:
        raise JobFailed(f"ClientError: continuous range {name!r}: {exc}") from exc
    if not (math.isfinite(low) and math.isfinite(high)):
        raise JobFailed(f"ClientError: continuous range {name!r}: its ends have to be finite")
    scale = _scale(item, low, high)
    if scale != "ReverseLogarithmic":
        return Range(name, FloatDistribution(low, high, log=scale == "Logarithmic"))
    if not 0 <= low < high < 1:
        raise JobFailed(f"ClientError: continuous range {name!r}: ReverseLogarithmic needs 0 <= MinValue, MaxValue < 1")
    return Range(name, FloatDistribution(1.0 - high, 1.0 - low, log=True), reverse=True)


def _scale(item: Mapping[str, str], low: float, high: float) -> str:
    name = item["Name"]
    if low >= high:
        raise JobFailed(f"ClientError: range {name!r}: MinValue {low} is not below MaxValue {high}")
    scale = item.get("ScalingType") or "Auto"
    if scale not in SCALES:
        raise JobFailed(f"ClientError: range {name!r}: ScalingType {scale!r} is none of {', '.join(SCALES)}")
    if scale == "Logarithmic" and low <= 0:
        raise JobFailed(f"ClientError: range {name!r}: Logarithmic needs MinValue above 0, not {low}")
    if scale == "Auto":
        return "Logarithmic" if low > 0 and high / low >= _AUTO_LOG_RATIO else "Linear"
    return scale


def _categorical(item: Mapping[str, Any]) -> Range:
    from optuna.distributions import CategoricalDistribution

    name, values = item["Name"], [str(value) for value in item.get("Values") or []]
    if not values or len(set(values)) != len(values):
        raise JobFailed(f"ClientError: categorical range {name!r}: Values is empty or holds one twice: {values}")
    return Range(name, CategoricalDistribution(values), values=values)
