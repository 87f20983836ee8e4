"""health.own_rules: looked at before anything starts, shipped with the code, named by their content."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from health.rules import judging
from health.rules import settings as rule_settings

from pipeline import own_rules
from pipeline.compile import compile_pipeline
from pipeline.compiled import CompiledOnDisk
from pipeline.errors import ConfigError, DarkroomError

ENTRYPOINTS = Path(__file__).parent.parent / "entrypoints"
RULE = "from health import verdicts\nimport numpy\n\n\ndef rule(records):\n    return False, 'fine'\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/mine.py").write_text(RULE)
    (tmp_path / "rules/beside.py").write_text("")
    text = "health: {rules: {Overfit: {}}, own_rules: [{file: rules/mine.py, on_issue: stop}]}\n"
    (tmp_path / "pipeline.yaml").write_text(text)
    return tmp_path


def read(project: Path, *files: str) -> dict[str, bytes]:
    return own_rules.read(files or ("rules/mine.py",), str(project / "pipeline.yaml"), str(ENTRYPOINTS))


def compiled(project: Path) -> CompiledOnDisk:
    return compile_pipeline(str(project / "pipeline.yaml"), str(project / ".darkroom"))


def told(made: CompiledOnDisk) -> dict[str, Any]:
    steps = {step["Name"]: step["Arguments"] for step in json.loads(made.definition())["Steps"]}
    return dict(steps["TrainModel"]["HyperParameters"])


def test_a_rule_may_import_the_modules_of_health_and_those_of_the_image(project: Path) -> None:
    assert read(project) == {"mine.py": RULE.encode()}


def test_the_file_travels_to_where_train_py_is_told_it_lies_and_an_edited_one_is_compiled_anew(
    project: Path, tmp_path: Path
) -> None:
    made = compiled(project)
    [sources] = [path for uri, path in made.assets() if uri.endswith("/sourcedir.tar.gz")]
    with tarfile.open(sources) as packed:
        packed.extractall(tmp_path / "code", filter="data")
    text = told(made)["health_rules"]
    assert text == "Overfit+own/rules/mine.py:on_issue=stop"
    assert judging.opened(rule_settings.parse(text)[1], tmp_path / "code")

    assert made.is_current()
    (project / "rules/mine.py").write_text(RULE.replace("fine", "well"))
    assert not made.is_current()
    edited = compiled(project)
    assert edited.folder != made.folder
    assert edited.definition() != made.definition()
    (project / "rules/mine.py").write_text(RULE)
    assert compiled(project).folder == made.folder
    (project / "rules/mine.py").unlink()
    assert not made.is_current()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(", "mine.py:1: '(' was never closed"),
        ("return 3", "mine.py:1: 'return' outside function"),
        ("x = 'a\0b'", "mine.py"),
        ("def rules(records): ...", "mine.py has no function rule: write def rule(records) -> tuple[bool, str]"),
        ("import beside\nrule = print", "mine.py imports beside, which lies beside it: a rule is one file"),
    ],
)
def test_a_file_that_can_be_no_rule_is_told_with_its_key(project: Path, text: str, says: str) -> None:
    (project / "rules/mine.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(project)
    [problem] = caught.value.problems
    assert problem.startswith('health.own_rules[0]: "rules/mine.py": ')
    assert says in problem


def test_all_that_cannot_travel_are_told_at_once(project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(project, "rules", "rules/mine.py", "gone.py")
    first, second = caught.value.problems
    assert first == 'health.own_rules[0]: "rules": is a folder, not a file'
    assert second.startswith('health.own_rules[2]: "gone.py": does not exist; looked for ')


def test_a_networks_own_file_in_the_place_of_a_rule_is_refused() -> None:
    assert own_rules.beside({"net.py": b"1"}, {"mine.py": b"2"}) == {"net.py": b"1", "rules/mine.py": b"2"}
    with pytest.raises(DarkroomError, match="model.file brings rules/mine.py along"):
        own_rules.beside({"rules/mine.py": b"1"}, {"mine.py": b"2"})
