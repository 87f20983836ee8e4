import json
import sys
import time

import pytest
from local_pipelines import IMAGE, Local, condition, document, fail, processing

from pipeline.errors import ServiceError
from pipeline.local.images import register_image


@pytest.fixture
def local(tmp_path):
    return Local(tmp_path / "home")


def equals(left, right):
    return {"Type": "Equals", "LeftValue": left, "RightValue": right}


ACCURACY = {"PropertyFileName": "Report", "OutputName": "evaluation", "FilePath": "evaluation.json"}
JSON_GET = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}, "Path": "accuracy.value"}}


def evaluate(value="0.97"):
    words = ("write", "/opt/ml/processing/output/evaluation/evaluation.json", f'{{"accuracy": {{"value": {value}}}}}')
    return processing("Evaluate", *words, outputs=["evaluation"], property_files=[ACCURACY])


def test_steps_run_in_the_order_of_their_dependencies(local, tmp_path):
    tally = str(tmp_path / "tally")
    last = processing("C", "tally", tally, "C", DependsOn=["B"])
    middle = processing("B", "tally", tally, "B", DependsOn=["A"])

    execution = local.run(document(last, middle, processing("A", "tally", tally, "A")))

    assert execution["PipelineExecutionStatus"] == "Succeeded"
    assert (tmp_path / "tally").read_text().split() == ["A", "B", "C"]


def test_independent_steps_run_at_the_same_time_within_the_limit(local):
    steps = [processing(name, "sleep", "0.5") for name in "ABCD"]
    both = local.run(document(*steps), ParallelismConfiguration={"MaxParallelExecutionSteps": 4})
    one = local.run(document(*steps), ParallelismConfiguration={"MaxParallelExecutionSteps": 1})

    def overlaps(arn):
        rows = sorted((r["StartTime"], r["EndTime"]) for r in local.steps(arn).values())
        return sum(later[0] < earlier[1] for earlier, later in zip(rows, rows[1:], strict=False))

    assert overlaps(both["PipelineExecutionArn"]) == 3
    assert overlaps(one["PipelineExecutionArn"]) == 0


def test_only_the_branch_that_the_condition_chose_runs(local):
    check = condition(
        "Check",
        [{"Type": "GreaterThanOrEqualTo", "LeftValue": JSON_GET, "RightValue": {"Get": "Parameters.Threshold"}}],
        then=[processing("Yes")],
        otherwise=[
            fail("No", {"Std:Join": {"On": " ", "Values": ["got", JSON_GET, "want", {"Get": "Parameters.Threshold"}]}})
        ],
    )
    threshold = {"Name": "Threshold", "Type": "Float", "DefaultValue": 0.95}
    definition = document(evaluate(), check, parameters=[threshold])

    good = local.run(definition)
    bad = local.run(definition, PipelineParameters=[{"Name": "Threshold", "Value": "0.99"}])

    assert local.statuses(good["PipelineExecutionArn"]) == {
        "Evaluate": "Succeeded",
        "Check": "Succeeded",
        "Yes": "Succeeded",
    }
    assert bad["PipelineExecutionStatus"] == "Failed"
    assert "No: got 0.97 want 0.99" in bad["FailureReason"]
    assert "Yes" not in local.statuses(bad["PipelineExecutionArn"])


def test_what_waits_for_a_step_of_the_branch_not_taken_never_starts(local):
    check = condition("Check", [equals(1, 2)], then=[processing("Yes")])
    execution = local.run(document(check, processing("After", DependsOn=["Yes"])))
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    assert local.statuses(execution["PipelineExecutionArn"]) == {"Check": "Succeeded"}


def test_a_condition_within_a_condition(local):
    inner = condition("Inner", [equals("x", "x")], then=[processing("Deep")])
    execution = local.run(document(condition("Outer", [equals(1, 1)], then=[inner])))
    assert local.statuses(execution["PipelineExecutionArn"]) == {
        "Outer": "Succeeded",
        "Inner": "Succeeded",
        "Deep": "Succeeded",
    }


def test_a_failed_job_ends_the_execution_and_says_why(local):
    execution = local.run(
        document(processing("A", "say", "about to break", "fail", "3"), processing("B", DependsOn=["A"]))
    )
    assert execution["PipelineExecutionStatus"] == "Failed"
    step = local.steps(execution["PipelineExecutionArn"])["A"]
    assert "3" in step["FailureReason"]
    with open(step["Darkroom"]["LogPath"]) as log:
        assert "about to break" in log.read()
    assert "B" not in local.statuses(execution["PipelineExecutionArn"])


def test_steps_that_already_run_finish_after_another_failed(local):
    execution = local.run(document(processing("Slow", "sleep", "0.4"), processing("Bad", "fail", "1")))
    assert local.statuses(execution["PipelineExecutionArn"]) == {"Slow": "Succeeded", "Bad": "Failed"}


