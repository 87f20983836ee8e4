"""What an execution costs: at most, and if it goes as last time; unknown where nobody has said what a machine costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from local_jobs import put_archive
from local_pipelines import BUCKET, IMAGE, document, processing
from planned import Planned

from pipeline.errors import ConfigError, DarkroomError
from pipeline.plan import prices
from pipeline.plan.cost import Cost, estimate
from pipeline.plan.prices import Prices

OWN = {"ml.m5.large": 3.6, "ml.g5.xlarge": 36.0}  # 0.1 and 1 cent a second


@pytest.fixture
def local(tmp_path: Path) -> Planned:
    return Planned(tmp_path / "home")


def cost(local: Planned, definition: dict[str, Any], own: dict[str, float] = OWN, **given: str) -> Cost:
    known = Prices("us-east-1", own, "mine", "2026-11-20")
    return estimate(local.clients, local.forecast(definition, **given), known)


def job(kind: str, **arguments: Any) -> dict[str, Any]:
    return document({"Name": "Job", "Type": kind, "Arguments": arguments})


def training(count: int = 1, limit: int | None = 600, **changes: Any) -> dict[str, Any]:
    stop = {} if limit is None else {"StoppingCondition": {"MaxRuntimeInSeconds": limit}}
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": 1}
    return {"ResourceConfig": resources, "AlgorithmSpecification": {"TrainingImage": IMAGE}, **stop, **changes}


def tuning(strategy: str = "Random", values: int = 3, **limits: int) -> dict[str, Any]:
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": [str(n) for n in range(values)]}]}
    config = {"Strategy": strategy, "ResourceLimits": limits, "ParameterRanges": ranges}
    return job("Tuning", HyperParameterTuningJobConfig=config, TrainingJobDefinition=training())


@pytest.mark.parametrize(
    ("definition", "most"),
    [
        (job("Training", **training()), 0.6),
        (job("Training", **training(count=4)), 2.4),
        (job("Training", **training(limit=None)), 86.4),
        (tuning(MaxNumberOfTrainingJobs=5, MaxParallelTrainingJobs=2), 3.0),
        (tuning(MaxNumberOfTrainingJobs=5, MaxParallelTrainingJobs=2, MaxRuntimeInSeconds=700), 1.4),
        (tuning("Grid", values=4, MaxParallelTrainingJobs=1), 2.4),
        (job("Transform", TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1}), None),
    ],
)
def test_at_most_is_every_machine_for_as_long_as_it_may_run(
    local: Planned, definition: dict[str, Any], most: float | None
) -> None:
    [step] = cost(local, definition).steps
    assert step.most == (most if most is None else pytest.approx(most))
    assert step.missing


def test_groups_of_machines_are_added(local: Planned) -> None:
    groups = [
        {"InstanceType": name, "InstanceCount": 1, "InstanceGroupName": name}
        for name in ("ml.m5.large", "ml.g5.xlarge")
    ]
    [step] = cost(local, job("Training", **training(ResourceConfig={"InstanceGroups": groups}))).steps
    assert step.most == pytest.approx(0.6 + 6.0)
    assert step.machines == "1 × ml.m5.large + 1 × ml.g5.xlarge"


def test_likely_is_what_the_newest_run_took(local: Planned) -> None:
    definition = document(processing("A", "sleep", "0.3"), processing("B", "say", "b", cache=True))
    rows = local.happens(definition)
    found = cost(local, definition)
    took = (rows["A"]["EndTime"] - rows["A"]["StartTime"]).total_seconds()
    assert took > 0.3
    assert [step.likely for step in found.steps] == [pytest.approx(took / 1000), 0.0]
    assert found.likely == pytest.approx(took / 1000)
    assert found.most == pytest.approx(86.4)  # B hits


def test_of_spot_capacity_only_the_most_is_known(local: Planned) -> None:
    put_archive(Path(local.home), f"{BUCKET}/code/sourcedir.tar.gz", {"train.py": "print()"})
    words = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"{BUCKET}/code/sourcedir.tar.gz"}
    more = {"HyperParameters": words, "OutputDataConfig": {"S3OutputPath": f"{BUCKET}/out"}}
    spot = {"EnableManagedSpotTraining": True}
    algorithm = {"AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"}}
    definition = job("Training", **training(**more, **algorithm))
    local.happens(definition)
    [on_demand] = cost(local, definition).steps
    definition["Steps"][0]["Arguments"] |= spot
    [found] = cost(local, definition).steps
    assert on_demand.likely and on_demand.missing == ""
    assert (found.most, found.likely) == (pytest.approx(0.6), None)
    assert found.missing == "spot costs less, and how much is not known"


def test_of_a_machine_without_a_price_nothing_is_known(local: Planned) -> None:
    resources = {"InstanceType": "ml.c5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    found = cost(local, job("Training", **training(ResourceConfig=resources)), own={})
    [step] = found.steps
    assert (step.most, step.likely, step.missing) == (None, None, "no price of ml.c5.large")
    assert found.without_most == found.without_likely == ("Job",)


def test_a_machine_that_a_lambda_will_name_is_not_known_yet(local: Planned) -> None:
    ask = {"Name": "Ask", "Type": "Lambda", "FunctionArn": "arn", "Arguments": {}}
    resources = {"InstanceType": {"Get": "Steps.Ask.OutputParameters['m']"}, "InstanceCount": 1}
    step = job("Training", **training(ResourceConfig=resources))["Steps"][0]
    [found] = cost(local, document(ask, step)).steps
    assert found.missing == "machines are not known yet"


def test_every_price_of_the_table_says_where_and_when() -> None:
    for region, kinds, machine, usd, (source, date) in prices._ROWS:
        for kind in kinds:
            price = Prices(region, {}, "", "").of(kind, machine)
            assert price is not None and price.usd == usd > 0
            assert price.region == region
        assert source.startswith("https://") and date.startswith("20")


def test_no_price_stands_in_the_table_twice() -> None:
    places = [(region, kind, machine) for region, kinds, machine, _, _ in prices._ROWS for kind in kinds]
    assert len(places) == len(set(places))


def test_what_was_lowered_since_it_was_written_down_is_unknown() -> None:
    for machine in ("ml.p4d.24xlarge", "ml.p5.48xlarge"):
        assert Prices("us-east-1", {}, "", "").of("Training", machine) is None


def test_a_price_holds_for_its_region_and_type_of_job_alone() -> None:
    assert Prices("eu-west-1", {}, "", "").of("Training", "ml.p3.2xlarge") is not None
    assert Prices("eu-central-1", {}, "", "").of("Training", "ml.p3.2xlarge") is None
    assert Prices("eu-west-1", {}, "", "").of("Processing", "ml.p3.2xlarge") is None


def test_ones_own_price_goes_before_the_table(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"ml.m5.xlarge": 1}))
    own = Prices("us-east-1", prices.read(str(path)), str(path), "2026-11-20").of("Training", "ml.m5.xlarge")
    assert own == prices.Price(1.0, "us-east-1", str(path), "2026-11-20")


def test_everything_that_is_wrong_with_prices_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"m5": 1, "ml.a": "1", "ml.b": -1, "ml.c": NaN, "ml.d": true, "ml.e": 2}')
    with pytest.raises(ConfigError) as caught:
        prices.read(str(path))
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["m5", "ml.a", "ml.b", "ml.c", "ml.d"]


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_what_is_no_table_of_prices_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(DarkroomError) as caught:
        prices.read(str(path))
    assert "USD an hour" in caught.value.hint
