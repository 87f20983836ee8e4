"""The template of the account around a pipeline: what is in it, for every choice of its parameters."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cloudformation import PSEUDO, Stack, read, referred
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import ENTRYPOINTS, ROOT, about, changed, shipped

from pipeline.cli import parser
from pipeline.config import load_config
from pipeline.config.deploying import ServerlessSection
from pipeline.definition import Definition
from pipeline.iam.actions import FORCED
from pipeline.infra import packaging, setting, template
from pipeline.infra.setting import GITHUB

GOLDEN = ROOT / "tests/data/golden"
COMMITTED = ROOT / "infra" / "template.yaml"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHERS = "arn:aws:lambda:us-east-1:444455556666:function:deploy"
# Texts that may be empty, and what stands there otherwise.
FILLED = {
    **dict.fromkeys(("ApproverEmail", "TeamEmail"), "somebody@example.org"),
    **dict.fromkeys(("DataKeyArn", "MessagesKeyArn", "LogsKeyArn"), KEY),
    "PlanSubject": "repo:acme/vision:pull_request",
    "DeploySubject": "repo:acme/vision:ref:refs/heads/main",
    "PermissionsBoundaryArn": "arn:aws:iam::111122223333:policy/boundary",
    "FunctionSubnets": "subnet-0a1b2c3d,subnet-1a1b2c3d",
    "FunctionSecurityGroups": "sg-0a1b2c3d",
    "RunsDays": "365",
}
# All that can be there; the stack's own key is there only where no other one is named.
EVERYTHING = {**FILLED, "MessagesKeyArn": "", "Functions": "present", "JobLogGroups": "create"}


@st.composite
def choices(draw: st.DrawFn) -> dict[str, str]:
    """Any values of the parameters that decide what is in the stack."""
    found = {}
    for name, parameter in shipped()["Parameters"].items():
        values = [str(each) for each in parameter.get("AllowedValues", [])]
        values = values or [str(parameter["Default"]), FILLED.get(name, str(parameter["Default"]))]
        found[name] = draw(st.sampled_from(values))
    return found


def test_the_committed_template_is_what_pipeline_yaml_renders_to() -> None:
    written = COMMITTED.read_text(encoding="utf-8")
    assert written == template.as_yaml(about()), "darkroom infra -o infra/template.yaml renders it anew"


def test_the_same_text_comes_with_any_hash_seed_from_any_folder(tmp_path: Path) -> None:
    code = "import sys; from rendered import about; from pipeline.infra import template\n"
    code += "sys.stdout.write(template.as_yaml(about()))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    run = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": True}
    assert subprocess.run([sys.executable, "-c", code], **run).stdout == template.as_yaml(about())


def test_both_forms_say_the_same() -> None:
    assert read(template.as_yaml(about())) == json.loads(template.as_json(about())) == shipped()


def test_the_shipped_template_fits_into_one_call() -> None:
    assert len(template.as_yaml(about()).encode()) <= template.DIRECT_SIZE


@settings(max_examples=60, deadline=None)
@given(choices())
def test_whatever_is_chosen_nothing_refers_to_what_is_not_there(chosen: dict[str, str]) -> None:
    stack = Stack(shipped(), **chosen)
    dangling = [
        (name, other)
        for section in (stack.resources, stack.outputs)
        for name, each in section.items()
        for other in referred(each)
        if other not in stack.resources and other not in PSEUDO
    ]
    assert dangling == []


def test_references_of_what_pipeline_yaml_leaves_out_are_left_out_too() -> None:
    others = {"function": OTHERS, "invoke_function": OTHERS}
    config = changed(deploy=others, evaluation={"compare_with_champion": False})
    stack = Stack(template.template(about(config)), **EVERYTHING)
    assert stack.of("AWS::Lambda::Function") == {}
    assert "ApprovedModel" not in stack.resources
    names = {name for each in stack.resources.values() for name in referred(each)}
    assert names <= {*stack.resources, *PSEUDO}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_of_all_kinds_have_templates_without_loose_ends(path: Path) -> None:
    """Every parameter and condition is used, and every name is somebody's, with all parameters given and with none."""
    definition = Definition.parse(path.with_suffix(".json").read_text(encoding="utf-8"))
    document = template.template(setting.of(load_config(path), definition, ENTRYPOINTS))
    text = json.dumps(document)
    unused = [name for name in document["Parameters"] if f'{{"Ref": "{name}"}}' not in text]
    assert unused + [name for name in document["Conditions"] if text.count(f'"{name}"') < 2] == []
    given_ = {name: value for name, value in EVERYTHING.items() if name in document["Parameters"]}
    for stack in (Stack(document), Stack(document, **given_)):
        named = {name for each in (stack.resources, stack.outputs) for name in referred(list(each.values()))}
        assert named <= {*stack.resources, *PSEUDO}