def test_an_equal_request_hits_the_cache_and_a_changed_one_names_the_field(local):
    first = local.run(document(processing("A", "say", "1", cache=True)))
    second = local.run(document(processing("A", "say", "1", cache=True)))
    third = local.run(document(processing("A", "say", "2", cache=True)))

    hit = local.steps(second["PipelineExecutionArn"])["A"]
    assert hit["CacheHitResult"] == {"SourcePipelineExecutionArn": first["PipelineExecutionArn"]}
    miss = local.steps(third["PipelineExecutionArn"])["A"]
    assert "CacheHitResult" not in miss
    assert miss["Darkroom"]["CacheMiss"] == ["AppSpecification.ContainerArguments[1]"]


def test_a_failed_step_is_never_a_cache_hit(local):
    broken = document(processing("A", "fail", "1", cache=True))
    local.run(broken)
    again = local.run(broken)
    assert again["PipelineExecutionStatus"] == "Failed"


def test_a_cached_step_hands_on_the_outputs_of_the_run_that_made_them(local):
    writer = evaluate()
    writer["CacheConfig"] = {"Enabled": True, "ExpireAfter": "P1D"}
    check = condition(
        "Check", [{"Type": "GreaterThan", "LeftValue": JSON_GET, "RightValue": 0.9}], then=[processing("Yes")]
    )
    for _ in range(2):
        execution = local.run(document(writer, check))
    steps = local.steps(execution["PipelineExecutionArn"])
    assert "CacheHitResult" in steps["Evaluate"]
    assert steps["Yes"]["StepStatus"] == "Succeeded"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            {"Name": "A", "Type": "QualityCheck", "Arguments": {}},
            "A: $.Steps[0].Type: unknown step type 'QualityCheck'",
        ),
        (processing("A", {"Get": "Parameters.None"}), "$.Steps[0].Arguments.AppSpecification.ContainerArguments[0]"),
        (processing("A", {"Std:Sum": [1]}), "unknown function 'Std:Sum'"),
        (condition("A", [{"Type": "Matches"}]), "unknown condition 'Matches'"),
        (processing("A", DependsOn=["Ghost"]), "depends on 'Ghost'"),
    ],
)
def test_what_is_unknown_ends_the_run_naming_step_and_path(local, step, message):
    execution = local.run(document(step))
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert message in execution["FailureReason"]
    assert "A" in execution["FailureReason"]


def test_a_stop_ends_the_children_and_resume_goes_on_without_repeating(local, tmp_path):
    tally = str(tmp_path / "tally")
    gate = tmp_path / "gate"
    wait = processing("Wait", "tally", tally, "Wait", "sleep", "60", DependsOn=["Done"])
    arn = local.start(document(processing("Done", "tally", tally, "Done"), wait))
    local.wait_for_step(arn, "Wait")

    local.client.stop_pipeline_execution(PipelineExecutionArn=arn)
    stopped = local.wait(arn, 15)
    assert stopped["PipelineExecutionStatus"] == "Stopped"
    assert local.statuses(arn) == {"Done": "Succeeded", "Wait": "Stopped"}

    local.client.retry_pipeline_execution(PipelineExecutionArn=arn)
    local.wait_for_step(arn, "Wait")
    local.client.stop_pipeline_execution(PipelineExecutionArn=arn)
    local.wait(arn, 15)
    assert (tmp_path / "tally").read_text().split().count("Done") == 1
    assert not gate.exists()


def test_only_failed_or_stopped_executions_can_be_resumed(local):
    arn = local.run(document(processing("A")))["PipelineExecutionArn"]
    with pytest.raises(ServiceError) as caught:
        local.client.retry_pipeline_execution(PipelineExecutionArn=arn)
    assert caught.value.code == "ConflictException"


def test_a_resume_at_once_is_not_disturbed_by_the_runner_before(local):
    arn = local.run(document(processing("A", "sleep", "0.1", "fail", "1")))["PipelineExecutionArn"]
    for _ in range(5):
        local.client.retry_pipeline_execution(PipelineExecutionArn=arn)
        reason = local.wait(arn)["FailureReason"]
        assert "exit code: 1" in reason


def test_resume_repeats_only_what_failed(local, tmp_path):
    tally, flag = str(tmp_path / "tally"), tmp_path / "flag"
    program = "import os, sys; sys.exit(0 if os.path.exists(sys.argv[1]) else 1)"
    bad = processing("B", str(flag), DependsOn=["A"])
    bad["Arguments"]["AppSpecification"]["ContainerEntrypoint"] = ["python3", "-c", program]
    arn = local.run(document(processing("A", "tally", tally, "A"), bad))["PipelineExecutionArn"]
    flag.touch()

    local.client.retry_pipeline_execution(PipelineExecutionArn=arn)

    assert local.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert (tmp_path / "tally").read_text().split() == ["A"]
    assert local.steps(arn)["B"]["AttemptCount"] == 2


