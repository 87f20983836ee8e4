"""Roles of the golden definitions and of drawn configurations, for tests of their policies."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from pipeline.config import Config, load_config
from pipeline.definition import Definition
from pipeline.iam import policies
from pipeline.iam.policies import Role

REPOSITORY = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "data" / "golden"
NAMES = tuple(sorted(path.stem for path in GOLDEN.glob("*.json")))
SUBJECTS = {"ci-plan": "repo:acme/vision:pull_request", "ci-deploy": "repo:acme/vision:ref:refs/heads/main"}


class Golden(NamedTuple):
    config: Config
    definition: Definition
    roles: tuple[Role, ...]

    def arn(self, kind: str) -> str:
        return next(role.arn for role in self.roles if role.kind == kind)


@cache
def golden(name: str) -> Golden:
    config = load_config(REPOSITORY / "pipeline.yaml" if name == "shipped" else GOLDEN / f"{name}.yaml")
    definition = Definition.parse((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return Golden(config, definition, policies.roles(config, definition, (), SUBJECTS))
