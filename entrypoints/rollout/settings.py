"""Settings of a deployment as texts such as `min=1 max=3`: an event's values, and what a tag can hold."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from rollout.account import DeployRefused

LONGEST = 256  # characters of a tag's value


@dataclass(frozen=True)
class Settings:
    """Fields are named as in the text. Numbers are whole unless their default is a fraction."""

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for an empty text or `none`; raises DeployRefused for one that is not understood."""
        if text in ("", "none"):
            return None
        return cls._read(text)

    @classmethod
    def _read(cls, text: str) -> Self:
        word, known = cls.__name__.lower(), {each.name: each for each in fields(cls)}
        given: dict[str, Any] = {}
        for part in text.split():
            name, equals, value = part.partition("=")
            if name not in known or not equals:
                raise DeployRefused(f"{word} {text!r}: {part!r} is none of {', '.join(known)}, each with = and a value")
            kind = known[name].type
            try:
                given[name] = value if kind == "str" else float(value) if kind == "float" else int(value)
            except ValueError:
                raise DeployRefused(f"{word} {text!r}: {name} takes a number") from None
        try:
            made = cls(**given)
        except TypeError:
            raise DeployRefused(f"{word} {text!r}: give {', '.join(known)}") from None
        if problem := made.problem():
            raise DeployRefused(f"{word} {text!r}: {problem}")
        return made

    def problem(self) -> str:
        """What is wrong with the values together; empty when nothing is."""
        return ""

    def __str__(self) -> str:
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return " ".join(
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in found.items()
            if value != ""
        )


METRICS = {
    # invocations of one instance in a minute; CloudWatch has a value a minute, and the alarm looks at three of them
    "invocations": "SageMakerVariantInvocationsPerInstance",
    # requests that are being answered, by model copy; every ten seconds
    "concurrency": "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    # requests that wait for an asynchronous endpoint, by instance
    "backlog": "ApproximateBacklogSizePerInstance",
}


@dataclass(frozen=True)
class Scaling(Settings):
    """From `min` to `max` instances, so that `metric` is at `target`; cooldowns in seconds."""

    min: int
    max: int
    target: float
    metric: str = "invocations"
    out_s: int = 30
    in_s: int = 120

    def problem(self) -> str:
        if self.metric not in METRICS:
            return f"metric is one of {', '.join(METRICS)}"
        if not (0 if self.metric == "backlog" else 1) <= self.min <= self.max:
            return "min is 1 or more (0 with the backlog's metric) and not above max"
        return (
            "" if self.target > 0 and min(self.out_s, self.in_s) >= 0 else "target is above 0, cooldowns are not below"
        )


@dataclass(frozen=True)
class Update(Settings):
    """Blue/green: a canary of at most half the fleet for `bake_s`, then all of it for `wait_s`, watched by alarms."""

    canary: int = 50
    bake_s: int = 300
    wait_s: int = 300
    timeout_s: int = 3600

    @classmethod
    def read(cls, text: str) -> Self:
        return cls._read("" if text == "none" else text)

    def problem(self) -> str:
        if not 1 <= self.canary <= 50:
            return "canary is 1 to 50 percent of the instances"
        if not all(0 <= seconds <= 3600 for seconds in (self.bake_s, self.wait_s)):
            return "bake_s and wait_s are 0 to 3600 seconds"
        if not 600 <= self.timeout_s <= 28_800 or self.timeout_s <= self.bake_s + self.wait_s:
            return "timeout_s is 600 to 28800 seconds, and more than bake_s and wait_s together"
        return ""


@dataclass(frozen=True)
class Alarms(Settings):
    """Of the new fleet: share of answers with status 5xx, p99 of the model's time. `also`: names of further alarms."""

    errors: float = 0.05
    latency_ms: int = 5000
    minutes: int = 1
    also: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        return cls._read("" if text == "none" else text)

    @property
    def others(self) -> list[str]:
        return [name for name in self.also.split("+") if name]

    def problem(self) -> str:
        if not 0 < self.errors <= 1:
            return "errors is a share above 0, up to 1"
        if self.latency_ms < 0 or not 1 <= self.minutes <= 60:
            return "latency_ms is 0 (no such alarm) or more, minutes 1 to 60"
        return "" if len(self.others) <= 8 else "also names more than 8 alarms: SageMaker takes 10 in all"


@dataclass(frozen=True)
class Serverless(Settings):
    """No instances: memory in MB, how many requests at once, how many of these are kept warm."""

    memory: int
    concurrency: int
    warm: int = 0

    def problem(self) -> str:
        if self.memory not in range(1024, 6145, 1024):
            return "memory is 1024 to 6144 MB in steps of 1024"
        if not 1 <= self.concurrency <= 200:
            return "concurrency is 1 to 200"
        return "" if 0 <= self.warm <= self.concurrency else "warm is not above concurrency"

    def members(self) -> dict[str, int]:
        warm = {"ProvisionedConcurrency": self.warm} if self.warm else {}
        return {"MemorySizeInMB": self.memory, "MaxConcurrency": self.concurrency, **warm}


@dataclass(frozen=True)
class Asynchronous(Settings):
    """Answers go to S3 below `output`, refusals below `failure`; topics hear of each. `at_once`: by instance."""

    output: str
    failure: str = ""
    success_topic: str = ""
    error_topic: str = ""
    at_once: int = 4
    key: str = ""

    def problem(self) -> str:
        if not all(each.startswith("s3://") for each in (self.output, self.failure or self.output)):
            return "output and failure are s3:// addresses"
        topics = (self.success_topic, self.error_topic)
        if any(topic and not topic.startswith("arn:") for topic in topics):
            return "topics are ARNs"
        return "" if 1 <= self.at_once <= 1000 else "at_once is 1 to 1000"

    def members(self) -> dict[str, Any]:
        topics = {"SuccessTopic": self.success_topic, "ErrorTopic": self.error_topic}
        told = {name: topic for name, topic in topics.items() if topic}
        output = {"S3OutputPath": self.output, "S3FailurePath": self.failure, "KmsKeyId": self.key}
        return {
            "OutputConfig": {
                **{name: value for name, value in output.items() if value},
                **({"NotificationConfig": told} if told else {}),
            },
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": self.at_once},
        }
