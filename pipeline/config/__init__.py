"""pipeline.yaml → a frozen, typed Config, or every problem of the file at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config.model import Config
from pipeline.config.problems import Problem, problems_of
from pipeline.config.rules import RULES
from pipeline.config.yaml_file import HINT, read_yaml
from pipeline.errors import ConfigError

__all__ = ["Config", "config_schema", "load_config"]


def load_config(path: Path) -> Config:
    """The configuration in `path`; ConfigError holds all problems, in the order of the sections."""
    document = read_yaml(path)
    schema = config_schema()
    try:
        config, problems = Config.model_validate(document), []
    except ValidationError as exc:
        problems = list(problems_of(exc, document, schema))
        config = _sound_sections(document, {str(problem.path[0]) for problem in problems})
    broken = {problem.path[0] for problem in problems}
    for sections, rule in RULES:
        if broken.isdisjoint(sections):
            problems.extend(rule(*(getattr(config, section) for section in sections)))
    if problems:
        raise ConfigError(path.name, [str(problem) for problem in sorted(problems, key=_position)], HINT)
    return config


def _sound_sections(document: dict[str, Any], broken: set[str]) -> Config:
    """The configuration with defaults in place of broken sections: enough for rules that do not read those."""
    return Config.model_validate({name: value for name, value in document.items() if name not in broken})


def _position(problem: Problem) -> int:
    known = list(Config.model_fields)
    section = str(problem.path[0]) if problem.path else ""
    return known.index(section) if section in known else len(known)


def config_schema() -> dict[str, Any]:
    """JSON Schema of pipeline.yaml, with a description of every key, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