def test_the_same_client_token_starts_one_execution(local):
    definition = document(processing("A"))
    arns = {local.start(definition, ClientRequestToken="t" * 32) for _ in range(3)}
    assert len(arns) == 1
    local.wait(arns.pop())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"Name": "Unknown", "Value": "1"}], "Unknown pipeline parameters: Unknown"),
        ([{"Name": "Count", "Value": "many"}], "not of type Integer"),
        ([{"Name": "Kind", "Value": "c"}], "not one of: a, b"),
    ],
)
def test_parameters_are_checked_at_the_start(local, given, message):
    parameters = [
        {"Name": "Count", "Type": "Integer", "DefaultValue": 1},
        {"Name": "Kind", "Type": "String", "DefaultValue": "a", "EnumValues": ["a", "b"]},
    ]
    with pytest.raises(ServiceError, match=message):
        local.start(document(processing("A"), parameters=parameters), PipelineParameters=given)


def test_selected_steps_run_with_what_the_source_execution_produced(local):
    check = condition(
        "Check", [{"Type": "GreaterThan", "LeftValue": JSON_GET, "RightValue": 0.9}], then=[processing("Yes")]
    )
    definition = document(evaluate(), check)
    source = local.run(definition)["PipelineExecutionArn"]

    config = {"SourcePipelineExecutionArn": source, "SelectedSteps": [{"StepName": "Check"}, {"StepName": "Yes"}]}
    selected = local.run(definition, SelectiveExecutionConfig=config)

    assert selected["PipelineExecutionStatus"] == "Succeeded"
    assert local.statuses(selected["PipelineExecutionArn"]) == {"Check": "Succeeded", "Yes": "Succeeded"}


def test_two_executions_at_once_do_not_disturb_each_other(local, tmp_path):
    steps = [processing(name, "sleep", "0.1", "tally", str(tmp_path / "tally"), name) for name in "AB"]
    arns = [local.start(document(*steps)) for _ in range(4)]
    assert [local.wait(arn)["PipelineExecutionStatus"] for arn in arns] == ["Succeeded"] * 4
    assert sorted((tmp_path / "tally").read_text().split()) == ["A"] * 4 + ["B"] * 4


def test_a_deleted_pipeline_leaves_its_executions_and_what_they_ran(local):
    old, new = document(processing("Old")), document(processing("New"))
    first = local.run(old)["PipelineExecutionArn"]
    local.client.delete_pipeline(PipelineName="test")
    assert list(local.steps(first)) == ["Old"]

    local.run(new)

    kept = local.client.describe_pipeline_definition_for_execution(PipelineExecutionArn=first)["PipelineDefinition"]
    assert json.loads(kept)["Steps"][0]["Name"] == "Old"
    versions = local.client.list_pipeline_versions(PipelineName="test")["PipelineVersionSummaries"]
    assert [version["PipelineVersionId"] for version in versions] == [2]


def test_every_execution_ends_with_a_parity_report(local):
    execution = local.run(document(processing("A")))
    subjects = {row["Subject"] for row in execution["Darkroom"]["Parity"]}
    assert {"RoleArn", "VolumeSizeInGB", "S3Uri", f"Image {IMAGE}", "InstanceType ml.m5.large"} <= subjects


def test_the_parity_report_tells_every_image_and_machine_and_nothing_that_is_switched_off(local):
    other, network = processing("B"), {"EnableNetworkIsolation": False, "EnableInterContainerTrafficEncryption": True}
    other["Arguments"]["AppSpecification"]["ImageUri"] = f"{IMAGE}-of-ours"
    other["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceType"] = "ml.g5.xlarge"
    other["Arguments"]["NetworkConfig"] = network
    register_image(local.client.store, "*-of-ours", sys.executable)

    execution = local.run(document(processing("A"), other))

    rows = {row["Subject"]: row["How"] for row in execution["Darkroom"]["Parity"]}
    assert {f"Image {IMAGE}", f"Image {IMAGE}-of-ours", "InstanceType ml.m5.large", "InstanceType ml.g5.xlarge"} <= set(
        rows
    )
    assert "GPU" in rows["InstanceType ml.g5.xlarge"]
    assert "EnableInterContainerTrafficEncryption" in rows
    assert "EnableNetworkIsolation" not in rows


def test_nothing_is_left_in_the_work_folder(local, tmp_path):
    local.run(document(processing("A"), processing("B", "fail", "1")))
    deadline = time.monotonic() + 10
    while list((tmp_path / "home/work").glob("*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
