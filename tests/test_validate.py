"""Valid definitions have no finding; garbage is a finding, never a crash; a clean verdict is remembered."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import api_model, verdict
from pipeline.errors import DefinitionError
from pipeline.validate import Finding, limits, model, validate
from pipeline.validate.values import is_placeholder

ROOT = Path(__file__).parent.parent
DEFINITIONS = sorted((ROOT / "tests/data").glob("golden/*.json")) + sorted((ROOT / "tests/data").glob("foreign/*.json"))
CHAIN = ROOT / "tests/data/foreign/chain.json"
EVERYTHING = ROOT / "tests/data/foreign/everything.json"

UNREAD_PATTERNS = {"AthenaCatalog"}

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
WORDS = st.sampled_from(
    ["Name", "Type", "Get", "Std:Join", "Std:JsonGet", "On", "Values", "Path", "PropertyFile", "Arguments", "Steps"]
    + [
        "Condition",
        "Conditions",
        "IfSteps",
        "Not",
        "Or",
        "In",
        "Equals",
        "Processing",
        "Tuning",
        "Lambda",
        "Steps.A.B['c']",
    ]
)
GARBAGE = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_valid_definition_has_no_finding(path: Path) -> None:
    assert [str(finding) for finding in validate(json.loads(path.read_text()))] == []


def test_the_foreign_definitions_use_every_step_type_and_condition() -> None:
    text = EVERYTHING.read_text()

    for word in (*model.REQUESTS, "Lambda", "Callback", "Condition", "Fail"):
        assert f'"Type": "{word}"' in text
    for word in ("Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo", "In", "Not", "Or"):
        assert f'"Type": "{word}"' in text


@given(GARBAGE)
@settings(max_examples=150, deadline=None, database=None)
def test_garbage_gives_findings_and_never_crashes(document: Any) -> None:
    findings = validate(document)

    assert findings
    assert all(finding.path.startswith("$") and finding.message and finding.mend for finding in findings)


@given(st.data())
@settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_definition_with_garbage_in_one_place_never_crashes(data: st.DataObject) -> None:
    document = json.loads(EVERYTHING.read_text())
    holder: Any = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], (dict, list)) or not holder[key] or data.draw(st.integers(0, 5)) == 0:
            break
        holder = holder[key]
    holder[key] = data.draw(GARBAGE)

    assert all(finding.path.startswith("$") and finding.mend for finding in validate(document))


def _nested(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"Steps": [document]}
    return document


def test_a_document_deeper_than_the_stack_is_one_finding() -> None:
    assert [finding.message for finding in validate(_nested(50_000))] == ["the document nests deeper than 150 levels"]


def test_a_document_that_holds_itself_is_one_finding() -> None:
    document: dict[str, Any] = {"Steps": []}
    document["Steps"].append(document)

    assert len(validate(document)) == 1


@pytest.mark.parametrize("value", [None, 3, "text", [], [{}], b"bytes"])
def test_what_is_no_object_is_one_finding(value: Any) -> None:
    assert [finding.path for finding in validate(value)] == ["$"]


def test_a_value_that_json_does_not_have_is_a_finding() -> None:
    assert "is not a JSON value" in validate({"Steps": {1, 2}})[0].message
    assert "a key that is not a text" in validate({"Metadata": {1: 2}})[0].message


def test_a_long_value_is_cut_in_a_message() -> None:
    document = json.loads(CHAIN.read_text())
    document["Steps"][0]["Arguments"]["RoleArn"] = "x" * 5000

    assert all(len(finding.message) < 500 for finding in validate(document))


def test_the_document_is_not_changed() -> None:
    document = json.loads(EVERYTHING.read_text())
    before = copy.deepcopy(document)

    validate(document)

    assert document == before


def _many(count: int) -> dict[str, Any]:
    document = json.loads(CHAIN.read_text())
    step = document["Steps"][0]
    names = [f"Step{index}" for index in range(count)]
    steps = [{**step, "Name": name, "DependsOn": names[max(0, index - 1) : index]} for index, name in enumerate(names)]
    used = [parameter for parameter in document["Parameters"] if parameter["Name"] == "Salt"]
    return {**document, "Parameters": used, "Steps": steps}


def test_a_thousand_steps_in_a_row_are_only_worth_a_warning() -> None:
    findings = validate(_many(1000))

    assert [(finding.severity, finding.path) for finding in findings] == [("warning", "$.Steps")]


def test_a_cycle_of_a_thousand_steps_is_one_finding() -> None:
    document = _many(1000)
    document["Steps"][0]["DependsOn"] = ["Step999"]

    assert ["cycle" in finding.message for finding in validate(document)].count(True) == 1


def test_two_cycles_are_two_findings() -> None:
    document = _many(10)
    document["Steps"][0]["DependsOn"] = ["Step2"]
    document["Steps"][5]["DependsOn"] = ["Step7"]

    assert [finding.step for finding in validate(document) if "cycle" in finding.message] == ["Step0", "Step5"]


def test_a_step_that_needs_both_branches_can_never_run() -> None:
    document = json.loads(EVERYTHING.read_text())
    gate = document["Steps"][-1]
    other = copy.deepcopy(document["Steps"][0]) | {"Name": "Other", "DependsOn": ["Gate"]}
    del other["DependsOn"]
    other["Arguments"]["ProcessingInputs"] = other["Arguments"]["ProcessingInputs"][:1]
    del other["Arguments"]["ProcessingOutputConfig"], other["PropertyFiles"]
    gate["Arguments"]["ElseSteps"] = [other]
    document["Steps"].append({**other, "Name": "Both", "DependsOn": ["Register", "Other"]})

    errors = [finding for finding in validate(document) if finding.severity == "error"]

    assert [(error.step, "can never run" in error.message) for error in errors] == [("Both", True)]


def test_the_two_branches_of_a_condition_may_write_to_one_address() -> None:
    document = json.loads(CHAIN.read_text())
    writer = document["Steps"][3]
    branches = document["Steps"][4]["Arguments"]
    fixed = copy.deepcopy(writer["Arguments"]["ProcessingOutputConfig"])
    fixed["Outputs"][0]["S3Output"]["S3Uri"] = {
        "Std:Join": {"On": "/", "Values": ["s3://b", {"Get": "Execution.PipelineExecutionId"}, ""]}
    }
    for side, name in (("IfSteps", "Yes"), ("ElseSteps", "No")):
        arguments = {**writer["Arguments"], "ProcessingOutputConfig": fixed}
        branches[side] = [{"Name": name, "Type": "Processing", "Arguments": arguments}]

    assert validate(document) == []


def test_two_trainings_may_share_their_checkpoints() -> None:
    document = json.loads(EVERYTHING.read_text())
    train = next(step for step in document["Steps"] if step["Name"] == "Train")
    document["Steps"].append({**train, "Name": "TrainOn", "DependsOn": ["Train"]})

    assert validate(document) == []


def test_every_pattern_of_the_service_model_can_be_read() -> None:
    shapes = [model.request_shape(kind) for kind in model.REQUESTS]
    seen: dict[str, model.Shape] = {}
    while shapes:
        shape = shapes.pop()
        if shape.name not in seen:
            seen[shape.name] = shape
            shapes += shape.members.values()
            shapes += [shape.item] if shape.type in ("list", "map") else []

    unread = {shape.name for shape in seen.values() if shape.source not in ("", ".*") and shape.pattern is None}

    assert unread <= UNREAD_PATTERNS
    assert len(seen) > 300


def test_what_botocore_refuses_is_refused_here_too() -> None:
    """botocore's own ParamValidator is the witness: 250 requests, each with one member changed, removed or added."""
    service = botocore.session.Session().get_service_model("sagemaker")
    choice = random.Random(2)
    refused = 0
    for _ in range(250):
        document = json.loads(EVERYTHING.read_text())
        step = choice.choice([step for step in document["Steps"] if step["Type"] in model.REQUESTS])
        holder, key = choice.choice(list(_places(step["Arguments"])))
        _change(holder, key, choice.choice(["remove", "add", 5, "x", [], {}, True, [3], {"a": 1}]))
        request = model.REQUESTS[step["Type"]]
        concrete = {request.name: "x", **_concrete(step["Arguments"], model.request_shape(step["Type"]))}
        shape = service.operation_model(request.operation).input_shape
        problems = ParamValidator().validate(concrete, shape).generate_report()

        if problems:
            refused += 1
            assert [f for f in validate(document) if f.severity == "error" and f.step == step["Name"]], problems
    assert refused > 100


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key) of a request, placeholders as a whole."""
    for key, inner in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)) and not is_placeholder(inner):
            yield from _places(inner)


def _change(holder: Any, key: Any, how: Any) -> None:
    if how == "remove":
        del holder[key]
    elif how == "add" and isinstance(holder, dict):
        holder["Surplus"] = "x"
    else:
        holder[key] = how


def _concrete(value: Any, shape: model.Shape) -> Any:
    """A request with a sample of the right type for each placeholder: what botocore would be given in the end."""
    if is_placeholder(value):
        return {"string": "x" * int(shape.minimum or 1), "boolean": True}.get(shape.type, int(shape.minimum or 1))
    if isinstance(value, dict) and shape.type == "structure":
        return {k: _concrete(v, shape.members[k]) if k in shape.members else v for k, v in value.items()}
    if isinstance(value, dict) and shape.type == "map":
        return {k: _concrete(v, shape.item) for k, v in value.items()}
    if isinstance(value, list) and shape.type == "list":
        return [_concrete(item, shape.item) for item in value]
    return value


def test_the_limits_agree_with_the_service_model() -> None:
    shapes = api_model.model("sagemaker")["shapes"]

    assert shapes["PipelineDefinition"]["max"] == limits.DEFINITION_BYTES.value
    assert shapes["ParameterList"]["max"] == limits.PARAMETERS.value
    assert shapes["PipelineParameterName"]["max"] == limits.PARAMETER_NAME.value
    assert shapes["StepName"]["max"] == limits.STEP_NAME.value
    assert shapes["StepDisplayName"]["max"] == limits.DISPLAY_NAME.value
    assert shapes["StepDescription"]["max"] == limits.DESCRIPTION.value
    assert shapes["HyperParameters"]["max"] == limits.HYPERPARAMETERS.value


def test_a_finding_prints_where_what_and_what_to_do() -> None:
    finding = Finding("Train", "$.Steps[0].Name", "it is wrong", "mend it")

    assert str(finding) == "error: Train: $.Steps[0].Name: it is wrong\n    mend: mend it"


def test_a_clean_verdict_is_remembered_and_a_wrong_definition_is_not(tmp_path: Path) -> None:
    document = json.loads(CHAIN.read_text())

    assert verdict.check(json.dumps(document), str(tmp_path)) == []
    document["Version"] = "1"
    assert len(verdict.check(json.dumps(document), str(tmp_path))) == 1

    assert [path.read_text() for path in (tmp_path / "verdicts").iterdir()] == ["[]"]


def test_warnings_are_told_again(tmp_path: Path) -> None:
    text = json.dumps(_many(60))

    first = verdict.check(text, str(tmp_path))
    again = verdict.check(text.encode(), str(tmp_path))

    assert first == again
    assert [finding.severity for finding in again] == ["warning"]
    assert len(list((tmp_path / "verdicts").iterdir())) == 1


def test_a_torn_verdict_is_made_again(tmp_path: Path) -> None:
    verdict.check(CHAIN.read_text(), str(tmp_path))
    (kept,) = (tmp_path / "verdicts").iterdir()
    kept.write_text('[{"step": "x')

    assert verdict.check(CHAIN.read_text(), str(tmp_path)) == []
    assert kept.read_text() == "[]"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "verdicts").write_text("a file stands in the way")

    assert verdict.check(CHAIN.read_text(), str(tmp_path)) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        ("[" * 100_000, "too deep"),
        ("[]", "JSON object"),
    ],
)
def test_a_text_that_is_no_definition_is_a_finding(text: str | bytes, word: str, tmp_path: Path) -> None:
    (finding,) = verdict.check(text, str(tmp_path))

    assert word in finding.message


def test_refuse_names_every_error_and_lets_warnings_pass(tmp_path: Path) -> None:
    document = _many(60)
    verdict.refuse(json.dumps(document), str(tmp_path))
    document["Version"] = "1"
    document["Steps"][3]["Arguments"] = {**document["Steps"][3]["Arguments"], "RoleArn": "me"}

    with pytest.raises(DefinitionError) as caught:
        verdict.refuse(json.dumps(document), str(tmp_path))

    assert "2 errors" in caught.value.message
    assert "$.Version" in caught.value.message
    assert "Step3: $.Steps[3].Arguments.RoleArn" in caught.value.message


def test_a_remembered_definition_imports_neither_botocore_nor_the_rules(tmp_path: Path) -> None:
    verdict.check(CHAIN.read_text(), str(tmp_path))
    program = (
        "import sys; before = set(sys.modules); from pipeline import verdict;"
        f"print(verdict.check(open({str(CHAIN)!r}).read(), {str(tmp_path)!r}), *sorted(set(sys.modules) - before))"
    )

    words = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert words[0] == "[]"
    assert "pipeline.verdict" in words
    heavy = {"botocore", "typing", "dataclasses", "pathlib", "inspect", "logging", "pipeline.validate"}
    assert heavy.isdisjoint(words)
