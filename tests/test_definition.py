import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.definition import Definition, Target, parse_get
from pipeline.errors import DefinitionError


def step(name, step_type="Processing", **members):
    return {"Name": name, "Type": step_type, "Arguments": {}, **members}


def test_steps_inside_a_condition_know_their_condition_and_branch():
    inner = step("Yes")
    document = {
        "Steps": [step("Check", "Condition", Arguments={"Conditions": [], "IfSteps": [inner], "ElseSteps": []})]
    }

    found = Definition(document).steps["Yes"]

    assert (found.parent, found.branch, found.path) == ("Check", "IfSteps", "$.Steps[0].Arguments.IfSteps[0]")


def test_dependencies_come_from_depends_on_references_and_the_condition_around():
    reference = {
        "Std:Join": {"On": "/", "Values": [{"Get": "Steps.A.ProcessingOutputConfig.Outputs['x'].S3Output.S3Uri"}]}
    }
    inner = step("Inner", DependsOn=["B"], Arguments={"RoleArn": reference})
    check = step("Check", "Condition", Arguments={"Conditions": [], "IfSteps": [inner], "ElseSteps": []})

    definition = Definition({"Steps": [step("A"), step("B"), check]})

    assert definition.dependencies("Inner") == {"A", "B", "Check"}


def test_a_condition_does_not_depend_on_what_its_branches_use():
    inner = step("Inner", Arguments={"X": {"Get": "Steps.A.Y"}})
    check = step("Check", "Condition", Arguments={"Conditions": [], "IfSteps": [inner], "ElseSteps": []})

    assert Definition({"Steps": [step("A"), check]}).dependencies("Check") == frozenset()


@pytest.mark.parametrize(
    ("expression", "target"),
    [
        ("Parameters.X", Target("Parameters", "X", ())),
        ("Steps.T.Outputs['a b'].S3Uri", Target("Steps", "T", ("Outputs", "a b", "S3Uri"))),
        ('Steps.T.M["x"][2].N', Target("Steps", "T", ("M", "x", 2, "N"))),
        ("Steps.my-step_1.ModelArtifacts", Target("Steps", "my-step_1", ("ModelArtifacts",))),
    ],
)
def test_get_expressions_are_read(expression, target):
    assert parse_get(expression) == target


@pytest.mark.parametrize(
    "expression", ["", "Parameters", "Steps..X", "Steps.X['a", "Steps.X[-1]", "Parameters X", ".Steps.X"]
)
def test_malformed_get_expressions_are_refused(expression):
    with pytest.raises(ValueError):
        parse_get(expression)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"Steps": 3}',
        '{"Steps": [3]}',
        '{"Steps": [{"Name": "A"}]}',
        b"\xff",
        '{"Steps": [{"Name": 1, "Type": 2}]}',
    ],
)
def test_what_is_no_definition_is_refused_with_a_reason(text):
    with pytest.raises(DefinitionError):
        Definition.parse(text)


def test_a_name_used_twice_is_refused_even_inside_a_condition():
    check = step("Check", "Condition", Arguments={"IfSteps": [step("A")]})
    with pytest.raises(DefinitionError, match=r"'A' is taken by \$\.Steps\[0\]"):
        Definition({"Steps": [step("A"), check]})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["Name", "Type", "Steps", "Arguments", "Get"]) | st.text(max_size=5), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_garbage_is_read_or_refused_but_never_crashes(value):
    try:
        definition = Definition.parse(json.dumps({"Steps": value, "Parameters": []}))
    except DefinitionError:
        return
    for name in definition.steps:
        definition.dependencies(name)
