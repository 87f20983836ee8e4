"""`darkroom down --endpoints`: which endpoints go, what goes with them, and what an interruption leaves."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hosted
import pytest
from aws_account import AWS, Account, account, command

from pipeline.client import Hosting, local_hosting
from pipeline.control import fleets, removal
from pipeline.local.guard import MARK
from pipeline.local.server import LoopbackServer
from pipeline.plan.prices import Prices

Capture = pytest.CaptureFixture[str]
STAGING, PRODUCTION = "darkroom-digits-staging", "darkroom-digits-production"
VARIANT = "AllTraffic"
DAY = timedelta(days=1)
FREE = Prices("us-east-1", {"ml.m5.large": 0.115}, "own.json", "2026-12-01")
NOW = datetime(2026, 12, 1, tzinfo=UTC)


class Metrics:
    """CloudWatch, where only these endpoints were asked: name → hours ago, and how often."""

    def __init__(self, asked: dict[str, tuple[int, float]]) -> None:
        self.asked = asked
        self.requests: list[dict[str, Any]] = []

    def get_metric_statistics(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        hours, times = self.asked.get(request["Dimensions"][0]["Value"], (0, 0.0))
        when = request["EndTime"] - timedelta(hours=hours)
        return {"Datapoints": [{"Timestamp": when, "Sum": times}] if times else []}


@pytest.fixture(autouse=True)
def in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it were: CreateEndpoint starts no process there."""
    monkeypatch.setenv(MARK, "execution")


def deployed(hosting: Hosting, name: str, version: str = "v1-0123456789") -> str:
    """The same with alarms, of its own and of the stack; its configuration's name."""
    made = f"{name}-{version}"
    hosted.deployed(hosting, name, made, instances=2)
    for alarm in (f"{made}-errors", f"stack-{name}-errors"):
        hosting.alarms.put_metric_alarm(
            AlarmName=alarm,
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanThreshold",
        )
    return made


def there(hosting: Hosting) -> dict[str, list[str]]:
    sagemaker = hosting.sagemaker
    return {
        "endpoints": [row["EndpointName"] for row in sagemaker.list_endpoints()["Endpoints"]],
        "configs": [row["EndpointConfigName"] for row in sagemaker.list_endpoint_configs()["EndpointConfigs"]],
        "models": [row["ModelName"] for row in sagemaker.list_models()["Models"]],
        "targets": [
            row["ResourceId"]
            for row in hosting.scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        ],
        "policies": [
            row["PolicyName"]
            for row in hosting.scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
        ],
        "alarms": [row["AlarmName"] for row in hosting.alarms.describe_alarms()["MetricAlarms"]],
    }


NOTHING: dict[str, list[str]] = dict.fromkeys(("endpoints", "configs", "models", "targets", "policies", "alarms"), [])


@pytest.fixture
def hosting(tmp_path: Path) -> Hosting:
    return local_hosting(str(tmp_path / "home"))


def test_each_endpoint_is_told_with_machines_price_and_last_call(hosting: Hosting) -> None:
    deployed(hosting, STAGING)
    metrics = Metrics({STAGING: (3, 7.0)})
    now = datetime.now(UTC) + 2 * DAY
    (found,) = fleets.fleets(hosting._replace(metrics=metrics), [STAGING], DAY, FREE, now)
    assert (found.ours, found.status, found.variants) == (True, "InService", [(VARIANT, "ml.m5.large", 2)])
    assert (found.hourly, [price.source for price in found.prices]) == (pytest.approx(0.23), ["own.json"])
    assert (found.invocations, found.last) == (7, now - timedelta(hours=3))
    (asked,) = metrics.requests
    assert (asked["Period"], asked["EndTime"] - asked["StartTime"]) == (3600, DAY)


def test_an_endpoint_whose_configuration_somebody_deleted_is_listed_and_can_go(hosting: Hosting) -> None:
    hosting.sagemaker.delete_endpoint_config(EndpointConfigName=deployed(hosting, STAGING))
    (found,) = fleets.fleets(hosting, [STAGING], DAY, FREE, NOW)
    assert (found.name, found.variants, found.hourly) == (STAGING, [(VARIANT, fleets.UNKNOWN, 2)], None)
    removal.remove(removal.parts(hosting, STAGING, True), lambda said: None)
    assert there(hosting)["endpoints"] == []


def test_a_machine_whose_price_nobody_said_costs_unknown(hosting: Hosting) -> None:
    deployed(hosting, STAGING)
    (found,) = fleets.fleets(hosting, [STAGING], DAY, Prices("eu-central-1", {}, "", ""), NOW)
    assert (found.hourly, found.prices) == (None, [None])


@pytest.mark.parametrize(
    ("age", "invocations", "window", "why"),
    [
        (2 * DAY, 0, DAY, ""),
        (2 * DAY, 1200, DAY, "asked 1,200 times in 24 h"),
        (timedelta(hours=2), 0, DAY, "younger than 24 h"),
        (9 * DAY, None, 7 * DAY, "nobody knows whether it is asked: denied"),
        (timedelta(hours=2), 5, timedelta(), ""),
    ],
)
def test_an_endpoint_goes_only_when_it_is_sure_that_nobody_asks(
    age: timedelta, invocations: int | None, window: timedelta, why: str
) -> None:
    fleet = fleets.Fleet("e", True, "InService", NOW - age, [], None, None, invocations, None, "denied")
    assert fleets.idle(fleet, window, NOW) == why


