"""The section health of pipeline.yaml: rules that judge TrainModel, as one hyperparameter of train.py."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from pipeline.config.health_managed import managed_problems
from pipeline.config.health_rules import COMMON, NOT_HERE, RULES, Rule
from pipeline.config.problems import Problem, quoted
from pipeline.config.section import Place, Section
from pipeline.config.training import OWN, PYTHON_FILE, file_name
from pipeline.own_rules import OWN_RULES

NONE = "none"  # an empty hyperparameter does not reach a program
LONGEST = 2500  # characters of a hyperparameter
ON_ISSUE = ("warn", "stop")
_WARN_OR_STOP = {"enum": list(ON_ISSUE), "default": ON_ISSUE[0], "description": "stop: training ends, the best kept."}
_KNOWN: dict[str, Any] = {
    name: {
        "type": "object",
        "properties": {"on_issue": _WARN_OR_STOP, **{key: dict(kind.schema) for key, kind in rule.takes.items()}},
        "additionalProperties": False,
    }
    for name, rule in RULES.items()
}
_SHIPPED: dict[str, Any] = {
    **{name: {} for name in ("VanishingGradient", "ExplodingTensor", "PoorWeightInitialization")},
    "LossNotDecreasing": {"num_steps": 75},  # of neighbouring epochs one may well be a little worse
    **{name: {} for name in ("Overfit", "StepOutlier")},
    "Overtraining": {"delta": 0.01},  # below AWS's 0.1, which the end of every good training falls short of
}


class OwnRule(Section):
    """A rule of one's own with what follows an issue."""

    file: Place = Field(description="A Python file with a function rule(records), relative to this file.")
    on_issue: Literal["warn", "stop"] = Field(default="warn", description="stop: training ends, the best kept.")


class HealthSection(Section):
    """What judges TrainModel while it runs, and what is recorded for it; trials record losses only."""

    rules: dict[str, Any] = Field(
        default=_SHIPPED,
        json_schema_extra={"properties": _KNOWN, "additionalProperties": False},
        description="AWS's names of rules, each with parameters (docs/health.md has all) and on_issue: warn or stop.",
    )
    own_rules: tuple[Place | OwnRule, ...] = Field(
        default=(),
        strict=False,
        max_length=20,
        description="Python files with a function rule(records) that travel with the code, or {file, on_issue}.",
    )
    every: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Tensors are recorded each so many steps. null: 100, and less in short jobs.",
    )
    profile: bool = Field(default=True, description="true: where the time goes, in profiler-report.html.")
    managed: bool = Field(
        default=False,
        description="true: SageMaker Debugger judges TrainModel as well, in accounts that had it before 2026-07-30.",
    )

    @property
    def own(self) -> tuple[OwnRule, ...]:
        return tuple(OwnRule(file=each) if isinstance(each, str) else each for each in self.own_rules)

    @property
    def hyperparameters(self) -> dict[str, str]:
        """What TrainModel is told."""
        return {"health_rules": wire(self), "health_every": str(self.every or 0), "profile": str(self.profile)}


def wire(health: HealthSection) -> str:
    """VanishingGradient:threshold=1e-08,on_issue=stop+own/rules/mine.py, as health/rules/settings.py reads it.

    Raises ValueError for what health_rules() would tell of.
    """
    rules = [_wired(name, {**(given or {})}) for name, given in health.rules.items()]
    own = [_joined(travels_as(each.file), [], each.on_issue) for each in health.own]
    return "+".join(rules + own) or NONE


def travels_as(file: str) -> str:
    """Where a rule of one's own lies in train.py's archive."""
    return f"{OWN}/{OWN_RULES}/{file_name(file)}"


def _wired(name: str, given: dict[str, Any]) -> str:
    on_issue = given.pop("on_issue", ON_ISSUE[0])
    return _joined(name, [f"{key}={_encoded(RULES[name].takes[key].text(given[key]))}" for key in given], on_issue)


def _joined(name: str, pairs: list[str], on_issue: str) -> str:
    pairs = pairs if on_issue == ON_ISSUE[0] else [*pairs, f"on_issue={on_issue}"]
    return name + (f":{','.join(pairs)}" if pairs else "")


def _encoded(text: str) -> str:
    """SageMaker's toolkit writes hyperparameters into a shell command: what may mean something there is @ and hex."""
    return re.sub("[^A-Za-z0-9_./-]", lambda found: "".join(f"@{byte:02X}" for byte in found[0].encode()), text)


def health_rules(health: HealthSection) -> Iterator[Problem]:
    found = [*_named(health.rules), *_owned(health)]
    yield from found
    if not found and len(text := wire(health)) > LONGEST:
        says = f"take {len(text):,} characters of the {LONGEST:,} of a hyperparameter: use fewer, or defaults"
        yield Problem(("health", "rules"), says)
    elif not found and health.managed:
        yield from managed_problems(health.rules)


def _named(rules: Mapping[str, Any]) -> Iterator[Problem]:
    for name, given in rules.items():
        path = ("health", "rules", name)
        if name in NOT_HERE:
            yield Problem(path, f"is not judged here: {NOT_HERE[name]}; leave it out")
        elif name.endswith(".py"):
            yield Problem(path, "is a file; a rule of your own stands in health.own_rules")
        elif name not in RULES:
            yield Problem(path, f"is not a rule; {_nearest(name, RULES)}")
        elif given is not None and not isinstance(given, dict):
            says = f"allowed: {{}}, or parameters and values: {', '.join([*RULES[name].takes, 'on_issue'])}"
            yield Problem(path, f"{quoted(given)} is not allowed; {says}")
        else:
            yield from _parameters(path, RULES[name], given or {})


def _parameters(path: tuple[str, ...], rule: Rule, given: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in given.items():
        why = {**COMMON, **rule.refused}.get(key)
        if key == "on_issue":
            if value not in ON_ISSUE:
                yield Problem((*path, key), f"{quoted(value)} is not allowed; allowed: one of {', '.join(ON_ISSUE)}")
        elif why is not None:
            yield Problem((*path, key), why)
        elif key not in rule.takes:
            yield Problem((*path, key), f"is not a parameter of it; {_nearest(key, [*rule.takes, 'on_issue'])}")
        else:
            try:
                rule.takes[key].text(value)
            except ValueError:
                yield Problem((*path, key), f"{quoted(value)} is not allowed; allowed: {rule.takes[key].words}")


def _owned(health: HealthSection) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for index, each in enumerate(health.own):
        path, name = ("health", "own_rules", index), file_name(each.file)
        if "://" in each.file:
            yield Problem(path, f"{quoted(each.file)}: a Python file of this machine; it travels with the code")
        elif not PYTHON_FILE.fullmatch(name):
            says = "its name is of letters, digits, _ and -, and ends in .py, such as rules/mine.py"
            yield Problem(path, f"{quoted(each.file)}: {says}")
        elif name in seen:
            says = "stands here a second time" if seen[name] == each.file else f"has the name of {quoted(seen[name])}"
            yield Problem(path, f"{quoted(each.file)}: {says}: rename it, or leave it out")
        seen.setdefault(name, each.file)


def _nearest(name: str, known: Mapping[str, object] | list[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else f"known: {', '.join(sorted(known))}"
