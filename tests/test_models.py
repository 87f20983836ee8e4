"""Registered models told whole, and two compared: what is known, what is not, and whether their figures compare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hosted import deploy_package
from local_pipelines import BUCKET
from registered import COMMIT, GROUP, PIPELINE, Registered, against, evaluated, manifest

from pipeline.control import registry
from pipeline.errors import ServiceError, Unavailable
from pipeline.models import comparison, document, dossier
from pipeline.models.comparison import Comparison
from pipeline.models.dossier import Dossier
from pipeline.models.jobs import archive


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registered]:
    """Version 1 is the champion; 2 was compared with it; 3 was judged on other pictures; 4 on others of the same."""
    made = Registered(tmp_path_factory.mktemp("models") / "home")
    made.add()
    made.decide(1, "Approved", ApprovalDescription="the first")
    champion = against(made.package(1)["ModelPackageArn"])
    made.add(evaluated(0.92, owl=0.7, champion=champion), code="f" * 16, lr="0.1")
    made.add(evaluated(0.93), test=manifest(source="e" * 64, pictures="9" * 64))
    made.add(evaluated(0.94), test=manifest(pictures="8" * 64, seed=1))
    yield made


def told(local: Registered, version: int) -> Dossier:
    return dossier.of(local.clients, local.package(version))


def compared(local: Registered, one: int, other: int) -> Comparison:
    return comparison.compare(local.clients, told(local, one), told(local, other))


def by_hand(local: Registered, group: str, **request: Any) -> dict[str, Any]:
    """A package that no pipeline registered."""
    known = [
        row["ModelPackageGroupName"] for row in local.client.list_model_package_groups()["ModelPackageGroupSummaryList"]
    ]
    if group not in known:
        local.client.create_model_package_group(ModelPackageGroupName=group)
    arn = local.client.create_model_package(ModelPackageGroupName=group, **request)["ModelPackageArn"]
    found: dict[str, Any] = local.client.describe_model_package(ModelPackageName=arn)
    return found


def test_a_model_is_told_with_all_that_led_to_it(local: Registered) -> None:
    found = told(local, 2)
    origin = found.origin
    assert found.gaps.reasons == {}
    assert (found.status, found.champion, found.size) == ("PendingManualApproval", 1, found.size)
    assert found.size and found.size > 0
    assert (origin.version, origin.commit, dict(origin.parameters)) == (2, COMMIT, {"Epochs": "2"})
    assert origin.training and origin.training.machine == "1 × ml.m5.xlarge"
    assert dict(origin.training.settings) == {"epochs": "2", "lr": "0.1"}
    assert dict(origin.training.metrics) == {"validation_accuracy": 0.97}
    assert origin.train and (origin.train.source, origin.train.count) == ("d" * 64, 360)
    assert origin.test and origin.test.pictures != origin.train.pictures
    assert dict(origin.code) == {"train.py": f"train-{'f' * 16}"}
    assert dict(origin.addresses) == {"train.py": f"{BUCKET}/code/train-{'f' * 16}/"}


def test_a_package_of_somebody_elses_is_told_as_far_as_it_goes(local: Registered) -> None:
    found = dossier.of(local.clients, by_hand(local, "foreign"))
    assert found.evaluation.accuracy is None
    assert set(found.gaps.reasons) == {"execution", "evaluation", "archive", "health"}
    json.dumps(document.model(found), default=str)


@pytest.mark.parametrize(
    ("uri", "body"),
    [
        ("evaluation", b"{"),
        ("evaluation", b"[" * 100_000),
        ("evaluation", b'{"multiclass_classification_metrics": {"accuracy": {"value": NaN}}}'),
        ("evaluation", None),
        ("manifest", b"[]"),
        ("manifest", b"\xff"),
        ("manifest", b'{"source": {"digest": 1}, "shards": [], "count": 1}'),
        ("manifest", b" " * (17 << 20)),
        ("manifest", None),
        ("archive", None),
    ],
)
def test_a_damaged_part_is_not_known_and_the_others_are(local: Registered, uri: str, body: bytes | None) -> None:
    before = told(local, 2)
    assert before.origin.test
    address = {
        "evaluation": registry.evaluation_address(before.package),
        "manifest": f"{before.origin.test.address}/manifest.json",
        "archive": archive(before.package),
    }[uri]
    with replaced(local, address, body):
        found = told(local, 2)
    part = {"evaluation": "evaluation", "manifest": "test data", "archive": "archive"}[uri]
    assert list(found.gaps.reasons) == [part]
    assert (found.evaluation.accuracy is None) == (uri == "evaluation")
    assert (found.origin.test is None) == (uri == "manifest")
    assert (found.size is None) == (uri == "archive")


@contextmanager
def replaced(local: Registered, address: str, body: bytes | None) -> Iterator[None]:
    """None: there is no such object meanwhile."""
    storage = local.client.storage
    kept = storage.get_bytes(address)
    storage.delete(address)
    if body is not None:
        storage.put_bytes(address, body)
    yield
    storage.put_bytes(address, kept)


def test_an_execution_that_took_its_training_from_another_leads_there(tmp_path: Path) -> None:
    local = Registered(tmp_path / "home")
    local.add()
    source = str(
        local.client.list_pipeline_executions(PipelineName=PIPELINE)["PipelineExecutionSummaries"][0][
            "PipelineExecutionArn"
        ]
    )
    chosen = {"SourcePipelineExecutionArn": source, "SelectedSteps": [{"StepName": "Register"}]}
    started = local.client.start_pipeline_execution(PipelineName=PIPELINE, SelectiveExecutionConfig=chosen)
    local.wait(started["PipelineExecutionArn"])
    found = told(local, 2)
    assert found.origin.execution == started["PipelineExecutionArn"]
    assert found.origin.training and found.origin.test
    assert found.gaps.reasons == {}


def test_endpoints_that_answer_with_it_are_found_by_package_and_by_archive(local: Registered) -> None:
    package = local.package(1)
    deploy_package(local.client, package["ModelPackageArn"], "by-package")
    container = {"Image": "serve:1", "ModelDataUrl": document.model(told(local, 1))["Archive"]["ModelDataUrl"]}
    role = "arn:aws:iam::123456789012:role/darkroom"
    local.client.create_model(ModelName="staged", PrimaryContainer=container, ExecutionRoleArn=role)
    variant = {"VariantName": "A", "ModelName": "staged", "InstanceType": "ml.c5.large", "InitialInstanceCount": 2}
    local.client.create_endpoint_config(EndpointConfigName="staged", ProductionVariants=[variant])
    local.client.create_endpoint(EndpointName="by-archive", EndpointConfigName="staged")
    found = {each.endpoint: (each.by, each.machine) for each in told(local, 1).endpoints}
    assert found == {"by-package": ("package", "1 × ml.m5.large"), "by-archive": ("archive", "2 × ml.c5.large")}
    assert told(local, 2).endpoints == ()


class Refusing:
    """A service that answers one operation with this error."""

    def __init__(self, sagemaker: Any, operation: str, error: ServiceError) -> None:
        self.sagemaker, self.operation, self.error = sagemaker, operation, error

    def __getattr__(self, name: str) -> Any:
        def refuse(**_: Any) -> Any:
            raise self.error

        return refuse if name == self.operation else getattr(self.sagemaker, name)


def refusing(local: Registered, operation: str, error: ServiceError) -> Any:
    return local.clients._replace(sagemaker=Refusing(local.client, operation, error))


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        ("describe_pipeline_execution", "execution"),
        ("list_pipeline_versions", "commit"),
        ("list_pipeline_execution_steps", "steps"),
        ("describe_training_job", "training"),
        ("describe_processing_job", "test data"),
        ("list_pipeline_parameters_for_execution", "parameters"),
        ("describe_pipeline_definition_for_execution", "code"),
        ("list_endpoints", "endpoints"),
    ],
)
def test_what_the_caller_may_not_see_is_told_with_what_would_allow_it(
    local: Registered, operation: str, part: str
) -> None:
    denied = ServiceError("AccessDeniedException", "not allowed to x", hint="add to the policy of whoever calls: {}")
    found = dossier.of(refusing(local, operation, denied), local.package(2))
    assert found.gaps.reasons[part] == "not allowed to x"
    assert found.gaps.hints == [denied.hint]
    assert found.evaluation.accuracy == 0.92


@pytest.mark.parametrize("error", [Unavailable("Throttling", "throttled"), ServiceError("ExpiredToken", "expired")])
def test_what_is_wrong_with_all_of_it_is_no_gap(local: Registered, error: ServiceError) -> None:
    with pytest.raises(ServiceError) as caught:
        dossier.of(refusing(local, "list_endpoints", error), local.package(1))
    assert caught.value is error


# two


def test_on_the_same_pictures_differences_are_told_and_the_paired_comparison(local: Registered) -> None:
    found = compared(local, 2, 1)
    assert (found.same_test, found.because) == (True, "the same 360 test pictures")
    accuracy = found.figures[0]
    assert (accuracy.name, accuracy.difference) == ("accuracy", pytest.approx(0.02))
    assert [(each.name, each.difference) for each in found.classes][0] == ("owl", pytest.approx(-0.1))
    assert found.paired and (found.paired.verdict, found.paired.right_here_only) == ("better", 9)
    assert [(each.name, each.one, each.other) for each in found.settings] == [("lr", "0.1", "")]
    assert [each.name for each in found.made] == ["pipeline version"]
    assert found.data == found.parameters == ()
    [files] = found.files
    assert (files.changed, files.added, files.removed) == (("train.py",), (), ())


def test_seen_from_the_champion_the_paired_comparison_turns_round(local: Registered) -> None:
    found = compared(local, 1, 2)
    assert found.paired and (found.paired.verdict, found.paired.difference) == ("worse", -0.02)
    assert (found.paired.right_here_only, found.paired.champion) == (2, local.package(2)["ModelPackageArn"])


@pytest.mark.parametrize(
    ("version", "because"),
    [
        (3, "their test pictures come from different data"),
        (4, "their test pictures come from the same data, prepared or split differently (seed 1 and 0)"),
    ],
)
def test_figures_of_different_test_pictures_have_no_difference(local: Registered, version: int, because: str) -> None:
    found = compared(local, version, 1)
    assert (found.same_test, found.because) == (False, because)
    assert {each.difference for each in (*found.figures, *found.classes)} == {None}
    assert found.figures[0].one and found.figures[0].other
    assert found.paired is None
    assert "test pictures" in [each.name for each in found.data]


def test_where_test_data_cannot_be_looked_at_that_is_said(local: Registered) -> None:
    denied = ServiceError("AccessDeniedException", "not allowed")
    blind = dossier.of(refusing(local, "describe_processing_job", denied), local.package(2))
    found = comparison.compare(local.clients, blind, told(local, 1))
    assert found.same_test is None
    assert found.figures[0].difference == pytest.approx(0.02)


def test_classes_of_one_alone_are_told_apart(tmp_path: Path) -> None:
    local = Registered(tmp_path / "home")
    local.add()
    report = evaluated()
    report["darkroom"]["per_class"][2]["class"] = "hawk"
    local.add(report)
    found = compared(local, 2, 1)
    assert {each.name for each in found.classes} == {"cat", "dog"}
    assert [(each.name, each.one, each.other) for each in found.classes_apart] == [
        ("hawk", "there", ""),
        ("owl", "", "there"),
    ]


def test_code_that_can_no_longer_be_read_says_so(local: Registered) -> None:
    address = f"{BUCKET}/code/train-{'1' * 16}/sourcedir.tar.gz"
    version = local.add(code="1" * 16)
    local.client.storage.delete(address)
    [files] = compared(local, version, 1).files
    assert files.problem == f"{BUCKET}/code/train-{'1' * 16}/ is not in storage"


def test_both_documents_are_json(local: Registered) -> None:
    whole = json.loads(json.dumps(document.model(told(local, 2)), default=str, allow_nan=False))
    assert (whole["ModelPackageVersion"], whole["Commit"], whole["Champion"]["Verdict"]) == (2, COMMIT, "better")
    both = json.loads(json.dumps(document.comparison(compared(local, 3, 2)), allow_nan=False))
    assert (both["SameTestPictures"], both["Metrics"][0]["Difference"]) == (False, None)
    assert both["Model"]["ModelPackageGroupName"] == GROUP