def policies(stack: Stack) -> list[tuple[str, dict[str, Any]]]:
    """(logical name, statement) of every policy there is, trust policies and those of resources included."""
    found = []
    for name, each in stack.resources.items():
        for key in ("PolicyDocument", "AssumeRolePolicyDocument", "KeyPolicy"):
            found += [(name, one) for one in each["Properties"].get(key, {}).get("Statement", [])]
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_no_policy_allows_actions_by_a_pattern() -> None:
    allowed = [(name, each) for name, each in policies(Stack(shipped(), **EVERYTHING)) if each["Effect"] == "Allow"]
    assert len(allowed) > 40
    assert [(name, each) for name, each in allowed for action in as_list(each["Action"]) if "*" in action] == []


def test_everything_is_a_resource_only_of_actions_that_take_nothing_else_and_of_a_keys_own_policy() -> None:
    wide = [
        (name, action)
        for name, each in policies(Stack(shipped(), **EVERYTHING))
        if each["Effect"] == "Allow" and "*" in as_list(each.get("Resource", []))
        for action in as_list(each["Action"])
    ]
    assert {name for name, action in wide if action not in FORCED} == {"MessagesKey"}


def test_nobody_is_admitted_but_by_name_and_denials_are_for_everybody() -> None:
    statements = [each for _, each in policies(Stack(shipped(), **EVERYTHING)) if "Principal" in each]
    assert [each for each in statements if (each["Principal"] == "*") != (each["Effect"] == "Deny")] == []


def test_the_bucket_is_private_encrypted_versioned_and_speaks_tls_alone() -> None:
    stack = Stack(shipped(), DataKeyArn=KEY)
    bucket = stack.resources["Bucket"]
    [encryption] = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    denied = [each for name, each in policies(stack) if name == "BucketPolicy"]
    assert [each["Condition"] for each in denied] == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    ]


def lifecycle(**given: str) -> dict[str, dict[str, Any]]:
    rules = Stack(shipped(), **given).of("AWS::S3::Bucket")["Bucket"]["LifecycleConfiguration"]["Rules"]
    return {rule["Id"]: rule for rule in rules}


def test_registered_models_stay_unless_somebody_asks_for_their_end() -> None:
    expiring = {rule["Prefix"] for rule in lifecycle().values() if "ExpirationInDays" in rule}
    assert expiring == {"darkroom-digits/checkpoints/", "darkroom-digits/debugger/"}
    assert lifecycle(RunsDays="365")["runs"]["ExpirationInDays"] == "365"


def test_checkpoints_in_another_bucket_get_no_rule_here() -> None:
    config = changed(training={"checkpoints": about().config.training.checkpoints.model_copy(
        update={"address": "s3://elsewhere/state/"}
    )})  # fmt: skip
    rules = template.template(about(config))["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert "checkpoints" not in [rule.get("Id") for rule in rules]


def test_what_holds_data_survives_the_stack() -> None:
    kinds = ("AWS::S3::Bucket", "AWS::SageMaker::ModelPackageGroup", "AWS::ECR::Repository", "AWS::Logs::LogGroup")
    kept = [each for each in shipped()["Resources"].values() if each["Type"] in kinds]
    assert {each["Type"] for each in kept} == set(kinds)
    assert {(each["DeletionPolicy"], each["UpdateReplacePolicy"]) for each in kept} == {("Retain", "Retain")}


def test_images_are_scanned_and_tags_stay_what_they_were() -> None:
    repository = Stack(shipped()).of("AWS::ECR::Repository")["ServingRepository"]
    assert repository["RepositoryName"] == "darkroom-serve"
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}


def test_an_image_of_another_registry_needs_no_repository() -> None:
    config = changed(deploy={"image": "444455556666.dkr.ecr.us-east-1.amazonaws.com/serve:1"})
    assert "ServingRepository" not in template.template(about(config))["Resources"]


def test_logs_end_and_topics_are_encrypted_whatever_is_chosen() -> None:
    for given_ in ({}, EVERYTHING):
        stack = Stack(shipped(), **given_)
        assert {each["RetentionInDays"] for each in stack.of("AWS::Logs::LogGroup").values()} == {"90"}
        assert all(each["KmsMasterKeyId"] for each in stack.of("AWS::SNS::Topic").values())
        assert all(each["SqsManagedSseEnabled"] for each in stack.of("AWS::SQS::Queue").values())
    assert len(Stack(shipped(), **EVERYTHING).of("AWS::Logs::LogGroup")) == 7