@pytest.mark.parametrize(
    ("made", "is_for"),
    [
        (f"{STAGING}-v1-0123456789", True),
        (f"{STAGING}-v12-01234567-errors", True),
        (f"{PRODUCTION}-v1-0123456789", False),
        (f"{STAGING}-v1", False),
        (f"other-{STAGING}-v1-0123456789", False),
        (f"{'e' * 45}-v1-0123456789", False),
    ],
)
def test_what_is_called_after_an_endpoint_is_its_own(made: str, is_for: bool) -> None:
    assert fleets.made_for(made, STAGING) == is_for


def test_a_long_name_that_was_cut_is_still_known() -> None:
    assert fleets.made_for(f"{'e' * 45}-v1-0123456789", "e" * 63)


def test_everything_that_was_made_for_an_endpoint_goes_and_the_rest_stays(hosting: Hosting) -> None:
    deployed(hosting, STAGING)
    deployed(hosting, "of-others")
    kept = there(hosting)
    said: list[str] = []
    removal.remove(removal.parts(hosting, STAGING, True), said.append)
    assert [line.partition(STAGING)[0] for line in said] == [
        "deleted scaling policy invocations",
        "deleted scalable target endpoint/",
        "deleted alarm ",
        "deleted endpoint ",
        "deleted endpoint configuration ",
        "deleted model ",
    ]
    left = there(hosting)
    of_policies = f"TargetTracking-endpoint/{STAGING}/"
    assert left["alarms"] == [name for name in kept["alarms"] if not name.startswith((STAGING, of_policies))]
    assert {key: names for key, names in left.items() if key != "alarms"} == {
        "endpoints": ["of-others"],
        "configs": ["of-others-v1-0123456789"],
        "models": ["of-others-v1-0123456789"],
        "targets": [f"endpoint/of-others/variant/{VARIANT}"],
        "policies": ["invocations"],
    }
    assert removal.parts(hosting, STAGING, True) == []


def test_earlier_versions_go_too_and_what_another_endpoint_uses_stays(hosting: Hosting) -> None:
    older = deployed(hosting, STAGING)
    sagemaker = hosting.sagemaker
    sagemaker.create_model(
        ModelName=f"{STAGING}-v2-0123456789",
        PrimaryContainer={"Image": "img:1"},
        ExecutionRoleArn="arn:aws:iam::1:role/r",
    )
    newer = f"{STAGING}-v2-0123456789"
    variant = {"VariantName": VARIANT, "ModelName": newer, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=newer, ProductionVariants=[variant])
    sagemaker.update_endpoint(EndpointName=STAGING, EndpointConfigName=newer)
    sagemaker.create_endpoint(EndpointName="borrower", EndpointConfigName=older)
    found = {(part.kind, part.name) for part in removal.parts(hosting, STAGING, True)}
    assert {("endpoint configuration", newer), ("model", newer)} <= found
    assert not {("endpoint configuration", older), ("model", older)} & found


def test_of_a_foreign_endpoint_only_what_it_names_goes(hosting: Hosting) -> None:
    deployed(hosting, STAGING, "v1-0123456789")
    deployed(hosting, "of-others")
    kinds = [part.kind for part in removal.parts(hosting, "of-others", False)]
    assert kinds == ["scaling policy", "scalable target", "endpoint", "endpoint configuration", "model"]


# the command over HTTP


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(server, tmp_path_factory.mktemp("down")) as made:
        yield made


@pytest.fixture
def real(aws: Account) -> Iterator[Hosting]:
    """The service itself, past HTTP, with nothing in it before and after."""
    found = local_hosting(aws.front.backend.home)
    empty(found)
    aws.front.begin()
    yield found
    aws.front.begin()
    empty(found)


def empty(hosting: Hosting) -> None:
    for name in there(hosting)["endpoints"]:
        for part in removal.parts(hosting, name, False):
            part.delete()
    for alarm in there(hosting)["alarms"]:
        hosting.alarms.delete_alarms(AlarmNames=[alarm])


@pytest.fixture
def down(tmp_path: Path, capsys: Capture) -> Callable[..., tuple[int, str, str]]:
    (tmp_path / "pipeline.yaml").write_text("{}")
    words = ("down", "--endpoints", "-c", str(tmp_path / "pipeline.yaml"))
    return lambda *more: command(capsys, *words, *more)


Down = Callable[..., tuple[int, str, str]]


