"""pipeline.yaml → a frozen, typed Config, or every problem of the file at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config.model import Config
from pipeline.config.problems import Problem, problems_of
from pipeline.config.rules import RULES
from pipeline.config.section import Section
from pipeline.config.yaml_file import HINT, read_yaml
from pipeline.errors import ConfigError

__all__ = ["Config", "config_schema", "load_config"]


def load_config(path: Path) -> Config:
    """The configuration in `path`; ConfigError holds all problems, in the order of the sections."""
    document = read_yaml(path)
    try:
        config, problems = Config.model_validate(document), []
    except ValidationError as exc:
        problems = list(problems_of(exc, document, config_schema()))  # costs more than all the rest
        config = _sound_keys(document, problems)
    broken = {tuple(problem.path[:2]) for problem in problems}
    for sections, rule in RULES:
        problems.extend(_told(rule(*(_Known(getattr(config, name), name, broken) for name in sections))))
    if problems:
        raise ConfigError(path.name, [str(problem) for problem in sorted(problems, key=_position)], HINT)
    return config


class _Wrong(Exception):
    """A rule asks for a key that is itself wrong."""


class _Known:
    """A section whose wrong keys cannot be read: what a rule would say of their defaults would mislead."""

    def __init__(self, section: Section, name: str, broken: set[tuple[str | int, ...]]) -> None:
        self._section, self._name, self._broken = section, name, broken

    def __getattr__(self, key: str) -> Any:
        if (self._name,) in self._broken or (self._name, key) in self._broken:
            raise _Wrong
        derived = getattr(type(self._section), key, None)
        if isinstance(derived, property) and derived.fget is not None:
            return derived.fget(self)
        return getattr(self._section, key)


def _told(rule: Iterator[Problem]) -> Iterator[Problem]:
    """What a rule says until it asks for a key that is itself wrong."""
    with suppress(_Wrong):
        yield from rule


def _sound_keys(document: dict[str, Any], problems: list[Problem]) -> Config:
    """The configuration without its wrong keys: enough for rules, which do not get to see those."""
    sound: dict[str, Any] = {
        name: dict(value) if isinstance(value, dict) else value for name, value in document.items()
    }
    for section, *keys in (problem.path for problem in problems):
        if keys and isinstance(sound.get(str(section)), dict):
            sound[str(section)].pop(keys[0], None)
        else:
            sound.pop(str(section), None)
    return Config.model_validate(sound)


def _position(problem: Problem) -> int:
    known = list(Config.model_fields)
    section = str(problem.path[0]) if problem.path else ""
    return known.index(section) if section in known else len(known)


@cache
def config_schema() -> dict[str, Any]:
    """JSON Schema of pipeline.yaml, with a description of every key, for editors. Made once: not to be changed."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
