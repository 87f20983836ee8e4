"""The rules of a job as one hyperparameter, which a shell and a reader of JSON leave alone."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
from health.rules.judging import Setting
from health.rules.rulebook import BOOK
from health.rules.settings import checked, parse, printed
from hypothesis import given
from hypothesis import strategies as st
from refusal import Refusal

TEXT = "VanishingGradient:threshold=1e-08,on_issue=stop+Overfit+rules/mine.py:on_issue=stop"
SETTINGS = (
    Setting("VanishingGradient", {"threshold": 1e-8}, "stop"),
    Setting("Overfit"),
    Setting("rules/mine.py", {}, "stop"),
)
PATTERN = st.text(st.characters(exclude_characters=",", exclude_categories=["Cs", "Z", "C"]), min_size=1).map(re.escape)
NUMBERS = st.floats(0, 1e6)


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    rule = draw(st.sampled_from(["AllZero", "LossNotDecreasing", "SaturatedActivation", "ExplodingTensor"]))
    values: dict[str, st.SearchStrategy[Any]] = {
        "AllZero": {"tensor_regex": st.lists(PATTERN, min_size=1).map(tuple), "threshold": st.floats(0, 100)},
        "LossNotDecreasing": {"num_steps": st.integers(1, 1000), "mode": st.sampled_from(["EVAL", "TRAIN"])},
        "SaturatedActivation": {"threshold_tanh": st.tuples(NUMBERS.map(lambda value: -value - 1e-3), NUMBERS)},
        "ExplodingTensor": {"only_nan": st.booleans(), "collection_names": st.just(("weights", "losses"))},
    }[rule]
    given = draw(st.fixed_dictionaries({}, optional=values))
    return Setting(rule, given, draw(st.sampled_from(["warn", "stop"])))


def test_rules_are_read_as_they_are_written() -> None:
    assert parse(TEXT) == SETTINGS
    assert printed(SETTINGS) == TEXT


def test_no_rules_at_all_are_a_word_of_their_own() -> None:
    assert parse("none") == ()
    assert printed(()) == "none"


@given(st.lists(settings(), max_size=3))
def test_whatever_is_printed_is_read_again_and_means_nothing_to_a_shell_or_to_json(rules: list[Setting]) -> None:
    text = printed(rules)
    assert parse(text) == tuple(rules)
    assert shlex.split(text) == [text]
    assert re.fullmatch("[A-Za-z0-9_./:=,+@-]+", text)
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_values_of_yaml_are_taken_as_they_are() -> None:
    setting = checked("SaturatedActivation", {"threshold_sigmoid": [-20, 16.5], "on_issue": "stop"})
    assert setting == Setting("SaturatedActivation", {"threshold_sigmoid": (-20.0, 16.5)}, "stop")
    assert checked("SaturatedActivation", {"threshold_tanh": "(-9, 9.5)"}).given == {"threshold_tanh": (-9.0, 9.5)}
    assert checked("SaturatedActivation", {"threshold_tanh": 9.5}).given == {"threshold_tanh": (-9.5, 9.5)}
    assert checked("ExplodingTensor", {"only_nan": True}).given == {"only_nan": True}
    assert checked("AllZero", {"tensor_regex": "fc.*, .*relu_output"}).given["tensor_regex"] == (
        "fc.*",
        ".*relu_output",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("VanishingGradients", "did you mean VanishingGradient?"),
        ("", "no rule ''"),
        ("Overfit+", "no rule ''"),
        ("TreeDepth", "it is about XGBoost"),
        ("ProfilerReport", "the profile is always written"),
        ("Overfit:patience=0", "take a whole number from 1"),
        ("Overfit:ratio_treshold=0.1", "did you mean ratio_threshold?"),
        ("Overfit:ratio_threshold=nan", "take a number from 0"),
        ("Overfit:patience=1,patience=2", "gives a parameter twice"),
        ("Overfit:patience=1,", "unknown parameter ''"),
        ("Overfit:ratio_threshold", "take a number from 0"),
        ("Overfit:on_issue=mail", "take warn or stop"),
        ("Overfit:base_trial=x", "looks at this job itself"),
        ("UnchangedTensor:rtol=0.1", "take 1e-05, which is measured while recording"),
        ("WeightUpdateRatio:num_steps=5", "take 1, which is measured"),
        ("LossNotDecreasing:mode=EVALUATE", "take EVAL or TRAIN or GLOBAL"),
        ("LossNotDecreasing:use_losses_collection=true", "there is one loss"),
        ("AllZero:collection_names=losses@2Cbiass", "take some of all, weights"),
        ("AllZero:tensor_regex=@28", "take regular expressions"),
        ("AllZero:tensor_regex=@FF", "is no text"),
        ("SaturatedActivation:threshold_tanh=3@2C-3", "take a minimum and a maximum"),
        ("SaturatedActivation:threshold_inactivity=1", "counted here"),
        ("ExplodingTensor:only_nan=maybe", "take true or false"),
        ("StalledTrainingRule:stop_training_on_fire=True", "on_issue: stop"),
        ("StalledTrainingRule:threshold=0", "take a number above 0"),
        ("my rule.py", "name the file by letters"),
        ("mine.py:threshold=3", "has its parameters in its file"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(text: str, words: str) -> None:
    with pytest.raises(Refusal, match=re.escape(words)):
        parse(text)


def test_rules_that_are_too_long_for_a_hyperparameter_are_refused() -> None:
    with pytest.raises(Refusal, match="of 2,500"):
        printed([Setting("AllZero", {"tensor_regex": ("*" * 30,)})] * 40)


def test_all_rules_by_their_defaults_fit_into_a_hyperparameter() -> None:
    assert len(printed([checked(name, {"on_issue": "stop"}) for name in BOOK])) < 1250