def test_it_lists_and_without_a_terminal_deletes_nothing_unless_told(real: Hosting, down: Down) -> None:
    deployed(real, STAGING)
    deployed(real, "of-others")
    code, out, err = down("--idle", "0", *AWS)
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()] == ["ENDPOINT", "of-others", STAGING]
    assert "not of this pipeline" in out
    assert f"would delete endpoint {STAGING}\n" in err
    assert "there is no terminal to ask on" in err
    assert "--idle 0 --target aws --yes" in err
    assert len(there(real)["endpoints"]) == 2
    code, out, err = down("--idle", "0", "--yes", "--json", *AWS)
    assert (code, there(real)["endpoints"]) == (0, ["of-others"])
    assert {row["EndpointName"]: row["EndpointStatus"] for row in json.loads(out)} == {
        "of-others": "InService",
        STAGING: "Deleted",
    }
    assert f"deleted endpoint {STAGING}\n" in err


def test_a_price_of_pipeline_yaml_counts_and_that_of_a_file_before_it(
    real: Hosting, down: Down, tmp_path: Path
) -> None:
    deployed(real, STAGING)
    (tmp_path / "pipeline.yaml").write_text("prices: {ml.m5.large: 0.25}")
    (tmp_path / "own.json").write_text('{"ml.m5.large": 0.5}')

    def hourly(*words: str) -> float:
        (found,) = json.loads(down("--idle", "30d", "--json", *words, *AWS)[1])
        return float(found["UsdPerHour"])

    assert hourly() == pytest.approx(2 * 0.25)
    assert hourly("--prices", str(tmp_path / "own.json")) == pytest.approx(2 * 0.5)


def test_what_is_too_young_stays(real: Hosting, down: Down) -> None:
    deployed(real, STAGING)
    code, out, _ = down("--yes", "--json", *AWS)
    (row,) = json.loads(out)
    assert (code, row["Stays"], row["Ours"], row["EndpointStatus"]) == (0, "younger than 24 h", True, "InService")
    assert (row["Invocations"], row["UsdPerHour"]) == (0, 0.23)  # two of them
    assert row["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert there(real)["endpoints"] == [STAGING]


def test_a_foreign_endpoint_goes_only_by_its_name(real: Hosting, down: Down) -> None:
    deployed(real, "of-others")
    deployed(real, "of-more-others")
    assert down("--idle", "0", "--yes", "--all", "of-others", *AWS)[0] == 0
    assert there(real)["endpoints"] == ["of-more-others"]
    code, _, err = down("--idle", "0", "--yes", "--all", "of-other", *AWS)
    assert (code, "there is no endpoint 'of-other'; there is: of-more-others" in err) == (1, True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "left"), [("y\n", []), ("\n", [STAGING])])
def test_on_a_terminal_it_asks(
    down: Down, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, left: list[str]
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "own"))
    here = local_hosting(str(tmp_path / "own"))
    deployed(here, STAGING)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    code, _, err = down("--idle", "0")
    assert (code, there(here)["endpoints"]) == (0, left)
    assert ("nothing was deleted" in err) == bool(left)


def test_a_removal_that_breaks_off_says_what_was_done(real: Hosting, aws: Account, down: Down) -> None:
    deployed(real, STAGING)
    aws.front.begin(lambda operation, _: "denied" if operation == "DeleteEndpoint" else "")
    code, _, err = down("--idle", "0", "--yes", *AWS)
    assert (code, "3 deleted, 3 left; run it again" in err) == (1, True)
    assert '"Action": "sagemaker:DeleteEndpoint"' in err
    assert there(real)["endpoints"] == [STAGING]


@pytest.mark.parametrize("text", ["", "24", "1w", "61d", "-1h", "0h"])
def test_a_time_that_is_none_is_usage(down: Down, capsys: Capture, text: str) -> None:
    with pytest.raises(SystemExit) as ended:
        down(f"--idle={text}")
    assert ended.value.code == 2
    assert "is no time such as 24h" in capsys.readouterr().err


def test_this_machines_endpoints_go_likewise(down: Down, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "own"))
    here = local_hosting(str(tmp_path / "own"))
    deployed(here, PRODUCTION)
    code, out, _ = down("--yes")
    assert (code, "younger than 24 h" in out) == (0, True)
    assert down("--idle", "0", "--yes")[0] == 0
    assert there(here)["endpoints"] == []
    assert there(here)["policies"] == []


def test_each_machine_of_an_endpoint_is_told_with_the_source_of_its_price(
    real: Hosting, down: Down, tmp_path: Path
) -> None:
    role = "arn:aws:iam::111122223333:role/serve"
    real.sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "img:1"}, ExecutionRoleArn=role)
    machines = {"A": "ml.m5.large", "B": "ml.m5.2xlarge", "C": "ml.r5.large"}
    variants = [
        {"VariantName": name, "ModelName": "m", "InstanceType": machine, "InitialInstanceCount": 1}
        for name, machine in machines.items()
    ]
    real.sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=variants)
    real.sagemaker.create_endpoint(EndpointName="mixed", EndpointConfigName="c")
    [row] = json.loads(down("--json", *AWS)[1])
    told = {each["InstanceType"]: each["Price"] for each in row["ProductionVariants"]}
    assert [told[machine] and told[machine]["UsdPerHour"] for machine in machines.values()] == [0.115, 0.461, None]
    assert told["ml.m5.large"]["Source"] != told["ml.m5.2xlarge"]["Source"]
    assert row["UsdPerHour"] is None