def test_functions_come_once_their_code_is_in_the_bucket() -> None:
    assert Stack(shipped()).of("AWS::Lambda::Function") == {}
    functions = Stack(shipped(), Functions="present").of("AWS::Lambda::Function")
    code = {each["FunctionName"]: each["Code"] for each in functions.values()}
    found = packaging.packages(about().config, ENTRYPOINTS)
    assert code == {each.function: {"S3Bucket": {"Ref": "Bucket"}, "S3Key": each.key} for each in found}


def test_the_asking_function_is_kept_warm_twice_at_its_alias_and_may_ask_production_alone() -> None:
    stack = Stack(shipped(), Functions="present")
    [alias] = stack.of("AWS::Lambda::Alias").values()
    warm = {"ProvisionedConcurrentExecutions": "2"}
    assert (alias["FunctionName"], alias["Name"]) == ({"Ref": "InvokeFunction"}, "live")
    assert alias["ProvisionedConcurrencyConfig"] == warm
    [cold] = Stack(shipped(), Functions="present", InvokeConcurrency="0").of("AWS::Lambda::Alias").values()
    assert "ProvisionedConcurrencyConfig" not in cold
    policy = stack.of("AWS::IAM::ManagedPolicy")["InvokeFunctionRolePolicy1"]["PolicyDocument"]
    others = [each for each in policy["Statement"] if each["Action"] != "sagemaker:InvokeEndpoint"]
    [asking] = [each["Resource"] for each in policy["Statement"] if each not in others]
    assert asking == "arn:aws:sagemaker:us-east-1:111122223333:endpoint/darkroom-digits-production"
    assert {action.partition(":")[0] for each in others for action in each["Action"]} == {"logs"}


def test_the_asking_function_knows_what_a_serverless_endpoint_takes() -> None:
    config = changed(deploy={"serverless": ServerlessSection(), "scaling": None, "network_isolation": False})
    told = [
        Stack(each, Functions="present").of("AWS::Lambda::Function")["InvokeFunction"]["Environment"]["Variables"]
        for each in (template.template(about(config)), shipped())
    ]
    assert [each.get("ENDPOINT_KIND") for each in told] == ["serverless", None]


def test_functions_in_a_vpc_may_use_its_network_and_others_may_not() -> None:
    inside = Stack(shipped(), **EVERYTHING)
    vpc = inside.of("AWS::Lambda::Function")["DeployFunction"]["VpcConfig"]
    assert vpc == {"SubnetIds": FILLED["FunctionSubnets"], "SecurityGroupIds": FILLED["FunctionSecurityGroups"]}
    assert {"Ref": "NetworkPolicy"} in inside.of("AWS::IAM::Role")["DeployFunctionRole"]["ManagedPolicyArns"]
    outside = Stack(shipped(), Functions="present")
    assert "VpcConfig" not in outside.of("AWS::Lambda::Function")["DeployFunction"]
    assert "NetworkPolicy" not in outside.resources


def test_roles_have_the_boundary_that_is_asked_for() -> None:
    roles = Stack(shipped(), **EVERYTHING).of("AWS::IAM::Role").values()
    assert {each["PermissionsBoundary"] for each in roles} == {FILLED["PermissionsBoundaryArn"]}
    assert all("PermissionsBoundary" not in each for each in Stack(shipped()).of("AWS::IAM::Role").values())


def test_the_pipelines_role_is_called_as_its_definition_calls_it_and_others_as_the_stack() -> None:
    roles = Stack(shipped(), **EVERYTHING).of("AWS::IAM::Role")
    assert {name: each.get("RoleName") for name, each in roles.items()} == {
        "ExecutionRole": "darkroom-execution",
        **dict.fromkeys(("PlanRole", "DeployRole", "DeployFunctionRole", "ChampionFunctionRole", "InvokeFunctionRole")),
    }


def test_two_pipelines_in_one_account_take_no_name_from_each_other() -> None:
    """All names that are fixed; pipeline.yaml has a key for each of them."""
    function = "arn:aws:lambda:us-east-1:111122223333:function:second-{}"
    config = changed(
        pipeline={"name": "second", "bucket": "second", "role": "arn:aws:iam::111122223333:role/second"},
        deploy={
            "function": function.format("deploy"),
            "invoke_function": function.format("invoke"),
            "image": "444455556666.dkr.ecr.us-east-1.amazonaws.com/serve:1",
        },
        evaluation={"champion_function": function.format("champion")},
    )
    both = [shipped(), template.template(about(config))]
    first, second = ({*fixed_names(Stack(each, **{**EVERYTHING, "JobLogGroups": "leave"}))} for each in both)
    assert len(first) > 5
    assert first & second == set()


