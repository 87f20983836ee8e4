"""What plan foretells of the cache is what the local service then does, for each kind of change."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from local_jobs import put_archive
from local_pipelines import BUCKET, IMAGE, PROGRAM, condition, document, fail, output_of, processing
from planned import HIT, RUNS, SKIPPED, UNKNOWN, Planned, agrees

from pipeline.local.functions import register_function

Document = dict[str, Any]
REPORT = {"PropertyFileName": "Report", "OutputName": "report", "FilePath": "report.json"}
SCORE = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Judge.PropertyFiles.Report"}, "Path": "score"}}
PARAMETERS = [
    {"Name": "Words", "Type": "String", "DefaultValue": "one"},
    {"Name": "Threshold", "Type": "Float", "DefaultValue": 0.5},
    {"Name": "Machine", "Type": "String", "DefaultValue": "ml.m5.large"},
]
OUT = "/opt/ml/processing/output"


def reads(name: str, local: str, uri: Any) -> dict[str, Any]:
    s3 = {"S3Uri": uri, "LocalPath": local, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "AppManaged": False, "S3Input": s3}


def chain() -> Document:
    """Prepare → Judge → a gate with one step on each side; Alone waits for Prepare, and takes nothing from it."""
    prepare = processing("Prepare", "write", f"{OUT}/data/a.txt", "text", outputs=["data"], cache=True)
    prepare["Arguments"]["Environment"] = {"WORDS": {"Get": "Parameters.Words"}}
    prepare["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceType"] = {"Get": "Parameters.Machine"}
    prepare["Arguments"]["ProcessingInputs"].append(reads("raw", "/opt/ml/processing/input/raw", f"{BUCKET}/raw/"))
    judge = processing(
        "Judge",
        *("write", f"{OUT}/report/report.json", '{"score": 0.7}'),
        outputs=["report"],
        cache=True,
        property_files=[REPORT],
    )
    judge["Arguments"]["ProcessingInputs"].append(
        reads("data", "/opt/ml/processing/input/data", output_of("Prepare", "data"))
    )
    alone = processing("Alone", "say", "hello", cache=True, DependsOn=["Prepare"])
    wants = {"Type": "GreaterThan", "LeftValue": SCORE, "RightValue": {"Get": "Parameters.Threshold"}}
    gate = condition("Gate", [wants], [processing("Good", "say", "good", cache=True)], [fail("Bad", "too low")])
    return document(prepare, judge, alone, gate, parameters=PARAMETERS)


def step(definition: Document, name: str) -> dict[str, Any]:
    return next(each for each in definition["Steps"] if each["Name"] == name)


@pytest.fixture
def local(tmp_path: Path) -> Planned:
    made = Planned(tmp_path / "home")
    made.client.storage.put_bytes(f"{BUCKET}/raw/a.txt", b"data")
    return made


def parameter(_: Document) -> dict[str, str]:
    return {"Words": "two"}


def threshold(_: Document) -> dict[str, str]:
    return {"Threshold": "0.9"}


def machine(_: Document) -> dict[str, str]:
    return {"Machine": "ml.m5.4xlarge"}


def program(definition: Document) -> None:
    """Another entry point: its code lies under another address."""
    for name in ("Prepare", "Alone"):
        step(definition, name)["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"] = f"{BUCKET}/code2/"


def argument(definition: Document) -> None:
    step(definition, "Judge")["Arguments"]["AppSpecification"]["ContainerArguments"][2] = '{"score": 0.2}'


def added(definition: Document) -> None:
    definition["Steps"].append(processing("Extra", "say", "extra", cache=True, DependsOn=["Alone"]))


def uncached(definition: Document) -> None:
    del step(definition, "Alone")["CacheConfig"]


def outputs(definition: Document) -> None:
    step(definition, "Alone")["Arguments"]["StoppingCondition"] = {"MaxRuntimeInSeconds": 600}


def gate(definition: Document) -> None:
    step(definition, "Gate")["Arguments"]["Conditions"][0]["Type"] = "LessThan"


def longer(definition: Document) -> None:
    step(definition, "Alone")["Arguments"]["AppSpecification"]["ContainerArguments"] += ["say", "more"]


def execution_id(definition: Document) -> None:
    own = {"Get": "Execution.PipelineExecutionId"}
    step(definition, "Alone")["Arguments"]["Environment"] = {"RUN": own}


def nothing(_: Document) -> None:
    """The same again."""


ALL_HIT = {"Prepare": HIT, "Judge": HIT, "Alone": HIT, "Gate": RUNS, "Good": HIT, "Bad": SKIPPED}
BELOW_PREPARE = {**ALL_HIT, "Prepare": RUNS, "Judge": RUNS, "Gate": UNKNOWN, "Bad": RUNS}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (nothing, ALL_HIT),
        (machine, ALL_HIT),
        (outputs, ALL_HIT),
        (parameter, BELOW_PREPARE),
        (program, {**BELOW_PREPARE, "Alone": RUNS}),
        (threshold, {**ALL_HIT, "Good": SKIPPED, "Bad": RUNS}),
        (gate, {**ALL_HIT, "Good": SKIPPED, "Bad": RUNS}),
        (argument, {**ALL_HIT, "Judge": RUNS, "Gate": UNKNOWN, "Bad": RUNS}),
        (added, {**ALL_HIT, "Extra": RUNS}),
        (uncached, {**ALL_HIT, "Alone": RUNS}),
        (longer, {**ALL_HIT, "Alone": RUNS}),
        (execution_id, {**ALL_HIT, "Alone": RUNS}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_foretold_of_a_change_is_what_then_happens(
    local: Planned, change: Callable[[Document], dict[str, str] | None], expected: dict[str, str]
) -> None:
    local.client.storage.put_bytes(f"{BUCKET}/code2/step.py", PROGRAM.encode())
    local.happens(chain())
    changed = chain()
    given = change(changed) or {}

    predicted = local.predict(changed, **given)
    happened = local.happens(changed, **given)

    assert {name: found.outcome for name, found in predicted.items()} == expected
    assert agrees(predicted, happened) == []


def test_a_miss_names_the_field_with_its_old_and_its_new_value(local: Planned) -> None:
    local.happens(chain())
    found = local.predict(chain(), Words="two")
    assert [(field.path, field.old, field.new) for field in found["Prepare"].fields] == [
        ("Environment.WORDS", "one", "two")
    ]


def test_a_step_below_one_that_runs_into_a_new_address_runs(local: Planned) -> None:
    local.happens(chain())
    [field] = local.predict(chain(), Words="two")["Judge"].fields
    assert field.path == "ProcessingInputs[1].S3Input.S3Uri"
    assert field.new == f"{BUCKET}/<PipelineExecutionId>/Prepare/data"


def test_a_gate_above_what_runs_is_open_until_then(local: Planned) -> None:
    local.happens(chain())
    predicted = local.predict(chain(), Words="two")
    assert predicted["Gate"].until == ("Judge",)
    assert predicted["Good"].only_if == predicted["Bad"].only_if == ("Gate",)


def test_nothing_hits_where_nothing_ever_ran(local: Planned) -> None:
    predicted = local.predict(chain())
    assert {found.outcome for name, found in predicted.items() if name != "Gate"} == {RUNS}
    assert agrees(predicted, local.happens(chain())) == []


def test_an_expired_result_is_made_again(local: Planned) -> None:
    soon = document(processing("A", "say", "a", cache=True))
    soon["Steps"][0]["CacheConfig"]["ExpireAfter"] = "PT1S"
    local.happens(soon)
    time.sleep(1.1)
    predicted = local.predict(soon)
    assert predicted["A"].reason == "expired"
    assert agrees(predicted, local.happens(soon)) == []


def test_how_long_a_result_lasts_is_counted_from_the_run_that_made_it_not_from_its_last_hit(local: Planned) -> None:
    one = document(processing("A", "say", "a", cache=True))
    for _ in range(3):
        local.happens(one)
    day = 86400
    assert local.predict(one, time.time() + day - 60)["A"].outcome == HIT
    assert local.predict(one, time.time() + day + 60)["A"].reason == "expired"


def test_a_result_from_before_the_last_change_hits_again_when_the_change_is_taken_back(local: Planned) -> None:
    one, other = (document(processing("A", "say", word, cache=True)) for word in ("one", "other"))
    for definition in (one, other, one):
        local.happens(definition)
    for definition in (other, one):
        predicted = local.predict(definition)
        assert predicted["A"].outcome == HIT
        assert agrees(predicted, local.happens(definition)) == []


def test_a_step_that_failed_runs_and_those_before_it_hit(local: Planned) -> None:
    definition = document(
        processing("A", "say", "a", cache=True), processing("B", "fail", "1", cache=True, DependsOn=["A"])
    )
    local.happens(definition)
    predicted = local.predict(definition)
    assert (predicted["A"].outcome, predicted["B"].reason) == (HIT, "no earlier run")
    assert agrees(predicted, local.happens(definition)) == []


def test_another_name_is_another_step(local: Planned) -> None:
    local.happens(document(processing("A", "say", "a", cache=True)))
    renamed = document(processing("B", "say", "a", cache=True))
    predicted = local.predict(renamed)
    assert predicted["B"].reason == "no earlier run"
    assert agrees(predicted, local.happens(renamed)) == []


def test_a_miss_is_told_against_the_newest_run(local: Planned) -> None:
    one, two, three = (document(processing("A", "say", word, cache=True)) for word in ("one", "two", "three"))
    local.happens(one)
    local.happens(two)
    assert [field.old for field in local.predict(three)["A"].fields] == ["two"]


def test_what_a_file_says_that_is_written_anew_is_no_answer(local: Planned) -> None:
    """At a fixed address the report of the last run is still there; the gate waits for the next one."""
    definition = chain()
    output = step(definition, "Judge")["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]
    output["S3Output"]["S3Uri"] = f"{BUCKET}/fixed/"
    local.happens(definition)
    argument(definition)
    predicted = local.predict(definition)
    assert (predicted["Gate"].outcome, predicted["Gate"].until) == (UNKNOWN, ("Judge",))
    assert agrees(predicted, local.happens(definition)) == []


@pytest.mark.parametrize(("kind", "expected"), [("QualityCheck", UNKNOWN), ("EMR", UNKNOWN), ("Model", RUNS)])
def test_of_types_that_this_machine_cannot_run_nothing_is_made_up(local: Planned, kind: str, expected: str) -> None:
    one = {"Name": "A", "Type": kind, "Arguments": {}, "CacheConfig": {"Enabled": True}}
    assert local.predict(document(one))["A"].outcome == expected


# selective executions: what they did not run comes from another one


def selected(local: Planned, definition: Document, source: str, *names: str) -> str:
    """Runs these steps alone, with the results of another execution for the others."""
    chosen = {"SourcePipelineExecutionArn": source, "SelectedSteps": [{"StepName": name} for name in names]}
    execution = local.run(definition, SelectiveExecutionConfig=chosen)
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    return str(execution["PipelineExecutionArn"])


def newest(local: Planned) -> str:
    listed = local.client.list_pipeline_executions(PipelineName="test")["PipelineExecutionSummaries"]
    return str(listed[0]["PipelineExecutionArn"])


class Listing:
    """Lists the steps that a selective execution took from elsewhere, too, as AWS's model has them."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def list_pipeline_execution_steps(self, **request: Any) -> Any:
        answer = self.client.list_pipeline_execution_steps(**request)
        arn = request["PipelineExecutionArn"]
        chosen = self.client.describe_pipeline_execution(PipelineExecutionArn=arn).get("SelectiveExecutionConfig") or {}
        if source := chosen.get("SourcePipelineExecutionArn"):
            there = {row["StepName"] for row in answer["PipelineExecutionSteps"]}
            rows = self.list_pipeline_execution_steps(PipelineExecutionArn=source, MaxResults=100)
            reused = {"SelectiveExecutionResult": {"SourcePipelineExecutionArn": source}}
            answer["PipelineExecutionSteps"] += [
                {**row, **reused} for row in rows["PipelineExecutionSteps"] if row["StepName"] not in there
            ]
        return answer


