"""The section health: what it takes is what the rulebook of train.py takes, and both write it alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from health.rules import parameters, rulebook
from health.rules import settings as rule_settings
from health.rules.tensor_rows import COLLECTIONS
from hypothesis import given, settings
from hypothesis import strategies as st
from refusal import Refusal

from pipeline.config import load_config
from pipeline.config.health import LONGEST, ON_ISSUE, HealthSection, health_rules, wire
from pipeline.config.health_rules import COLLECTIONS as OUR_COLLECTIONS
from pipeline.config.health_rules import COMMON, NOT_HERE, RULES
from pipeline.errors import ConfigError

# Parameters that the two sides call by words of their own: a text there, a list of YAML here.
KINDS = ("expression", "minimum and a maximum", "some of", "or leave it out", "leave it out")
NUMBERS = st.floats(-1e31, 1e31) | st.integers(-3, 10**10) | st.sampled_from([0, 1, 1e-9, 1e-5, 1e-8, 100, 1e30])
TEXTS = st.text(max_size=5) | st.sampled_from(["EVAL", "TRAIN", "weights", "all,losses", "fc.*, .*bias", "a{1,2}", "("])
VALUES = NUMBERS | TEXTS | st.booleans() | st.none() | st.lists(NUMBERS, max_size=3) | st.lists(TEXTS, max_size=3)


def section(rules: dict[str, Any], **more: Any) -> HealthSection:
    return HealthSection(rules=rules, **more)


def says(**keys: Any) -> list[str]:
    return [str(problem) for problem in health_rules(HealthSection(**keys))]


def test_both_sides_know_the_same_rules_parameters_and_reasons() -> None:
    assert {name: list(rule.takes) for name, rule in RULES.items()} == {
        name: list(rule.types) for name, rule in rulebook.BOOK.items()
    }
    assert {name: rule.refused for name, rule in RULES.items()} == {
        name: rule.refused for name, rule in rulebook.BOOK.items()
    }
    assert NOT_HERE == rulebook.NOT_HERE
    assert COMMON == rule_settings.COMMON
    assert set(OUR_COLLECTIONS) == set(COLLECTIONS)
    assert (ON_ISSUE, LONGEST) == (rule_settings.ON_ISSUE, rule_settings.LENGTH)


def test_both_sides_have_the_same_ranges_in_the_same_words() -> None:
    ours = {(name, key): kind.words for name, rule in RULES.items() for key, kind in rule.takes.items()}
    theirs = {(name, key): kind.words for name, rule in rulebook.BOOK.items() for key, kind in rule.types.items()}
    plain = {place: words for place, words in theirs.items() if not any(kind in words for kind in KINDS)}
    assert len(plain) > 40
    for place, words in plain.items():
        assert ours[place].removeprefix("one of ").replace(", ", " or ") == words, place


@settings(max_examples=400, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(RULES)), data=st.data())
def test_what_is_taken_is_written_as_train_py_would_and_read_there(name: str, data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from([*RULES[name].takes, "on_issue"]), unique=True, max_size=3))
    written = {key: data.draw(st.sampled_from(ON_ISSUE) if key == "on_issue" else VALUES) for key in keys}
    health = section({name: written})
    if not list(health_rules(health)):
        setting = rule_settings.checked(name, written)
        assert wire(health) == rule_settings.printed([setting])
        assert rule_settings.parse(wire(health)) == (setting,)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(place=st.sampled_from([(n, k) for n, rule in RULES.items() for k in rule.takes]), value=NUMBERS | st.booleans())
def test_a_number_is_refused_where_train_py_would_refuse_it(place: tuple[str, str], value: Any) -> None:
    name, key = place
    kind = rulebook.BOOK[name].types[key]
    if kind in (parameters.PATTERNS, parameters.NAMES, parameters.RANGE):
        return  # texts there, in which one number stands for both sides; lists here
    try:
        rule_settings.checked(name, {key: value})
    except Refusal:
        assert list(health_rules(section({name: {key: value}})))
    else:
        assert not list(health_rules(section({name: {key: value}})))


def test_rules_without_parameters_and_none_at_all_have_their_words() -> None:
    assert wire(section({"Overfit": None, "DeadRelu": {}})) == "Overfit+DeadRelu"
    assert wire(section({})) == rule_settings.NONE
    assert rule_settings.parse(wire(HealthSection()))


def test_own_rules_travel_in_a_folder_of_their_own() -> None:
    text = wire(section({}, own_rules=["rules/a.py", {"file": "../b.py", "on_issue": "stop"}]))
    assert text == "own/rules/a.py+own/rules/b.py:on_issue=stop"
    assert rule_settings.printed(rule_settings.parse(text)) == text


@pytest.mark.parametrize(
    ("rules", "line"),
    [
        ({"VanishingGradients": {}}, "VanishingGradients: is not a rule; did you mean `VanishingGradient`?"),
        ({"Speed": {}}, "Speed: is not a rule; known: AllZero, BatchSize, "),
        ({"TreeDepth": {}}, "TreeDepth: is not judged here: it is about XGBoost; leave it out"),
        ({"rules/mine.py": {}}, "mine.py: is a file; a rule of your own stands in health.own_rules"),
        ({"Overfit": 3}, "Overfit: 3 is not allowed; allowed: {}, or parameters and values: start_step, patience, "),
        ({"AllZero": {"thresold": 3}}, "AllZero.thresold: is not a parameter of it; did you mean `threshold`?"),
        ({"AllZero": {"base_trial": "x"}}, "AllZero.base_trial: the rule looks at this job itself: leave it out"),
        ({"AllZero": {"threshold": "9"}}, 'threshold: "9" is not allowed; allowed: a number from 0 to 100'),
        ({"AllZero": {"on_issue": "fail"}}, 'AllZero.on_issue: "fail" is not allowed; allowed: one of warn, stop'),
        ({"AllZero": {"on_issue": ["stop"]}}, "AllZero.on_issue: ['stop'] is not allowed; allowed: one of warn, stop"),
        ({"AllZero": {"tensor_regex": "("}}, 'tensor_regex: "(" is not allowed; allowed: a regular expression'),
        ({"AllZero": {"tensor_regex": ["a{1,2}"]}}, "allowed: a regular expression without a comma, or a list of some"),
        ({"DeadRelu": {"tensor_regex": "a{99999999999}"}}, "is not allowed; allowed: a regular expression"),
        ({"AllZero": {"collection_names": "gradient"}}, "allowed: a list of some of all, weights, biases, gradients"),
        ({"Overfit": {"patience": 0}}, "Overfit.patience: 0 is not allowed; allowed: a whole number from 1 to 1000000"),
        ({"WeightUpdateRatio": {"epsilon": 1}}, "epsilon: 1 is not allowed; allowed: 1e-09 only, which is measured"),
        ({"SaturatedActivation": {"threshold_tanh": [3, 1]}}, "allowed: a minimum and a maximum, such as [-23, 16.9"),
    ],
)
def test_each_mistake_is_named_with_its_key_and_what_is_allowed(rules: dict[str, Any], line: str) -> None:
    [problem] = says(rules=rules)
    assert problem.startswith("health.rules.")
    assert line in problem


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (["s3://b/x.py"], 'own_rules[0]: "s3://b/x.py": a Python file of this machine; it travels with the code'),
        (["rules/a b.py"], "its name is of letters, digits, _ and -, and ends in .py, such as rules/mine.py"),
        (["a.py", "rules/a.py"], 'own_rules[1]: "rules/a.py": has the name of "a.py": rename it, or leave it out'),
        (["a.py", {"file": "a.py", "on_issue": "stop"}], 'own_rules[1]: "a.py": stands here a second time'),
    ],
)
def test_a_rule_of_ones_own_that_cannot_travel_is_named(files: list[Any], line: str) -> None:
    [problem] = says(own_rules=files)
    assert line in problem


def test_more_rules_than_a_hyperparameter_holds_are_refused() -> None:
    [problem] = says(rules={"AllZero": {"tensor_regex": "é" * 500}})
    assert problem == "health.rules: take 3,021 characters of the 2,500 of a hyperparameter: use fewer, or defaults"


def test_every_rule_with_every_parameter_fits_into_a_hyperparameter(tmp_path: Path) -> None:
    values = {"on_issue": "stop"}
    text = wire(section(dict.fromkeys(RULES, values), own_rules=[f"rule_{n}.py" for n in range(20)]))
    assert len(text) < LONGEST


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    rules=st.dictionaries(st.sampled_from(sorted(RULES)) | st.text(max_size=5), VALUES | st.dictionaries(TEXTS, VALUES))
)
def test_anything_is_taken_or_named(rules: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "pipeline.yaml"
    path.write_text(json.dumps({"health": {"rules": rules}}))
    try:
        assert load_config(path).health.hyperparameters["health_rules"]
    except ConfigError as exc:
        assert all("\n" not in line for line in exc.problems)
