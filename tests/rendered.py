"""Templates that tests look at: that of pipeline.yaml as it is shipped, and those of changed configurations."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pipeline.config import Config, load_config
from pipeline.definition import Definition
from pipeline.infra import setting, template

ROOT = Path(__file__).parent.parent
ENTRYPOINTS = ROOT / "entrypoints"


def about(config: Config | None = None, **more: Any) -> setting.Setting:
    """With the definition that the shipped configuration compiles to, and the role of this one in it."""
    config, text = config or _config(), (ROOT / "tests/data/golden/shipped.json").read_text(encoding="utf-8")
    text = text.replace(_config().pipeline.role_arn, config.pipeline.role_arn)
    return setting.of(config, Definition.parse(text), ENTRYPOINTS, **more)


@cache
def _config() -> Config:
    return load_config(ROOT / "pipeline.yaml")


@cache
def shipped() -> dict[str, Any]:
    return template.template(about())


def changed(**sections: dict[str, Any]) -> Config:
    """The shipped configuration with other values: changed(deploy={"function": …})."""
    config = _config()
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=values) for name, values in sections.items()}
    )