@pytest.fixture(params=["left out", "listed"])
def selective(local: Planned, request: pytest.FixtureRequest) -> Planned:
    """Steps that did not run are left out of the list, as this machine does it, or listed with their source."""
    if request.param == "listed":
        local.clients = local.clients._replace(sagemaker=Listing(local.client))
    return local


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (nothing, ALL_HIT),
        (parameter, BELOW_PREPARE),
        (argument, {**ALL_HIT, "Judge": RUNS, "Gate": UNKNOWN, "Bad": RUNS}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_behind_a_selective_execution_the_same_happens_as_is_foretold(
    selective: Planned, change: Callable[[Document], dict[str, str] | None], expected: dict[str, str]
) -> None:
    """Judge ran alone, anew, on what the first execution had prepared."""
    selective.happens(chain())
    first = newest(selective)
    again = chain()
    step(again, "Judge")["Arguments"]["AppSpecification"]["ContainerArguments"][2] = '{"score": 0.8}'
    selected(selective, again, first, "Judge")
    given = change(again) or {}

    predicted = selective.predict(again, **given)
    happened = selective.happens(again, **given)

    assert {name: found.outcome for name, found in predicted.items()} == expected
    assert agrees(predicted, happened) == []


def test_what_a_selective_execution_took_from_another_counts_for_that_one(selective: Planned) -> None:
    selective.happens(chain())
    first = newest(selective)
    second = selected(selective, chain(), first, "Judge", "Gate", "Good")
    predicted = selective.predict(chain())
    assert predicted["Prepare"].source == first
    assert [run.arn for run in selective.past().successes("Prepare")] == [first]
    assert second not in {found.source for found in predicted.values()}
    assert agrees(predicted, selective.happens(chain())) == []


# what only a Lambda knows

ASK = "arn:aws:lambda:us-east-1:111122223333:function:ask"


def asking() -> Document:
    outputs = [{"OutputName": "word", "OutputType": "String"}, {"OutputName": "number", "OutputType": "Integer"}]
    ask = {"Name": "Ask", "Type": "Lambda", "FunctionArn": ASK, "Arguments": {}, "OutputParameters": outputs}
    use = processing("Use", "say", "used", cache=True)
    word, number = ({"Get": f"Steps.Ask.OutputParameters['{name}']"} for name in ("word", "number"))
    use["Arguments"]["Environment"] = {"WORD": word, "NUMBER": {"Std:Join": {"On": "", "Values": ["n", number]}}}
    return document(ask, use)


def answers(local: Planned, folder: Path, word: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "ask.py").write_text(f"def handler(event, context):\n    return {{'word': {word!r}, 'number': 7}}\n")
    register_function(local.client.store, ASK, str(folder), "ask.handler")


@pytest.mark.parametrize("word", ["the same", "another"])
def test_what_depends_on_the_answer_of_a_lambda_is_unknown_until_it_has_run(
    local: Planned, tmp_path: Path, word: str
) -> None:
    answers(local, tmp_path / "ask", "the same")
    local.happens(asking())
    answers(local, tmp_path / "ask", word)

    found = local.predict(asking())["Use"]
    happened = local.happens(asking())

    assert (found.outcome, found.until, found.likely) == (UNKNOWN, ("Ask",), False)
    assert ("CacheHitResult" in happened["Use"]) is (word == "the same")


def test_what_differs_anyway_runs_whatever_the_lambda_answers(local: Planned, tmp_path: Path) -> None:
    answers(local, tmp_path / "ask", "the same")
    local.happens(asking())
    changed = asking()
    step(changed, "Use")["Arguments"]["AppSpecification"]["ContainerArguments"] = ["say", "other"]
    found = local.predict(changed)["Use"]
    assert (found.outcome, found.paths) == (RUNS, ("AppSpecification.ContainerArguments[1]",))
    assert agrees({"Use": found}, local.happens(changed)) == []


# tuning and training


def tuned() -> Document:
    """Tune → Train with the tuned value; a program that prints it."""
    algorithm = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "score", "Regex": "score=([0-9.e-]+)"}],
    }
    code = f"{BUCKET}/code/sourcedir.tar.gz"
    static = {"sagemaker_program": "train.py", "sagemaker_submit_directory": code, "epochs": "1"}
    shared = {
        "OutputDataConfig": {"S3OutputPath": f"{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "AlgorithmSpecification": algorithm,
    }
    tuning = {
        "HyperParameterTuningJobConfig": {
            "Strategy": "Grid",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": {"MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2"]}]},
        },
        "TrainingJobDefinition": {**shared, "StaticHyperParameters": static},
    }
    best = {"Get": "Steps.Tune.BestTrainingJob.TunedHyperParameters['x']"}
    training = {**shared, "HyperParameters": {**static, "x": {"Std:Join": {"On": "", "Values": [best]}}}}
    cached = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"}}
    return document(
        {"Name": "Tune", "Type": "Tuning", "Arguments": tuning, **cached},
        {"Name": "Train", "Type": "Training", "Arguments": training, **cached},
    )


TRAIN = """
import sys
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("score=" + words.get("-x", words.get("--x")))
"""


def ranges(definition: Document) -> None:
    config = step(definition, "Tune")["Arguments"]["HyperParameterTuningJobConfig"]
    config["ParameterRanges"]["CategoricalParameterRanges"][0]["Values"] = ["1", "3"]


def hyperparameter(definition: Document) -> None:
    step(definition, "Train")["Arguments"]["HyperParameters"]["epochs"] = "2"


def machines(definition: Document) -> None:
    for name, members in (("Tune", ("TrainingJobDefinition",)), ("Train", ())):
        request = step(definition, name)["Arguments"]
        for member in members:
            request = request[member]
        request["ResourceConfig"]["InstanceType"] = "ml.m5.4xlarge"
        request["StoppingCondition"]["MaxRuntimeInSeconds"] = 30


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """One tuning and training, which all changes are compared with: a tuning takes a second."""
    made = Planned(tmp_path_factory.mktemp("trained") / "home")
    put_archive(Path(made.home), f"{BUCKET}/code/sourcedir.tar.gz", {"train.py": TRAIN})
    made.happens(tuned())
    return made


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (nothing, {"Tune": HIT, "Train": HIT}),
        (machines, {"Tune": HIT, "Train": HIT}),
        (hyperparameter, {"Tune": HIT, "Train": RUNS}),
        (ranges, {"Tune": RUNS, "Train": UNKNOWN}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_tuning_and_training_are_foretold_too(
    trained: Planned, change: Callable[[Document], None], expected: dict[str, str]
) -> None:
    changed = tuned()
    change(changed)
    predicted = trained.predict(changed)
    happened = trained.happens(changed)
    assert {name: found.outcome for name, found in predicted.items()} == expected
    assert agrees(predicted, happened) == []
