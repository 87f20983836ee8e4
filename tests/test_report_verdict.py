"""The first screen of the page: what speaks against the model, and what to type."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from breeds import Breeds
from judged_training import FAILED, FINE, FOUND, MISSING
from reported import ARN, FakeSageMaker, at, definition, finished_run, metadata, step, words

from pipeline.client import Clients
from pipeline.control.health import Health, Rule
from pipeline.control.managed import Managed, Row
from pipeline.definition import Definition
from pipeline.models.evaluation import Evaluation, Paired
from pipeline.plan.prices import Money
from pipeline.report import charges, write_report
from pipeline.report.collect import Run, collect
from pipeline.report.steps import view as steps_view
from pipeline.report.verdict import BAD, GOOD, LOOK, NONE, SUMMARIES, view


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Succeeded, its gate passed, one version registered; nothing else is known."""
    clients = finished_run(tmp_path_factory.mktemp("run"))
    whole = collect(clients._replace(sagemaker=Breeds(clients.sagemaker.log, 1)), ARN)
    return dataclasses.replace(whole, sections={}, health=None)


def lines(run: Run, measured: Evaluation | None = None) -> dict[str, tuple[str, str, str]]:
    found = view(run, measured or Evaluation())
    return {line.subject: (line.state, line.word, line.text) for line in found["lines"]}


def summary(run: Run, measured: Evaluation | None = None) -> str:
    return str(view(run, measured or Evaluation())["summary"])


def gate(run: Run, outcome: str, *conditions: dict[str, Any]) -> Run:
    document = definition(Check="Condition")
    document["Steps"][0]["Arguments"] = {"Conditions": list(conditions), "IfSteps": [], "ElseSteps": []}
    rows = [step("Check", "Condition", 0, 1, Metadata={"Condition": {"Outcome": outcome}})] if outcome else []
    return dataclasses.replace(run, definition=Definition(document), steps=rows)


MARGIN = {
    "Type": "LessThanOrEqualTo",
    "LeftValue": {"Std:JsonGet": {"Path": "darkroom.behind_champion"}},
    "RightValue": 0.01,
}


def test_a_passed_gate_says_what_it_compared(run: Run) -> None:
    state, word, text = lines(run)["Gate"]
    assert (state, word) == (GOOD, "passed")
    assert text == "accuracy 0.9444 ≥ 0.7 (Threshold)"


def test_a_gate_that_was_not_passed_speaks_against_the_model(run: Run) -> None:
    closed = dataclasses.replace(gate(run, "False", MARGIN), evaluation={"darkroom": {"behind_champion": 0.05}})
    assert lines(closed)["Gate"] == (BAD, "not passed", "behind champion 0.05 ≤ 0.01")
    assert summary(closed) == SUMMARIES[BAD]


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        (0.99996, 1, "0.99996 ≤ 1"),
        (0.949996, 0.95, "0.949996 ≤ 0.95"),
        (0.00001, "0.01", "0.00001 ≤ 0.01"),
        (0.3, 0.1 + 0.2, "0.3 ≤ 0.30000000000000004"),
        (0.94444, 0.7, "0.9444 ≤ 0.7"),
        (1e400, 10**400, "inf ≤ 1000"),
    ],
)
def test_what_a_gate_compared_is_not_rounded_to_what_it_is_not(run: Run, left: Any, right: Any, told: str) -> None:
    condition = {"Type": "LessThanOrEqualTo", "LeftValue": left, "RightValue": right}
    assert lines(gate(run, "True", condition))["Gate"][2].startswith(told)


def test_a_gate_that_was_never_asked_is_no_passed_one(run: Run) -> None:
    assert lines(gate(run, "", MARGIN))["Gate"] == (LOOK, "not reached", "")
    plain = dataclasses.replace(run, definition=Definition(definition(A="Fail")), steps=[])
    assert lines(plain)["Gate"] == (NONE, "none", "")
    assert summary(plain) == SUMMARIES[NONE]


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ({"Type": "Or", "Conditions": []}, "Or of several values"),
        ({"Type": "Equals", "LeftValue": "a", "RightValue": {"Get": "Steps.X.Y"}}, "a = Steps.X.Y"),
        ({"Type": "LessThan", "LeftValue": None, "RightValue": {"Std:JsonGet": {}}}, "None <"),
        ({}, "None of several values"),
    ],
)
def test_conditions_of_somebody_else_are_told_as_far_as_they_go(run: Run, condition: Any, told: str) -> None:
    assert lines(gate(run, "True", condition))["Gate"][2].strip() == told


@pytest.mark.parametrize(
    ("verdict", "state", "said"),
    [("better", GOOD, GOOD), ("worse", BAD, BAD), ("no difference shown", NONE, GOOD), ("", LOOK, LOOK)],
)
def test_the_champion_speaks_by_its_interval(run: Run, verdict: str, state: str, said: str) -> None:
    arn = "arn:aws:sagemaker:us-east-1:111122223333:model-package/owls/3"
    measured = Evaluation(paired=Paired(arn, verdict, 0.01, (-0.005, 0.025)))
    found = lines(run, measured)["Champion"]
    assert found[0] == state
    assert "version 3" in found[2]
    assert ("+1.00 points" in found[2] and "-0.50 and +2.50" in found[2]) == bool(verdict)
    assert summary(run, measured) == SUMMARIES[said]


def health(*rules: Any, unknown: str | None = None) -> Health:
    told = [Rule(**{name: getattr(rule, name, None) for name in Rule._fields}) for rule in rules]
    return Health("Train", "s3://b/o", told, unknown, 10, 1, None, True, Managed([], []))


