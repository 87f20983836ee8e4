"""Deployments from start to end, on a clock of the test's: what is done in which phase, and what repeated calls do."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from hosting import Hosting, Killed
from lambda_deploy import handler
from rollout.account import DeployFailed, DeployRefused

NAME = "digits-production"
EVENT = {
    "action": "start",
    "stage": "production",
    "endpoint_name": NAME,
    "instance_type": "ml.m5.large",
    "instance_count": "1",
    "role_arn": "arn:aws:iam::111122223333:role/darkroom-serving",
    "scaling": "min=1 max=3 target=10",
}
SCHEDULE_S = 300
LONGEST_CALL_S, LONGEST_START_S = 480, 60
RESOURCE = f"endpoint/{NAME}/variant/AllTraffic"


class Team:
    """Whoever calls the function: people, EventBridge with every event twice, and a schedule in case one is lost."""

    def __init__(self, **changes: str) -> None:
        self.aws = Hosting()
        self.changes = changes
        self.failures: list[str] = []

    def call(self, **event: Any) -> dict[str, Any]:
        began = self.aws.clock.now
        try:
            return handler(event, None, self.aws.clients())
        finally:
            longest = LONGEST_START_S if event.get("action") == "start" else LONGEST_CALL_S
            assert self.aws.clock.now - began < longest

    def start(self, version: int, **changes: str) -> dict[str, Any]:
        arn = f"arn:aws:sagemaker:eu-central-1:111122223333:model-package/digits/{version}"
        return self.call(**{**EVENT, **self.changes, "model_package_arn": arn, **changes})

    def advance(self) -> dict[str, Any]:
        return self.call(action="advance", endpoint_name=NAME)

    def deliver(self) -> None:
        while self.aws.events:
            event = self.aws.events.pop(0)
            for _ in range(2):
                self.told(event)

    def told(self, event: dict[str, Any]) -> None:
        """Lambda repeats an invocation that ended with an error; one that was told of is none any more then."""
        for _ in range(3):
            try:
                self.call(**event)
            except DeployFailed as failure:
                self.failures.append(str(failure))
            except (ClientError, Killed):
                continue
            return

    def wait(self, minutes: float) -> None:
        """The schedule looks every five minutes; events come as they happen."""
        for _ in range(round(minutes * 2)):
            self.aws.clock.now += 30
            self.aws.settle()
            self.deliver()
            if self.aws.clock.now % SCHEDULE_S == 0:
                self.told({"action": "advance", "endpoint_name": NAME})

    def deployed(self, version: int, **changes: str) -> str:
        """Registered, started, waited for: the configuration's name."""
        self.aws.register(version)
        config: str = self.start(version, **changes)["endpoint_config_name"]
        self.wait(30)
        assert self.phase == "good", self.reason
        return config

    def tag(self, name: str) -> str:
        return self.aws.tags[f"arn:aws:sagemaker:eu-central-1:111122223333:endpoint/{NAME}"][f"darkroom:{name}"]

    @property
    def phase(self) -> str:
        return self.tag("phase")

    @property
    def reason(self) -> str:
        return self.tag("reason")

    @property
    def live(self) -> dict[str, Any]:
        self.aws.settle()
        return self.aws.endpoints[NAME]


@pytest.fixture
def team() -> Team:
    return Team()


def test_a_first_deployment_is_created_asked_and_scaled(team: Team) -> None:
    team.aws.register(1)
    assert team.start(1)["status"] == "Creating"
    assert team.aws.targets == {}, "nothing can be scaled before it is in service"
    team.wait(6)
    assert (team.phase, team.tag("stage")) == ("good", "production")
    assert team.aws.targets[RESOURCE]["MaxCapacity"] == 3
    policy = team.aws.policies[RESOURCE]["TargetTrackingScalingPolicyConfiguration"]
    assert policy == {
        "TargetValue": 10.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleOutCooldown": 30,
        "ScaleInCooldown": 120,
    }


