import pytest

from pipeline.errors import UnresolvedReference
from pipeline.local.conditions import holds


def compare(kind, left, right):
    return {"Type": kind, "LeftValue": left, "RightValue": right}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (compare("Equals", "a", "a"), True),
        (compare("Equals", "1", "1.0"), False),
        (compare("Equals", 1, 1.0), True),
        (compare("Equals", "0.5", 0.5), True),
        (compare("Equals", True, "true"), True),
        (compare("Equals", "x", 3), False),
        (compare("GreaterThan", 2, 1), True),
        (compare("GreaterThan", 1, 1), False),
        (compare("GreaterThanOrEqualTo", 0.95, 0.95), True),
        (compare("LessThan", "0.1", 0.2), True),
        (compare("LessThanOrEqualTo", 3, 2), False),
        ({"Type": "In", "QueryValue": "b", "Values": ["a", "b"]}, True),
        ({"Type": "In", "QueryValue": 3, "Values": ["1", "2"]}, False),
        ({"Type": "Not", "Condition": compare("Equals", 1, 2)}, True),
        ({"Type": "Or", "Conditions": [compare("Equals", 1, 2), compare("Equals", 1, 1)]}, True),
        ({"Type": "Or", "Conditions": []}, False),
    ],
)
def test_each_condition_type(condition, expected):
    assert holds([condition], "S", "$") is expected


def test_the_list_is_anded():
    assert not holds([compare("Equals", 1, 1), compare("Equals", 1, 2)], "S", "$")


@pytest.mark.parametrize(
    "condition",
    [
        compare("Matches", 1, 1),
        compare("GreaterThan", "a", 1),
        compare("GreaterThan", True, 0),
        compare("Equals", None, 1),
        {"Type": "Not", "Expression": compare("Equals", 1, 1)},
        {"Type": "Equals", "LeftValue": 1},
        "Equals",
    ],
)
def test_what_cannot_be_decided_is_an_error_with_step_and_path(condition):
    with pytest.raises(UnresolvedReference) as caught:
        holds([compare("Equals", 1, 2), condition], "Check", "$.Steps[3]")
    assert caught.value.step == "Check"
    assert caught.value.path.startswith("$.Steps[3]")


def test_no_conditions_at_all_is_an_error():
    with pytest.raises(UnresolvedReference):
        holds([], "S", "$")