def test_issues_of_the_training_are_to_be_looked_at(run: Run) -> None:
    assert lines(dataclasses.replace(run, health=health(FINE)))["Training health"][:2] == (GOOD, "no issues")
    found = dataclasses.replace(run, health=health(FINE, FOUND))
    assert lines(found)["Training health"][:2] == (LOOK, "issues")
    assert summary(found) == SUMMARIES[LOOK]
    unknown = dataclasses.replace(run, health=health(unknown="no file"))
    assert lines(unknown)["Training health"] == (LOOK, "not known", "no file")


NOTED = Row("VanishingGradient", "NoIssuesFound", "")
LACKS = Row("CPUBottleneck", "Error", "Not evaluated: no GPU was seen")


@pytest.mark.parametrize(
    ("ours", "managed", "state", "word"),
    [
        ([], [], NONE, "not judged"),
        ([FAILED, MISSING], [], LOOK, "not judged"),
        ([], [LACKS], LOOK, "not judged"),
        ([FINE, FAILED], [], LOOK, "not all judged"),
        ([FINE], [Row("Overfit", "InProgress", "")], LOOK, "not all judged"),
        ([FINE, MISSING], [NOTED, LACKS], GOOD, "no issues"),
    ],
)
def test_health_is_good_only_where_it_was_judged(
    run: Run, ours: list[Any], managed: list[Row], state: str, word: str
) -> None:
    found = health(*ours)._replace(managed=Managed(managed, []))
    assert lines(dataclasses.replace(run, health=found))["Training health"][:2] == (state, word)


@pytest.mark.parametrize(
    ("findings", "state", "word"),
    [
        ([], GOOD, "in order"),
        ([{"finding": "leaks", "action": "move", "count": 2}], GOOD, "mended"),
        ([{"finding": "leaks", "action": "warn", "count": 2}], LOOK, "1 to look at"),
        ([{"finding": "ignored_files"}], LOOK, "1 to look at"),
    ],
)
def test_findings_that_nothing_was_done_about_are_to_be_looked_at(
    run: Run, findings: list[Any], state: str, word: str
) -> None:
    found = dataclasses.replace(run, sections={"dataset": {"findings": findings}})
    assert lines(found)["Data"][:2] == (state, word)


@pytest.mark.parametrize(
    ("status", "commands"),
    [
        ("PendingManualApproval", ["approve 7 --group breeds", "reject 7 --group breeds"]),
        ("Approved", ["reject 7 --group breeds"]),
        ("Rejected", ["approve 7 --group breeds"]),
    ],
)
def test_what_to_type_depends_on_what_was_decided(run: Run, status: str, commands: list[str]) -> None:
    package = {**run.packages[0], "ModelApprovalStatus": status}
    there = dataclasses.replace(run, packages=[package], options=" --target aws")
    (decision,) = view(there, Evaluation())["decisions"]
    assert [command.partition(" --reason")[0] for command in decision["commands"]] == [
        f"darkroom {command}" for command in commands
    ]
    assert all(command.endswith(" --target aws") for command in decision["commands"])
    assert ("--again" in "".join(decision["commands"])) == (status == "Rejected")


def test_a_name_of_a_group_is_quoted_for_the_shell(run: Run) -> None:
    package = {**run.packages[0], "ModelPackageGroupName": "a; rm -rf ~"}
    (decision,) = view(dataclasses.replace(run, packages=[package]), Evaluation())["decisions"]
    assert decision["commands"][0].startswith("darkroom approve 7 --group 'a; rm -rf ~' ")


def test_a_run_that_failed_speaks_for_itself(tmp_path_factory: pytest.TempPathFactory) -> None:
    clients = finished_run(tmp_path_factory.mktemp("failed"))
    assert isinstance(clients.sagemaker, FakeSageMaker)
    failed = collect(clients, ARN)
    assert lines(failed)["Execution"] == (BAD, "Failed", "failed: Publish")
    assert steps_view(failed)["usd"] is None


def test_an_account_without_jobs_is_not_this_machine(tmp_path: Path) -> None:
    """Also one of conditions and functions alone is somebody's bill."""
    page = write_report(OnlyGates.at(tmp_path), ARN)
    told = words(Path(page).read_text(encoding="utf-8"))
    assert "nobody bills" not in told
    assert "what others cost is not known" in told


def test_a_transform_job_costs_what_its_machines_do(tmp_path: Path) -> None:
    clients = Transformed.at(tmp_path)
    row = step("Publish", "Transform", 0, 99, **metadata("TransformJob", "transform-job", "t"))
    charge = charges.of(clients, ARN, [row], Money({"ml.m5.xlarge": 0.36}))["Publish"]
    assert (charge.machines, charge.seconds, charge.usd) == ("2 × ml.m5.xlarge", 50.0, pytest.approx(0.01))


class OnlyGates(FakeSageMaker):
    """In an account, of one condition."""

    @classmethod
    def at(cls, home: Path) -> Clients:
        clients = finished_run(home)
        return clients._replace(sagemaker=cls(clients.sagemaker.log), region="us-east-1")

    def list_pipeline_execution_steps(self, **_: Any) -> dict[str, Any]:
        return {"PipelineExecutionSteps": [step("Publish", "Condition", 0, 1)]}


class Transformed(OnlyGates):
    def describe_transform_job(self, **_: Any) -> dict[str, Any]:
        resources = {"TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}}
        return {**resources, "TransformStartTime": at(5), "TransformEndTime": at(55)}