def fixed_names(stack: Stack) -> list[tuple[str, str]]:
    keys = ("BucketName", "RoleName", "FunctionName", "LogGroupName", "RepositoryName", "ModelPackageGroupName")
    return [
        (each["Type"], name)
        for each in stack.resources.values()
        for key in keys
        if isinstance(name := each["Properties"].get(key), str)
    ]


def test_roles_of_another_account_and_with_a_path_are_treated_as_what_they_are() -> None:
    own = "arn:aws:iam::111122223333:role/teams/vision/runner"
    config = changed(pipeline={"role": own}, roles={"deploy_model": "arn:aws:iam::444455556666:role/theirs"})
    roles = Stack(template.template(about(config)), **EVERYTHING).of("AWS::IAM::Role").values()
    found = {each["RoleName"]: each["Path"] for each in roles if "RoleName" in each}
    assert found["runner"] == "/teams/vision/"
    assert "theirs" not in found


@pytest.mark.parametrize("issuer", [GITHUB, "gitlab.com"])
def test_ci_takes_its_roles_with_exactly_the_subject_that_was_given(issuer: str) -> None:
    stack = Stack(template.template(about(issuer=issuer)), **EVERYTHING)
    assert stack.of("AWS::IAM::OIDCProvider")["CiProvider"]["Url"] == f"https://{issuer}"
    for role, subject in (("PlanRole", FILLED["PlanSubject"]), ("DeployRole", FILLED["DeploySubject"])):
        [trust] = stack.of("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"]["Federated"].endswith(f":oidc-provider/{issuer}")
        assert trust["Condition"] == {"StringEquals": {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": subject}}


def test_in_china_arns_services_and_audience_have_the_names_of_china() -> None:
    config = changed(pipeline={"region": "cn-north-1"})
    stack = Stack(template.template(about(config)), **EVERYTHING)
    [audience] = stack.of("AWS::IAM::OIDCProvider")["CiProvider"]["ClientIdList"]
    [trust] = stack.of("AWS::IAM::Role")["PlanRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"][f"{GITHUB}:aud"] == audience == "sts.amazonaws.com.cn"
    [key] = stack.of("AWS::IAM::ManagedPolicy")["DataKeyPolicy"]["PolicyDocument"]["Statement"]
    assert key["Condition"] == {"StringEquals": {"kms:ViaService": "s3.cn-north-1.amazonaws.com.cn"}}
    assert stack.of("AWS::S3::BucketPolicy")["BucketPolicy"]["PolicyDocument"]["Statement"][0]["Resource"] == [
        "arn:aws-cn:s3:::darkroom-111122223333-cn-north-1",
        "arn:aws-cn:s3:::darkroom-111122223333-cn-north-1/*",
    ]


def test_an_account_that_has_the_provider_gets_no_second_one() -> None:
    assert "CiProvider" not in Stack(shipped(), **EVERYTHING, OidcProvider="exists").resources
    assert not {"CiProvider", "PlanRole", "DeployRole"} & set(Stack(shipped()).resources)


def test_parameters_come_with_words_and_defaults_that_their_rules_take() -> None:
    for name, parameter in shipped()["Parameters"].items():
        assert parameter["Description"], name
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), str(parameter["Default"])), name
        assert parameter["Default"] in parameter.get("AllowedValues", [parameter["Default"]]), name
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), FILLED.get(name, "")), name


def test_the_way_from_an_empty_account_names_parameters_and_commands_that_exist() -> None:
    text = (ROOT / "docs/aws.md").read_text(encoding="utf-8")
    section = text.partition("## From an empty account\n")[2].partition("\n## ")[0]
    commands = re.sub(r"`aws pricing [^`]+`", "", section)
    named = set(re.findall(r"\b([A-Z][a-z]+[A-Za-z]*)=", commands))
    assert {"Functions", "ApproverEmail", "PlanSubject"} <= named <= set(shipped()["Parameters"])
    lines = [line for line in re.findall(r"^darkroom (.+)$", section, re.MULTILINE)]
    assert {line.split()[0] for line in lines} == {"infra", "plan", "upsert", "start"}
    for name, *words in map(shlex.split, lines):
        parser(name).parse_args(words)
