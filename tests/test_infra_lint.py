"""cfn-lint over templates of other configurations; `make check` has it look at the committed one."""

from __future__ import annotations

import json

import pytest
from cfnlint.api import lint
from cfnlint.rules import Match
from rendered import ENTRYPOINTS, ROOT, about, changed

from pipeline.config import load_config
from pipeline.definition import Definition
from pipeline.infra import setting, template

GOLDEN = ROOT / "tests/data/golden"
OTHERS = "arn:aws:lambda:us-east-1:444455556666:function:deploy"


def findings(where: setting.Setting) -> list[Match]:
    return list(lint(template.as_json(where), regions=[where.config.pipeline.region]))


@pytest.mark.parametrize("name", ["imagefolder_secure", "managed"])
def test_a_template_with_keys_networks_and_roles_of_steps_is_clean(name: str) -> None:
    definition = Definition.parse((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    assert findings(setting.of(load_config(GOLDEN / f"{name}.yaml"), definition, ENTRYPOINTS)) == []


def test_a_template_without_functions_in_another_region_with_another_issuer_is_clean() -> None:
    config = changed(
        deploy={"function": OTHERS}, evaluation={"compare_with_champion": False}, pipeline={"region": "eu-central-1"}
    )
    assert findings(about(config, issuer="gitlab.com")) == []


def test_the_linter_finds_a_misspelt_property() -> None:
    queue = {**template.template(about())["Resources"]["UndeliveredEvents"]}
    queue["Properties"] = {**queue["Properties"], "MessageRetention": 1}
    assert "MessageRetention" in str(lint(json.dumps({"Resources": {"Queue": queue}}), regions=["us-east-1"]))
