"""The rulebook: names and defaults as AWS has them, what rules need, how they scale, and that none ends a training."""

from __future__ import annotations

import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from health import verdicts
from health.rules import judging
from health.rules.judging import Setting, effective, judged, needs, opened
from health.rules.parameters import show
from health.rules.rulebook import BOOK, Rule
from health.rules.scaling import Job
from health.verdicts import ERROR, ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED, Verdict
from health.view import Records
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

ROOT = Path(__file__).parent.parent
# docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html
DEFAULTS: dict[str, dict[str, Any]] = {
    "VanishingGradient": {"threshold": 0.0000001},
    "ExplodingTensor": {"collection_names": None, "tensor_regex": None, "only_nan": False},
    "PoorWeightInitialization": {
        "activation_inputs_regex": (".*relu_input",),
        "threshold": 10.0,
        "distribution_range": 0.001,
        "patience": 5,
        "steps": 10,
    },
    "SaturatedActivation": {
        "collection_names": None,
        "tensor_regex": None,
        "threshold_tanh": (-9.4999, 9.4999),
        "threshold_sigmoid": (-23, 16.99999),
        "threshold_layer": 50.0,
    },
    "DeadRelu": {"tensor_regex": None, "threshold_inactivity": 1.0, "threshold_layer": 50.0},
    "WeightUpdateRatio": {"num_steps": 1, "large_threshold": 10.0, "small_threshold": 1e-8, "epsilon": 1e-9},
    "AllZero": {"collection_names": None, "tensor_regex": None, "threshold": 100},
    "TensorVariance": {"collection_names": None, "tensor_regex": None, "max_threshold": None, "min_threshold": None},
    "UnchangedTensor": {
        "collection_names": None,
        "tensor_regex": None,
        "num_steps": 3,
        "rtol": 1e-5,
        "atol": 1e-8,
        "equal_nan": False,
    },
    "ClassImbalance": {"threshold_imbalance": 10, "threshold_misprediction": 0.7, "samples": 500},
    "Confusion": {"min_diag": 0.9, "max_off_diag": 0.1},
    "LossNotDecreasing": {"num_steps": 10, "diff_percent": 0.0, "mode": None},
    "Overfit": {"start_step": 0, "patience": 1, "ratio_threshold": 0.1},
    "Overtraining": {"patience_train": 5, "patience_validation": 10, "delta": 0.1},
    "StalledTrainingRule": {"threshold": 1800},
}
LONG = Job(steps=10_000, epochs=30, every=100, classes=10, examples=1_000_000)


def judge(name: str, records: Records, job: Job = LONG, **given: Any) -> Verdict:
    setting = Setting(name, given)
    return judged(setting, opened(setting), records, job)


@pytest.mark.parametrize("name", DEFAULTS)
def test_parameters_and_defaults_are_aws_s(name: str) -> None:
    assert judging.defaults(BOOK[name]) == DEFAULTS[name]


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_rule_tells_aws_s_logic_and_its_own(name: str) -> None:
    text = inspect.getdoc(BOOK[name].function) or ""
    assert "(AWS)" in text.partition("Ours: ")[0]
    assert len(judging.ours(BOOK[name])) > 40


@pytest.mark.parametrize("name", BOOK)
def test_every_default_is_a_value_that_may_be_given(name: str) -> None:
    rule = BOOK[name]
    for key, default in judging.defaults(rule).items():
        assert default is None or rule.types[key].parse(show(default)) == default


@pytest.mark.parametrize("name", BOOK)
def test_every_argument_of_a_rule_is_a_parameter_or_known_of_the_job(name: str) -> None:
    rule = BOOK[name]
    arguments = set(inspect.signature(rule.function).parameters) - {"records"}
    assert arguments == set(rule.types) | set(rule.of_job)
    assert set(rule.of_job) <= set(Job._fields)
    assert not set(rule.refused) & set(rule.types)


@pytest.mark.parametrize("name", BOOK)
def test_without_any_record_every_rule_says_what_is_missing(name: str) -> None:
    verdict = judge(name, Records.of())
    assert (verdict.rule, verdict.status, verdict.points) == (name, NOT_EVALUATED, 0)
    assert verdict.message
    assert verdict.advice
    assert verdict.ours == judging.ours(BOOK[name])