def test_a_deployment_of_twenty_five_minutes_ends_well_though_no_call_waits(team: Team) -> None:
    team.deployed(1, instance_count="2")
    team.aws.register(2)
    began = team.aws.clock.now
    config = team.start(2, instance_count="2", update="canary=50 bake_s=600 wait_s=300")["endpoint_config_name"]
    while team.phase != "good":
        team.wait(0.5)
    assert 24 <= (team.aws.clock.now - began) / 60 <= 26
    assert (team.live["EndpointConfigName"], team.tag("good")) == (config, config)
    assert team.failures == []


def test_one_instance_changes_all_at_once_and_two_by_a_canary(team: Team) -> None:
    team.deployed(1)
    team.deployed(2)
    policy = team.live["deploying"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    assert policy["TerminationWaitInSeconds"] == 300
    team.live["count"] = 3  # autoscaling's
    team.deployed(3)
    routing = team.live["deploying"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["CanarySize"] == {"Type": "INSTANCE_COUNT", "Value": 1}
    assert team.live["count"] == 3, "an update keeps what autoscaling has made of the fleet"
    assert RESOURCE in team.aws.policies and "DeregisterScalableTarget" not in team.aws.calls


def test_alarms_of_the_new_fleet_are_there_before_the_update_and_watched_by_it(team: Team) -> None:
    team.deployed(1)
    team.aws.register(2)
    team.aws.calls.clear()
    config = team.start(2)["endpoint_config_name"]
    assert team.aws.calls.index("PutMetricAlarm") < team.aws.calls.index("UpdateEndpoint")
    watched = team.live["deploying"]["AutoRollbackConfiguration"]["Alarms"]
    assert [each["AlarmName"] for each in watched] == [f"{config}-errors", f"{config}-latency"]
    dimensions = {each["Name"]: each["Value"] for each in team.aws.alarms[f"{config}-errors"]["Dimensions"]}
    assert dimensions == {"EndpointName": NAME, "VariantName": "AllTraffic", "EndpointConfigName": config}


def test_a_silent_rollback_is_a_failure_that_names_the_alarm_and_is_told_once(team: Team) -> None:
    first = team.deployed(1)
    team.aws.register(2)
    config = team.start(2)["endpoint_config_name"]
    team.wait(6)
    team.aws.alarm(f"{config}-errors", "1 datapoint [0.5] was greater than the threshold (0.05)")
    team.deliver()  # RollingBack
    team.aws.alarms[f"{config}-errors"]["StateValue"] = "OK"  # nobody asks the new fleet any more
    team.wait(30)
    assert team.live["EndpointStatus"] == "InService"
    assert team.live["EndpointConfigName"] == first
    assert (team.phase, len(team.failures)) == ("failed", 1)
    assert f"alarm {config}-errors: 1 datapoint" in team.failures[0]
    assert f"rolled back to {first}" in team.reason
    assert RESOURCE in team.aws.targets


def test_a_rollback_whose_every_event_is_lost_is_seen_by_the_schedule(team: Team) -> None:
    team.deployed(1)
    team.aws.register(2)
    config = team.start(2)["endpoint_config_name"]
    team.aws.clock.now += 60
    team.aws.alarm(f"{config}-latency")
    team.aws.clock.now += 3600
    team.aws.settle()
    team.aws.events.clear()
    with pytest.raises(DeployFailed, match=f"alarm {config}-latency"):
        team.advance()
    assert team.advance()["phase"] == "failed"


def test_a_model_that_answers_otherwise_than_in_its_evaluation_is_taken_back(team: Team) -> None:
    first = team.deployed(1)
    team.aws.register(2)
    team.aws.said["s3://bucket/runs/2/model.tar.gz"]["one"] = ("7", 0.66)
    team.start(2)
    team.wait(30)
    assert team.live["EndpointConfigName"] == first
    assert (team.phase, team.tag("good")) == ("failed", first)
    assert team.failures == [team.failures[0]]
    assert "golden picture one: 7 at 0.6600 where the evaluation had 1 at 0.8700" in team.failures[0]
    assert team.live["deploying"].get("AutoRollbackConfiguration") is None, "the way back is not guarded"


@pytest.mark.parametrize(("probability", "phase"), [(0.8709, "good"), (0.8711, "failed")])
def test_a_probability_may_differ_by_a_thousandth(team: Team, probability: float, phase: str) -> None:
    team.aws.register(1)
    team.aws.said["s3://bucket/runs/1/model.tar.gz"]["one"] = ("1", probability)
    team.start(1)
    team.wait(6)
    assert team.phase == phase


def test_a_first_model_that_fails_its_smoke_test_stays_and_is_called_failed(team: Team) -> None:
    team.aws.register(1)
    team.aws.said["s3://bucket/runs/1/model.tar.gz"] = "Received server error (500)"
    team.start(1)
    team.wait(6)
    assert (team.phase, team.live["EndpointStatus"]) == ("failed", "InService")
    assert "no good deployment to go back to" in team.reason
    assert "Received server error" in team.reason


def test_another_machine_takes_autoscaling_back_and_gets_its_own(team: Team) -> None:
    team.deployed(1)
    team.aws.register(2)
    team.start(2, instance_type="ml.c5.xlarge", scaling="min=2 max=5 target=4 metric=concurrency")
    assert team.aws.targets == {}
    team.wait(30)
    assert team.aws.targets[RESOURCE]["MinCapacity"] == 2
    policy = team.aws.policies[RESOURCE]["TargetTrackingScalingPolicyConfiguration"]
    metric = policy["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert metric == "SageMakerVariantConcurrentRequestsPerModelHighResolution"


def test_after_a_rollback_from_another_machine_the_old_one_is_scaled_again(team: Team) -> None:
    team.deployed(1)
    team.aws.register(2)
    config = team.start(2, instance_type="ml.c5.xlarge")["endpoint_config_name"]
    team.wait(1)
    team.aws.alarm(f"{config}-errors")
    team.wait(5)
    assert team.phase == "failed"
    assert RESOURCE in team.aws.targets


def test_other_scaling_alone_changes_no_fleet(team: Team) -> None:
    config = team.deployed(1)
    team.aws.calls.clear()
    team.start(1, scaling="none")
    assert team.advance()["phase"] == "good"
    assert team.aws.targets == {}
    assert "UpdateEndpoint" not in team.aws.calls
    assert team.live["EndpointConfigName"] == config


def test_what_is_good_is_asked_for_again_without_effect(team: Team) -> None:
    team.deployed(1)
    team.aws.calls.clear()
    answer = team.start(1)
    assert (answer["phase"], answer["status"]) == ("good", "InService")
    assert not {"UpdateEndpoint", "CreateModel", "PutMetricAlarm"} & {*team.aws.calls}


APPROVED = {1: "2026-12-01T07:00:00Z", 2: "2026-12-01T07:05:00Z"}


def test_an_approval_that_comes_late_changes_nothing(team: Team) -> None:
    team.aws.register(1)
    config = team.deployed(2, asked_at=APPROVED[2])
    assert team.start(1, asked_at=APPROVED[1])["phase"] == "superseded"
    team.wait(30)
    assert team.live["EndpointConfigName"] == config


def test_an_approval_that_comes_twice_does_not_try_a_failed_model_again(team: Team) -> None:
    first = team.deployed(1, asked_at=APPROVED[1])
    team.aws.register(2)
    config = team.start(2, asked_at=APPROVED[2])["endpoint_config_name"]
    team.wait(1)
    team.aws.alarm(f"{config}-errors")
    team.wait(5)
    team.aws.alarms[f"{config}-errors"]["StateValue"] = "OK"
    assert team.start(2, asked_at=APPROVED[2])["phase"] == "failed"
    assert team.live["EndpointConfigName"] == first
    assert team.live["EndpointStatus"] == "InService"
    team.start(2)  # somebody asks for it anew
    assert team.live["EndpointStatus"] == "Updating"


def test_a_duplicate_between_rollback_and_its_discovery_sends_nothing(team: Team) -> None:
    team.deployed(1, asked_at=APPROVED[1])
    team.aws.register(2)
    config = team.start(2, asked_at=APPROVED[2])["endpoint_config_name"]
    team.aws.clock.now += 60
    team.aws.alarm(f"{config}-errors")
    team.aws.clock.now += 600
    assert team.start(2, asked_at=APPROVED[2])["phase"] == "deploying"
    assert team.live["EndpointStatus"] == "InService"
    with pytest.raises(DeployFailed, match="rolled back"):
        team.advance()


def test_another_model_is_refused_while_one_is_on_its_way(team: Team) -> None:
    team.deployed(1)
    team.aws.register(2)
    team.aws.register(3)
    team.start(2)
    with pytest.raises(DeployRefused, match="is Updating with another configuration: deploy again"):
        team.start(3)


def test_rollback_leads_to_the_good_one_before_and_once(team: Team) -> None:
    first = team.deployed(1)
    team.deployed(2)
    assert team.call(action="rollback", endpoint_name=NAME)["endpoint_config_name"] == first
    team.wait(30)
    assert (team.phase, team.live["EndpointConfigName"], team.tag("good")) == ("good", first, first)
    with pytest.raises(DeployRefused, match="no earlier good deployment"):
        team.call(action="rollback", endpoint_name=NAME)


def test_what_is_to_be_deleted_is_not_kept_by_a_rollback(team: Team) -> None:
    team.deployed(1)
    team.deployed(2)
    team.aws.register(3)
    team.start(3)
    team.call(action="undeploy", endpoint_name=NAME)
    team.aws.clock.now += 3600
    team.aws.settle()
    team.aws.events.clear()
    with pytest.raises(DeployRefused, match="is being deleted"):
        team.call(action="rollback", endpoint_name=NAME)
    assert team.phase == "leaving"


def test_rollback_passes_a_failed_deployment_by(team: Team) -> None:
    first = team.deployed(1)
    second = team.deployed(2)
    team.aws.register(3)
    config = team.start(3)["endpoint_config_name"]
    team.wait(1)
    team.aws.alarm(f"{config}-errors")
    team.wait(5)
    assert (team.phase, team.live["EndpointConfigName"]) == ("failed", second)
    team.call(action="rollback", endpoint_name=NAME)
    team.wait(30)
    assert team.live["EndpointConfigName"] == first


def test_what_no_way_leads_back_to_is_deleted_with_its_model_and_alarms(team: Team) -> None:
    names = [team.deployed(version) for version in (1, 2)]
    team.wait(90)
    names.append(team.deployed(3))
    assert [*team.aws.configs] == names[1:]
    assert len(team.aws.models) == 2
    assert {name.rpartition("-")[0] for name in team.aws.alarms} == {*names[1:]}


def test_undeploying_leaves_nothing(team: Team) -> None:
    team.deployed(1)
    team.deployed(2)
    assert team.call(action="undeploy", endpoint_name=NAME)["phase"] == "leaving"
    team.wait(2)
    assert team.call(action="undeploy", endpoint_name=NAME)["phase"] == "absent"
    aws = team.aws
    assert not any((aws.endpoints, aws.configs, aws.models, aws.alarms, aws.targets, aws.policies, aws.tags))


def test_undeploying_what_somebody_deleted_by_hand_leaves_nothing_either(team: Team) -> None:
    team.deployed(1)
    team.aws.delete_endpoint(NAME)
    team.aws.clock.now += 600
    team.aws.settle()
    assert team.aws.targets, "it scales nothing, and is still there"
    assert team.call(action="undeploy", endpoint_name=NAME)["phase"] == "absent"
    aws = team.aws
    assert not any((aws.endpoints, aws.configs, aws.models, aws.alarms, aws.targets, aws.policies, aws.tags))


def test_somebody_elses_endpoint_that_is_being_changed_is_deleted_too_when_it_can_be(team: Team) -> None:
    team.aws.register(1)
    team.start(1)
    team.aws.tags.clear()
    assert team.call(action="undeploy", endpoint_name=NAME)["phase"] == "leaving"
    team.wait(10)
    assert not team.aws.endpoints


def test_an_endpoint_that_is_being_changed_is_deleted_when_it_can_be(team: Team) -> None:
    team.deployed(1)
    team.aws.register(2)
    team.start(2)
    assert team.call(action="undeploy", endpoint_name=NAME)["phase"] == "leaving"
    team.aws.clock.now += 1
    with pytest.raises(DeployRefused, match="is being deleted"):
        team.start(2)
    team.wait(30)
    assert not any((team.aws.endpoints, team.aws.configs, team.aws.models, team.aws.alarms, team.aws.targets))


def test_what_belongs_to_others_is_left_to_them(team: Team) -> None:
    team.deployed(1)
    before = {*team.aws.configs}
    other = team.call(**{**EVENT, "endpoint_name": f"{NAME}-v1-0123456789", "model_package_arn": team.aws.register(1)})
    team.call(action="undeploy", endpoint_name=NAME)
    assert before.isdisjoint(team.aws.configs)
    assert [*team.aws.configs] == [other["endpoint_config_name"]]


def test_an_endpoint_that_somebody_else_made_is_looked_at_and_left_alone(team: Team) -> None:
    team.aws.register(1)
    team.start(1)
    team.aws.tags.clear()
    assert team.advance()["phase"] == "foreign"
    assert team.call(action="advance", endpoint_name="nobodys")["phase"] == "absent"


def test_of_several_endpoints_each_is_looked_at_though_one_has_failed(team: Team) -> None:
    team.aws.register(1)
    team.aws.said["s3://bucket/runs/1/model.tar.gz"] = "Received server error (500)"
    team.start(1)
    team.start(1, endpoint_name="digits-staging", stage="staging", smoke_test="false")
    team.aws.clock.now += 600
    team.aws.settle()
    with pytest.raises(DeployFailed, match=NAME):
        team.call(action="advance", endpoint_name=f"{NAME},digits-staging")
    answers = team.call(action="advance", endpoint_name=f"{NAME},digits-staging")
    assert {name: each["phase"] for name, each in answers.items()} == {NAME: "failed", "digits-staging": "good"}


@pytest.mark.parametrize(
    ("fault", "error", "words"), [("lost", ClientError, "Rate exceeded"), ("silent", BotoCoreError, "timeout")]
)
def test_of_several_endpoints_each_is_looked_at_though_one_cannot_be(
    team: Team, fault: str, error: type[Exception], words: str
) -> None:
    team.aws.register(1)
    team.start(1, endpoint_name="digits-staging", stage="staging")
    team.aws.clock.now += 600
    team.aws.calls.clear()
    team.aws.faults = lambda number, operation: fault if number == 1 else ""
    with pytest.raises(error, match=words):
        team.call(action="advance", endpoint_name=f"{NAME},digits-staging")
    assert [*team.aws.targets] == ["endpoint/digits-staging/variant/AllTraffic"], "the other one is good meanwhile"


def test_a_package_without_golden_pictures_is_refused_before_anything_is_made(team: Team) -> None:
    team.aws.register(1)
    team.aws.objects.clear()
    with pytest.raises(DeployRefused, match="has no golden pictures: s3://bucket/runs/1/evaluation/golden.json"):
        team.start(1)
    assert not any((team.aws.models, team.aws.configs, team.aws.alarms))
    assert team.start(1, smoke_test="false")["status"] == "Creating"


def test_serverless_has_no_fleet_no_guardrails_and_stays_what_it_is(team: Team) -> None:
    serverless = {"serverless": "memory=2048 concurrency=5", "scaling": "none", "network_isolation": "false"}
    team.deployed(1, **serverless)
    config = team.aws.configs[team.deployed(2, **serverless)]
    variant = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    assert config["ProductionVariants"][0].items() >= variant.items()
    assert (team.live["deploying"], team.aws.alarms) == ({}, {})
    with pytest.raises(DeployRefused, match="is serverless, and stays so"):
        team.start(2)


def test_asynchronous_endpoints_answer_into_s3(team: Team) -> None:
    asynchronous = "output=s3://bucket/answers/ success_topic=arn:aws:sns:eu-central-1:111122223333:done at_once=2"
    scaling = "min=0 max=2 target=5 metric=backlog"
    config = team.deployed(1, asynchronous=asynchronous, smoke_test="false", scaling=scaling)
    assert team.aws.configs[config]["AsyncInferenceConfig"] == {
        "OutputConfig": {
            "S3OutputPath": "s3://bucket/answers/",
            "NotificationConfig": {"SuccessTopic": "arn:aws:sns:eu-central-1:111122223333:done"},
        },
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
    }
    policy = team.aws.policies[RESOURCE]["TargetTrackingScalingPolicyConfiguration"]
    assert policy["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"
    assert team.aws.targets[RESOURCE]["MinCapacity"] == 0


def ways() -> dict[str, Any]:
    """Whole lives of an endpoint: what is asked for, and what happens between."""

    def good(team: Team) -> None:
        team.aws.register(2)
        again(team, lambda: team.start(2, asked_at="2026-12-01T10:00:00Z", instance_type="ml.c5.xlarge"))

    def unfit(team: Team) -> None:
        team.aws.register(2)
        team.aws.said["s3://bucket/runs/2/model.tar.gz"]["zero"] = ("8", 0.5)
        again(team, lambda: team.start(2, asked_at="2026-12-01T10:00:00Z"))

    def back(team: Team) -> None:
        again(team, lambda: team.call(action="rollback", endpoint_name=NAME, asked_at="2026-12-01T10:00:00Z"))

    def gone(team: Team) -> None:
        again(team, lambda: team.call(action="undeploy", endpoint_name=NAME))

    def first(team: Team) -> None:
        again(team, lambda: team.call(action="undeploy", endpoint_name=NAME))
        team.wait(3)
        good(team)

    return {"good": good, "unfit": unfit, "back": back, "gone": gone, "first": first}


def again(team: Team, act: Any) -> None:
    """As whoever called repeats what ended with an error, or with nothing."""
    try:
        act()
    except (ClientError, Killed):
        act()


def end(way: str, fails: int, fault: str) -> tuple[Any, int]:
    """How the endpoint ends when the n-th call fails, and how many calls there were."""
    team = Team()
    team.aws.checks = False  # the same requests are checked in all the tests above; here there are very many
    first = team.deployed(1)
    if way == "back":
        team.aws.clock.now += 7200
        team.deployed(0)
    team.aws.calls.clear()
    team.aws.faults = lambda number, operation: fault if number == fails else ""
    ways()[way](team)
    for _ in range(20):
        team.aws.clock.now += 120
        team.aws.settle()
        team.aws.events.clear()  # all of them are lost
        try:
            team.advance()
        except DeployFailed as failure:
            team.failures.append(str(failure))
        except (ClientError, Killed):
            continue
    calls = len(team.aws.calls)
    aws = team.aws
    if NAME not in aws.endpoints:
        return (way, [*aws.configs], [*aws.models], [*aws.alarms], [*aws.targets]), calls
    state = (team.phase, team.live["EndpointConfigName"] == first, team.live["EndpointStatus"], [*aws.targets])
    return (way, *state, team.tag("good") == team.live["EndpointConfigName"]), calls


@pytest.mark.parametrize("way", [*ways()])
def test_any_single_call_may_fail_before_or_after_it_is_done_or_be_the_last_one(way: str) -> None:
    wanted, calls = end(way, 0, "")
    # of the last calls each is an advance that finds the end, over and over
    for number in range(1, min(calls, 60) + 1):
        for fault in ("lost", "unheard", "killed"):
            assert end(way, number, fault)[0] == wanted, (number, fault)
