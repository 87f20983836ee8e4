"""Roles, their trust policies, statements that become one, documents that are parted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from golden_roles import golden
from permitted import may
from test_builder import write_programs

from pipeline.builder import build
from pipeline.config import Config, load_config
from pipeline.definition import Definition
from pipeline.errors import DarkroomError, DefinitionError
from pipeline.iam import policies, scope, trust
from pipeline.iam.statements import MANAGED_SIZE, Place, Statement, packed, size

HERE = Place("aws", "eu-west-1", "111122223333")


def compiled(tmp_path: Path, document: dict[str, Any]) -> tuple[Config, Definition]:
    (tmp_path / "pipeline.yaml").write_text(json.dumps(document))
    config = load_config(tmp_path / "pipeline.yaml")
    return config, Definition.parse(build(config, write_programs(tmp_path / "entrypoints")).definition_json)


def test_a_pipeline_with_one_role_has_one_execution_role_and_six_others() -> None:
    assert [role.kind for role in golden("shipped").roles] == list(policies.KINDS)


def test_each_role_of_a_single_step_stands_by_itself() -> None:
    found = [role for role in golden("imagefolder_secure").roles if role.kind == "execution"]
    assert {role.name: role.purpose for role in found} == {
        "pipelines": "the pipeline",
        "prepare": "PrepareData",
        "tune": "TuneModel",
        "train": "TrainModel",
        "evaluate": "EvaluateModel",
        "serve": "the model behind the endpoint",
    }


def test_without_a_champion_there_is_no_role_for_finding_one() -> None:
    assert "champion-lambda" not in [role.kind for role in golden("tuning_off").roles]


def test_a_new_digest_of_code_needs_no_other_policies() -> None:
    found = golden("shipped")
    text = json.dumps(found.definition.document).replace("/train-", "/train-0")
    again = policies.roles(found.config, Definition.parse(text))
    assert [role.statements for role in again] == [role.statements for role in found.roles]


def test_sagemaker_takes_the_role_for_this_account_and_region_alone() -> None:
    (statement,) = trust.of_sagemaker(HERE)["Statement"]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "111122223333"}
    assert statement["Condition"]["ArnLike"] == {"aws:SourceArn": "arn:aws:sagemaker:eu-west-1:111122223333:*"}


def test_ci_takes_its_role_with_exactly_one_subject_and_audience() -> None:
    (statement,) = trust.of_github(HERE, "repo:acme/vision:pull_request")["Statement"]
    provider = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
    assert statement["Principal"] == {"Federated": provider}
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": "repo:acme/vision:pull_request",
        }
    }


def test_a_template_may_put_its_parameter_where_the_subject_stands() -> None:
    (statement,) = trust.of_github(HERE, {"Ref": "PlanSubject"})["Statement"]
    assert statement["Condition"]["StringEquals"][f"{trust.ISSUER}:sub"] == {"Ref": "PlanSubject"}


@pytest.mark.parametrize("subject", ["repo:acme/*:pull_request", "repo:acme/vision:?", "*"])
def test_a_subject_that_is_a_pattern_is_refused(subject: str) -> None:
    with pytest.raises(DarkroomError, match="is a pattern"):
        trust.of_github(HERE, subject)


@pytest.mark.parametrize("subject", ["", "acme/vision", "repo:acme/vision", "repo:a/b:ref:refs/heads/ma in"])
def test_a_subject_that_github_does_not_give_is_refused(subject: str) -> None:
    with pytest.raises(DarkroomError, match="none of GitHub's"):
        trust.of_github(HERE, subject)


def test_a_role_of_ci_without_a_subject_has_no_trust_policy() -> None:
    found = golden("shipped")
    roles = {role.kind: role for role in policies.roles(found.config, found.definition)}
    assert roles["ci-plan"].trust is None
    assert roles["execution"].trust is not None


def test_statements_are_parted_into_documents_that_iam_takes_and_none_is_lost() -> None:
    many = [Statement(f"S{n}", ("s3:GetObject",), (f"arn:aws:s3:::b/{'k' * 700}{n}*",)) for n in range(20)]
    documents = packed(many)
    assert len(documents) == 3
    assert all(size(document) <= MANAGED_SIZE for document in documents)
    assert [each["Sid"] for document in documents for each in document["Statement"]] == [each.sid for each in many]


def test_a_statement_that_is_too_long_is_parted_by_its_resources() -> None:
    resources = tuple(f"arn:aws:s3:::b/{'k' * 900}{n}*" for n in range(12))
    documents = packed([Statement("Read", ("s3:GetObject",), resources)])
    statements = [each for document in documents for each in document["Statement"]]
    assert [resource for each in statements for resource in _list(each["Resource"])] == list(resources)
    assert len({each["Sid"] for each in statements}) == len(statements) > 1
    assert all(size(document) <= MANAGED_SIZE for document in documents)


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_one_resource_that_is_too_long_is_an_error_that_names_the_statement() -> None:
    with pytest.raises(DarkroomError, match="the statement Read has"):
        packed([Statement("Read", ("s3:GetObject",), ("arn:aws:s3:::b/" + "k" * 7000,))])


def test_names_of_policies_are_no_longer_than_iam_takes(tmp_path: Path) -> None:
    role = f"arn:aws:iam::111122223333:role/{'r' * 64}"
    config, definition = compiled(tmp_path, {"pipeline": {"name": "p" * 63, "role": role}})
    names = [name for each in policies.roles(config, definition) for name in each.policies()]
    assert max(map(len, names)) <= 128
    assert len(set(names)) == len(names)


def test_blanks_do_not_count_as_iam_counts() -> None:
    assert size({"a b": "c d"}) == len('{"ab":"cd"}')


def test_sixteen_subnets_and_a_key_still_fit_into_policies(tmp_path: Path) -> None:
    subnets, groups = [f"subnet-{n:017x}" for n in range(16)], [f"sg-{n:017x}" for n in range(5)]
    key = "arn:aws:kms:us-east-1:111122223333:alias/vision"
    config, definition = compiled(
        tmp_path, {"security": {"subnets": subnets, "security_groups": groups, "kms_key": key}}
    )
    role = policies.roles(config, definition)[0]
    assert len(role.policies()) == 2
    assert may(
        [role], role.arn, "ec2:CreateNetworkInterface", f"arn:aws:ec2:us-east-1:999900001111:subnet/{subnets[15]}"
    )


def test_a_key_that_is_named_by_an_alias_is_every_key_with_that_alias(tmp_path: Path) -> None:
    alias = {"kms_key": "arn:aws:kms:us-east-1:111122223333:alias/vision"}
    config, definition = compiled(tmp_path, {"security": alias})
    found = policies.roles(config, definition)
    key, own = "arn:aws:kms:us-east-1:111122223333:key/0a", found[0].arn
    assert may(found, own, "kms:Decrypt", key, {"kms:ResourceAliases": "alias/vision"})
    assert not may(found, own, "kms:Decrypt", key, {"kms:ResourceAliases": "alias/other"})
    assert not may(found, own, "kms:Decrypt", key)


def test_the_models_role_encrypts_answers_with_the_key_through_s3_alone() -> None:
    found = golden("imagefolder_secure")
    role, key = found.config.role("deploy_model"), found.config.security.kms_key
    assert key is not None
    through = {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}
    assert may(found.roles, role, "kms:GenerateDataKey", key, through)  # of transforms and asynchronous endpoints
    assert may(found.roles, role, "kms:Decrypt", key)  # S3 asks for it in uploads of several parts
    assert not may(found.roles, role, "kms:GenerateDataKey", key)
    assert not may(found.roles, role, "kms:Encrypt", key, through)


@pytest.mark.parametrize("more", [{}, {"failures": "s3://refused/f/"}])
def test_the_models_role_writes_answers_and_failures(tmp_path: Path, more: dict[str, str]) -> None:
    chosen = {"output": "s3://answers/a/", **more}
    config, definition = compiled(tmp_path, {"deploy": {"asynchronous": chosen, "smoke_test": False}})
    found = policies.roles(config, definition)
    role = config.role("deploy_model")
    for place in (chosen["output"], more.get("failures", "s3://answers/a/failures/")):
        assert may(found, role, "s3:PutObject", f"arn:aws:s3:::{place.removeprefix('s3://')}1.out")


def test_names_are_granted_in_small_letters_too_as_older_arns_have_them(tmp_path: Path) -> None:
    config, definition = compiled(tmp_path, {"pipeline": {"name": "Flowers-A"}})
    found = policies.roles(config, definition, (), {"ci-deploy": "repo:a/b:ref:refs/heads/main"})
    role = next(each for each in found if each.kind == "ci-deploy")
    for name in ("Flowers-A", "flowers-a"):
        arn = f"arn:aws:sagemaker:us-east-1:111122223333:pipeline/{name}"
        assert may(found, role.arn, "sagemaker:StartPipelineExecution", arn)


def test_letters_that_are_wildcards_to_iam_stand_for_themselves(tmp_path: Path) -> None:
    source = "s3://pictures/a*b?c$d/"
    config, definition = compiled(tmp_path, {"dataset": {"kind": "imagefolder", "source": source}})
    found = policies.roles(config, definition)
    assert may(found, found[0].arn, "s3:GetObject", "arn:aws:s3:::pictures/a*b?c$d/x.jpg")
    assert not may(found, found[0].arn, "s3:GetObject", "arn:aws:s3:::pictures/aSECRETb?c$d/x.jpg")


def test_what_is_read_besides_is_read_by_jobs_whose_inputs_are_chosen_by_transforms_and_by_the_asking_function() -> (
    None
):
    found = golden("imagefolder_secure")
    roles = policies.roles(found.config, found.definition, [scope.address("s3://elsewhere/dogs/")])
    arn = "arn:aws:s3:::elsewhere/dogs/1.jpg"
    allowed = [role.name for role in roles if may([role], role.arn, "s3:GetObject", arn)]
    assert allowed == ["prepare", "evaluate", "serve", "darkroom-invoke-lambda"]


def test_datasets_are_open_to_the_job_that_prepares_them_alone() -> None:
    found = golden("imagefolder_secure")
    arn = "arn:aws:s3:::vision-models/teams/vision/dogs/datasets/0a1b/1.jpg"
    allowed = [role.name for role in found.roles if may([role], role.arn, "s3:GetObject", arn)]
    assert allowed == ["prepare", "darkroom-ci-deploy"]


@pytest.mark.parametrize("text", ["elsewhere/dogs", "s3://elsewhere", "s3://elsewhere/", "s3://B/x", "s3://*/x"])
def test_what_is_no_address_of_a_folder_is_not_read(text: str) -> None:
    with pytest.raises(DarkroomError, match="--read"):
        scope.address(text)


def test_a_partition_of_its_own_has_its_own_arns_and_audience(tmp_path: Path) -> None:
    document = {
        "pipeline": {"region": "cn-north-1"},
        "images": dict.fromkeys(("processing", "training"), "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/own:1"),
        "security": {"kms_key": "arn:aws-cn:kms:cn-north-1:111122223333:key/0a"},
    }
    config, definition = compiled(tmp_path, document)
    found = policies.roles(config, definition, (), {"ci-plan": "repo:a/b:pull_request"})
    text = json.dumps([policies.as_json(role) for role in found])
    assert "arn:aws:" not in text
    assert '"sts.amazonaws.com.cn"' in text
    assert '"s3.cn-north-1.amazonaws.com.cn"' in text
    assert "arn:aws-cn:ecr:cn-north-1:111122223333:repository/own" in text


def test_a_step_of_a_type_without_a_policy_is_an_error_that_names_it() -> None:
    found = golden("shipped")
    document = json.loads(json.dumps(found.definition.document))
    document["Steps"].append({"Name": "Batch", "Type": "Transform", "Arguments": {}})
    with pytest.raises(DefinitionError, match="Batch: no policy is known for steps of type Transform"):
        policies.roles(found.config, Definition(document))


def test_an_address_that_only_a_run_knows_is_an_error_that_names_step_and_member() -> None:
    found = golden("imagefolder_secure")
    document = json.loads(json.dumps(found.definition.document))
    for parameter in document["Parameters"]:
        if parameter["Name"] == "DatasetUri":
            del parameter["DefaultValue"]
    with pytest.raises(DefinitionError, match=r"PrepareData: ProcessingInputs\.\*\.S3Input\.S3Uri"):
        policies.roles(found.config, Definition(document))
