"""Two definitions → what differs, by parameter, step and field."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from local_pipelines import condition, document, fail, processing

from pipeline.definition import Definition
from pipeline.plan.difference import ABSENT, ADDED, CHANGED, REMOVED, Difference, compare


def differ(old: dict[str, Any], new: dict[str, Any]) -> Difference:
    return compare(Definition(old), Definition(new))


def told(found: Difference) -> list[tuple[str, Any, Any]]:
    return [(field.path, field.old, field.new) for change in found.steps for field in change.fields]


def base() -> dict[str, Any]:
    check = condition(
        "Check", [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}], [processing("Yes")], [fail("No", "x")]
    )
    parameters = [{"Name": "Rate", "Type": "Float", "DefaultValue": 0.1}]
    return document(processing("A", "say", "a", outputs=["x", "y"]), check, parameters=parameters)


def test_equal_definitions_differ_nowhere() -> None:
    assert not differ(base(), base())


def test_a_parameter_tells_its_old_and_its_new_default() -> None:
    new = base()
    new["Parameters"][0]["DefaultValue"] = 0.2
    [change] = differ(base(), new).parameters
    assert (change.name, change.what, change.fields[0].path) == ("Rate", CHANGED, "DefaultValue")
    assert (change.fields[0].old, change.fields[0].new) == (0.1, 0.2)


def test_steps_come_go_and_change() -> None:
    new = base()
    new["Steps"][0] = processing("B")
    new["Steps"][1]["Arguments"]["Conditions"][0]["RightValue"] = 2
    found = {change.name: change.what for change in differ(base(), new).steps}
    assert found == {"B": ADDED, "Check": CHANGED, "A": REMOVED}


def test_a_step_inside_a_condition_changes_by_itself() -> None:
    new = base()
    new["Steps"][1]["Arguments"]["IfSteps"][0]["Arguments"]["RoleArn"] = "another"
    [change] = differ(base(), new).steps
    assert (change.name, change.fields[0].path) == ("Yes", "Arguments.RoleArn")


def test_a_step_that_moves_to_the_other_branch_has_changed() -> None:
    new = base()
    arguments = new["Steps"][1]["Arguments"]
    arguments["IfSteps"], arguments["ElseSteps"] = arguments["ElseSteps"], arguments["IfSteps"]
    assert ("Branch", "Check.IfSteps", "Check.ElseSteps") in told(differ(base(), new))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["say", "b"], [("[1]", "a", "b")]),
        (["say", "a", "more"], [("[2:2]", ABSENT, ["more"])]),
        (["a"], [("[0]", ["say"], ABSENT)]),
    ],
)
def test_of_arguments_only_those_that_differ_are_told(words: list[str], expected: list[tuple[str, Any, Any]]) -> None:
    new = base()
    new["Steps"][0]["Arguments"]["AppSpecification"]["ContainerArguments"] = words
    prefix = "Arguments.AppSpecification.ContainerArguments"
    assert told(differ(base(), new)) == [(prefix + place, old, value) for place, old, value in expected]


def test_items_with_a_name_are_told_by_it_however_many_there_are() -> None:
    new = base()
    outputs = new["Steps"][0]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    gone = outputs.pop(0)
    outputs[0] = {**outputs[0], "AppManaged": True}
    path = "Arguments.ProcessingOutputConfig.Outputs"
    assert told(differ(base(), new)) == [(f"{path}['x']", gone, ABSENT), (f"{path}['y'].AppManaged", False, True)]


def test_a_number_and_its_text_are_not_the_same() -> None:
    new = base()
    new["Steps"][0]["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = True
    assert len(told(differ(base(), new))) == 1


def test_what_stands_beside_the_lists_counts_too() -> None:
    new = {**copy.deepcopy(base()), "PipelineExperimentConfig": {"ExperimentName": "e"}}
    [field] = differ(base(), new).settings
    assert (field.path, field.old) == ("PipelineExperimentConfig", ABSENT)


def test_without_an_old_definition_everything_is_added() -> None:
    found = compare(None, Definition(base()))
    assert {change.what for change in (*found.parameters, *found.steps)} == {ADDED}
    assert not found.settings
