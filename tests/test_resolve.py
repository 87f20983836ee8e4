import json

import pytest

from pipeline.definition import Definition
from pipeline.errors import UnresolvedReference
from pipeline.local.resolve import Scope
from pipeline.local.storage import Storage

EVALUATE = {
    "Name": "Evaluate",
    "Type": "Processing",
    "Arguments": {},
    "PropertyFiles": [{"PropertyFileName": "Report", "OutputName": "evaluation", "FilePath": "evaluation.json"}],
}
PROPERTIES = {
    "Evaluate": {
        "ProcessingOutputConfig": {
            "Outputs": [{"OutputName": "evaluation", "S3Output": {"S3Uri": "s3://b/run/evaluation"}}]
        }
    },
    "Tune": {
        "BestTrainingJob": {"TunedHyperParameters": {"lr": "0.01"}},
        "TrainingJobSummaries": [{"TrainingJobName": "best"}, {"TrainingJobName": "second"}],
    },
    "Train": {"FinalMetricDataList": [{"MetricName": "loss", "Value": 0.5}]},
}


@pytest.fixture
def scope(tmp_path):
    storage = Storage(str(tmp_path))
    storage.put_bytes(
        "s3://b/run/evaluation/evaluation.json", json.dumps({"m": {"accuracy": {"value": 0.97}}, "l": [1]}).encode()
    )
    return Scope(
        Definition(
            {"Steps": [EVALUATE], "PipelineExperimentConfig": {"TrialName": {"Get": "Execution.PipelineExecutionId"}}}
        ),
        storage,
        {"Epochs": 3, "Rate": 0.001},
        {"PipelineExecutionId": "abc"},
        PROPERTIES,
    )


def json_get(path, file="Report"):
    return {"Std:JsonGet": {"PropertyFile": {"Get": f"Steps.Evaluate.PropertyFiles.{file}"}, "Path": path}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Get": "Parameters.Epochs"}, 3),
        ({"Get": "Execution.PipelineExecutionId"}, "abc"),
        ({"Get": "PipelineExperimentConfig.TrialName"}, "abc"),
        ({"Get": "Steps.Tune.BestTrainingJob.TunedHyperParameters['lr']"}, "0.01"),
        ({"Get": "Steps.Tune.TrainingJobSummaries[1].TrainingJobName"}, "second"),
        ({"Get": "Steps.Train.FinalMetricDataList['loss'].Value"}, 0.5),
        (
            {"Get": "Steps.Evaluate.ProcessingOutputConfig.Outputs['evaluation'].S3Output.S3Uri"},
            "s3://b/run/evaluation",
        ),
        ({"Std:Join": {"On": "/", "Values": ["s3:/", {"Get": "Parameters.Rate"}, 3, True]}}, "s3://0.001/3/true"),
        (json_get("m.accuracy.value"), 0.97),
        (json_get("$.m['accuracy'].value"), 0.97),
        (json_get("l[0]"), 1),
        ({"a": [{"Get": "Parameters.Epochs"}, "x"]}, {"a": [3, "x"]}),
    ],
)
def test_placeholders_become_values(scope, value, expected):
    assert scope.resolve(value, "S", "$.Steps[0]") == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Get": "Parameters.None"}, "known: Epochs, Rate"),
        ({"Get": "Steps.Later.X"}, "step 'Later' has not succeeded"),
        ({"Get": "Steps.Tune.BestTrainingJob.Name"}, "there is: TunedHyperParameters"),
        ({"Get": "Steps.Tune.TrainingJobSummaries[7].TrainingJobName"}, "has no 7"),
        ({"Get": "Nowhere.X"}, "begins with 'Nowhere'"),
        ({"Get": "Steps"}, "names nothing"),
        ({"Get": 3}, "Get:"),
        ({"Get": "Parameters.Epochs", "Other": 1}, "has to stand alone"),
        ({"Std:Sum": [1, 2]}, "unknown function 'Std:Sum'"),
        ({"Std:Join": {"On": "/"}}, "takes an object"),
        ({"Std:Join": {"On": "/", "Values": [{"Get": "Steps.Tune.BestTrainingJob"}]}}, "cannot join"),
        (json_get("m.recall"), "there is: accuracy"),
        (json_get("m"), "not a single value"),
        (json_get("m", "Other"), "no property file"),
        (json_get({"Get": "Parameters.Epochs"}), "literal Path"),
    ],
)
def test_what_cannot_be_resolved_names_step_path_and_what_there_is(scope, value, message):
    with pytest.raises(UnresolvedReference) as caught:
        scope.resolve({"a": [value]}, "Step1", "$.Steps[0].Arguments")
    assert message in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.step == "Step1"
    assert caught.value.path.startswith("$.Steps[0].Arguments.a[0]")


def test_a_property_file_that_is_not_json_is_an_error(scope):
    scope.storage.put_bytes("s3://b/run/evaluation/evaluation.json", b"{")
    with pytest.raises(UnresolvedReference, match="is not JSON"):
        scope.resolve(json_get("m"), "S", "$")