def test_a_verdict_tells_what_was_scaled_and_what_is_ours() -> None:
    losses = Records.of(steps={"loss": np.linspace(2, 1, 200)})
    verdict = judge("LossNotDecreasing", losses, Job(steps=200, epochs=1))
    assert verdict.status == NO_ISSUES_FOUND
    assert "(num_steps is 20 instead of 10, in a job of 200 steps and 1 epoch)" in verdict.message
    assert verdict.ours.startswith("validation is judged where the job has two")


def test_what_is_given_is_never_scaled() -> None:
    losses = Records.of(steps={"loss": np.linspace(2, 1, 200)})
    verdict = judge("LossNotDecreasing", losses, Job(steps=200, epochs=1), num_steps=10)
    assert ("instead" in verdict.message, "19 comparisons" in verdict.message) == (False, True)


@pytest.mark.parametrize(
    ("name", "job", "scaled"),
    [
        ("LossNotDecreasing", Job(20, 2), {"num_steps": 5}),
        ("LossNotDecreasing", Job(3, 1), {"num_steps": 1}),
        ("LossNotDecreasing", Job(100_000, 50), {"num_steps": 500}),
        ("PoorWeightInitialization", Job(6, 1), {"steps": 6, "patience": 3}),
        ("PoorWeightInitialization", Job(50, 1), {"steps": 10, "patience": 5}),
        ("PoorWeightInitialization", Job(150, 1), {"steps": 30, "patience": 15}),
        ("PoorWeightInitialization", Job(10_000, 50), {"steps": 200, "patience": 100}),
        ("Overfit", Job(100, 19), {"patience": 1}),
        ("Overfit", Job(100, 50), {"patience": 5}),
        ("Overtraining", Job(100, 2), {"patience_train": 1, "patience_validation": 1}),
        ("Overtraining", Job(100, 8), {"patience_train": 2, "patience_validation": 3}),
        ("Overtraining", Job(100, 90), {"patience_train": 5, "patience_validation": 10}),
        ("UnchangedTensor", Job(100, 1, every=30), {"num_steps": 2}),
        ("UnchangedTensor", Job(100, 1, every=5), {"num_steps": 3}),
        ("ClassImbalance", Job(100, 2, classes=133, examples=1_000_000), {"samples": 6650}),
        ("ClassImbalance", Job(100, 2, classes=10, examples=300), {"samples": 150}),
        ("StalledTrainingRule", Job(1000, 2), {"threshold": 500.0}),
        ("StalledTrainingRule", Job(10, 2), {"threshold": 300.0}),
        ("StalledTrainingRule", Job(100_000, 2), {"threshold": 1800.0}),
    ],
)
def test_intervals_and_patience_scale_with_the_job(name: str, job: Job, scaled: dict[str, Any]) -> None:
    records = Records.of(steps={"seconds": [0.4, 0.5, 0.6]})
    assert BOOK[name].scaled is not None
    assert BOOK[name].scaled(job, records) == scaled


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (2, 1), (8, 2), (40, 4), (180, 8), (1000, 3)])
def test_no_job_is_too_short_for_rules_of_losses(steps: int, epochs: int) -> None:
    """But one of a single step or epoch, that nothing can be compared with."""
    place = np.arange(steps)
    table = {"step": place, "epoch": place * epochs // steps + 1, "loss": 2.0, "mode": "train"}
    ends = [(number + 1) * steps // epochs - 1 for number in range(epochs)]
    rows = {
        "step": [*place, *ends],
        "epoch": [*table["epoch"], *range(1, epochs + 1)],
        "mode": ["train"] * steps + ["validation"] * epochs,
        "loss": 2.0,
    }
    records = Records.of(steps=rows)
    job = Job(steps, epochs)
    assert judge("LossNotDecreasing", records, job).status == (NOT_EVALUATED if steps == 1 else ISSUES_FOUND)
    assert judge("Overtraining", records, job).status == (NOT_EVALUATED if epochs == 1 else ISSUES_FOUND)
    assert judge("Overfit", records, job).status == (NOT_EVALUATED if epochs == 1 else NO_ISSUES_FOUND)


def test_a_job_that_will_be_validated_again_is_not_judged_by_its_first_batches() -> None:
    records = Records.of(steps={"loss": [2.0] * 20})
    assert judge("LossNotDecreasing", records, Job(40, 2)).status == NOT_EVALUATED
    assert judge("LossNotDecreasing", records, Job(40, 1)).status == ISSUES_FOUND


def test_the_time_reaches_the_rule_that_asks_for_it() -> None:
    records = Records.of(steps={"ended": [100.0], "seconds": 1.0})
    assert judge("StalledTrainingRule", records, LONG._replace(now=5000.0)).status == ISSUES_FOUND
    assert judge("StalledTrainingRule", records).status == NO_ISSUES_FOUND


def test_a_rule_that_breaks_is_an_error_with_its_line() -> None:
    broken = Rule(lambda records: records.steps["nothing"], ())
    verdict = judged(Setting("Broken"), broken, Records.of(), LONG)
    assert (verdict.rule, verdict.status) == ("Broken", ERROR)
    assert verdict.message.startswith("test_rulebook.py, line ")
    assert "KeyError" in verdict.message


def test_a_rule_of_one_s_own_is_found_beside_the_program(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def rule(records):\n    return True, 'no good'\n")
    setting = Setting("mine.py", {}, "stop")
    verdict = judged(setting, opened(setting, tmp_path), Records.of(), LONG)
    assert (verdict.rule, verdict.status, verdict.message) == ("mine", ISSUES_FOUND, "no good")
    assert needs((setting,)) >= {"gradient", "weight", "input", "output", "update", "loss", "classes"}


def test_a_job_knows_what_its_rules_need_and_what_the_recorder_has_to_measure_by() -> None:
    settings = (Setting("DeadRelu", {"threshold_inactivity": 5.0}), Setting("Overfit"))
    assert needs(settings) == {"output", "loss"}
    assert needs(()) == set()
    assert effective(settings, "DeadRelu") == {**DEFAULTS["DeadRelu"], "threshold_inactivity": 5.0}
    assert effective(settings, "SaturatedActivation") == DEFAULTS["SaturatedActivation"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_verdict_becomes_json_whatever_its_value(value: float) -> None:
    verdict = verdicts.issues("Overfit", 3, "so", "do", np.int64(4), "loss", np.float64(value), 0.1)  # type: ignore[arg-type]
    body = json.loads(json.dumps(verdicts.body(verdict), allow_nan=False))
    assert (body["step"], float(body["value"])) == (4, pytest.approx(value, nan_ok=True))
    assert list(body) == list(Verdict._fields)


def test_the_rules_of_health_stand_in_their_table_with_their_parameters_and_defaults() -> None:
    text = (ROOT / "docs" / "health.md").read_text(encoding="utf-8")
    tables = text.partition("## Of the training")[2].partition("## What each rule was tried on")[0]
    rows = [line.split("|") for line in tables.splitlines() if re.match(r"\| [A-Z][A-Za-z]+ \|", line)]
    listed = {row[1].strip(): dict(re.findall(r"(\w+)(?:=(-?[\w.*-]+|\([^)]*\)))?", row[2])) for row in rows}
    assert listed.keys() == BOOK.keys()
    for name, rule in BOOK.items():
        told = {key: value for key, value in listed[name].items() if key not in ("minutes",)}
        assert told.keys() == rule.types.keys(), name
        for key, default in judging.defaults(rule).items():
            if told[key]:
                assert rule.types[key].parse(told[key]) == default, (name, key)
            else:
                assert default is None, (name, key)


FLOATS = arrays.arrays(np.float64, 12, elements=st.floats(allow_nan=True, allow_infinity=True, width=32))


@pytest.mark.parametrize("name", DEFAULTS)
@given(
    figures=FLOATS,
    losses=FLOATS,
    kinds=st.lists(st.sampled_from(["weight", "gradient", "update", "input", "output"]), min_size=12, max_size=12),
)
def test_no_figures_break_a_rule(name: str, figures: Any, losses: Any, kinds: list[str]) -> None:
    columns = ("mean", "mean_abs", "std", "min", "max", "p5", "p95", "ratio", "change", "below", "above")
    records = Records.of(
        steps={"step": np.arange(12) // 2, "loss": losses, "mode": ["train", "validation"] * 6, "ended": losses},
        tensors={
            "step": np.arange(12) // 3,
            "kind": kinds,
            "name": ["a.weight", "b.bias", "c"] * 4,
            "layer": ["ReLU", "Linear", "Tanh"] * 4,
            "count": 5,
            "zero_share": figures,
            "idle_share": figures,
            **dict.fromkeys(columns, figures),
        },
        classes=[{"step": 3, "epoch": 1, "mode": "train", "shown": [0, 600], "confusion": [[0, 0], [0, 0]]}],
    )
    assert judge(name, records).status in (NO_ISSUES_FOUND, ISSUES_FOUND, NOT_EVALUATED)
