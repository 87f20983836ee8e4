"""The policy test over all golden definitions and drawn configurations, and what it finds where something is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from golden_roles import NAMES, SUBJECTS, golden
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rendered import about
from test_builder import SECTIONS, write_programs

from pipeline.builder import build
from pipeline.config import load_config
from pipeline.definition import Definition
from pipeline.errors import DefinitionError
from pipeline.iam import actions, check, policies
from pipeline.iam.policies import Role
from pipeline.iam.statements import INLINE_SIZE, MANAGED_SIZE, Statement, size
from pipeline.infra.roles import roles as stack_roles

KEYS = [
    "arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
    "arn:aws:kms:us-east-1:111122223333:alias/vision",
]
NAME = st.from_regex(r"[a-zA-Z0-9](-?[a-zA-Z0-9]){0,62}", fullmatch=True).filter(lambda name: len(name) <= 63)
ROLE = st.from_regex(r"arn:aws:iam::111122223333:role/[a-zA-Z0-9+=,.@_-]{1,64}", fullmatch=True)
SOURCE = st.text(
    st.characters(min_codepoint=33, max_codepoint=0xFF, exclude_categories=["C", "Z"]), min_size=1, max_size=60
)
DRAWN = {
    **SECTIONS,
    "pipeline": st.fixed_dictionaries({"name": NAME}, optional={"role": ROLE, "prefix": st.just("teams/A/b")}),
    "dataset": st.fixed_dictionaries(
        {"kind": st.just("imagefolder"), "source": SOURCE.map(lambda text: f"s3://pictures/{text}")}
    )
    | SECTIONS["dataset"],
    "security": st.fixed_dictionaries(
        {"network_isolation": st.just(False)},
        optional={
            "kms_key": st.sampled_from(KEYS),
            "subnets": st.just([f"subnet-0a1b2c3{each:x}" for each in range(16)]),
            "security_groups": st.just([f"sg-0a1b2c3{each:x}" for each in range(5)]),
        },
    ).filter(lambda each: ("subnets" in each) == ("security_groups" in each)),
    "roles": st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("prepare_data", "tune_model", "train_model", "evaluate_model", "deploy_model"), ROLE),
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_no_golden_definition_asks_for_more_than_is_forced_or_for_what_iam_refuses(name: str) -> None:
    assert [finding for role in golden(name).roles for finding in check.findings(role)] == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=st.fixed_dictionaries(DRAWN))
def test_no_configuration_leads_to_more_than_is_forced_or_to_what_iam_refuses(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    (tmp_path / "pipeline.yaml").write_text(json.dumps(document))
    config = load_config(tmp_path / "pipeline.yaml")
    built = build(config, write_programs(tmp_path / "entrypoints"))
    found = policies.roles(config, Definition.parse(built.definition_json), (), SUBJECTS)
    assert [finding for role in found for finding in check.findings(role)] == []
    for role in found:
        assert "NotAction" not in json.dumps(role.document())
        assert all(size(document) <= MANAGED_SIZE for document in role.policies().values())


def test_roles_of_the_stack_have_no_more_either() -> None:
    found = stack_roles(about())
    lambdas = {"deploy-lambda", "champion-lambda", "invoke-lambda"}
    assert {role.kind for role in found} == {"execution", "ci-plan", "ci-deploy", *lambdas}
    assert [finding for role in found for finding in check.findings(role)] == []


def test_a_role_of_the_shipped_pipeline_fits_into_one_inline_policy() -> None:
    assert all(size(role.document()) <= INLINE_SIZE for role in golden("shipped").roles)


WRONG = [
    (Statement("A", ("s3:*",), ("arn:aws:s3:::b/k*",)), "no single action"),
    (Statement("A", ("*",), ("*",)), "no single action"),
    (Statement("A", ("s3:GetObject",), ("*",)), 'on "*", which nothing forces'),
    (Statement("A", ("s3:GetObject",), ("arn:aws:s3:::b/*",)), "is none of object"),
    (Statement("A", ("s3:GetObject",), ("arn:aws:s3:::*/k*",)), "is none of object"),
    (Statement("A", ("s3:ListBucket",), ("arn:aws:s3:::b*",)), "is none of bucket"),
    (Statement("A", ("s3:ListBucket",), ("arn:aws:s3:::b/k",)), "is none of bucket"),
    (Statement("A", ("iam:PassRole",), ("arn:aws:iam::111122223333:role/r",)), "iam:PassedToService is missing"),
    (Statement("A", ("iam:PassRole",), ("arn:aws:iam::111122223333:role/*",)), "is none of role"),
    (Statement("A", ("cloudwatch:PutMetricData",), ("*",)), "without the condition cloudwatch:namespace"),
    (
        Statement("A", ("lambda:InvokeFunction",), ("arn:aws:lambda:r-1:111122223333:function:*",)),
        "is none of function",
    ),
    (Statement("A", ("kms:Decrypt",), ("arn:aws:kms:r-1:111122223333:key/*",)), "is none of key"),
    (Statement("A", ("ecr:BatchGetImage",), ("arn:aws:ecr:r-1:111122223333:repository/*",)), "is none of repository"),
    (
        Statement("A", ("sagemaker:StopTrainingJob",), ("arn:aws:sagemaker:r-1:111122223333:training-job/*",)),
        "is none of training-job",
    ),
    (
        Statement("A", ("sagemaker:StopTrainingJob",), ("arn:aws:sagemaker:r-1:*:training-job/pipelines-x",)),
        "is none of training-job",
    ),
    (
        Statement("A", ("sagemaker:StopTrainingJob",), ("arn:aws:sagemaker:r-1:111122223333:endpoint/x",)),
        "is none of training-job",
    ),
    (
        Statement("A", ("sagemaker:CreatePipeline",), ("arn:aws:sagemaker:r-1:111122223333:pipeline/*",)),
        "is none of pipeline",
    ),
    (Statement("A", ("logs:PutLogEvents",), ("arn:aws:logs:r-1:111122223333:*",)), "is none of log-stream"),
    (Statement("A", ("s3:GetObjekt",), ("arn:aws:s3:::b/k*",)), "is in no table"),
    (Statement("a-b", ("s3:GetObject",), ("arn:aws:s3:::b/k*",)), "a Sid has letters and digits"),
    (Statement("A", ("s3:GetObject",), ("arn:aws:s3:::b/\u0142*",)), "no characters beyond U+00FF"),
]


@pytest.mark.parametrize(("statement", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_is_too_wide_or_unknown_is_found(statement: Statement, said: str) -> None:
    findings = check.findings(role_with(statement))
    assert any(said in finding for finding in findings), findings


def role_with(*statements: Statement) -> Role:
    return replace(golden("shipped").roles[0], statements=statements)


def test_a_name_that_is_taken_twice_is_found() -> None:
    each = Statement("A", ("s3:GetObject",), ("arn:aws:s3:::b/k*",))
    assert check.findings(role_with(each, each)) == ["darkroom-execution: A: the name is taken twice"]


def test_a_pipeline_whose_address_iam_cannot_write_is_refused_with_every_finding(tmp_path: Path) -> None:
    source = "s3://pictures/\u0142\u00f3d\u017a/"
    (tmp_path / "pipeline.yaml").write_text(json.dumps({"dataset": {"kind": "imagefolder", "source": source}}))
    config = load_config(tmp_path / "pipeline.yaml")
    built = build(config, write_programs(tmp_path / "entrypoints"))
    with pytest.raises(DefinitionError, match=r"U\+00FF.*pictures/"):
        check.refuse(policies.roles(config, Definition.parse(built.definition_json)))


def test_every_action_in_the_tables_is_an_operation_that_botocore_knows_or_a_listed_difference() -> None:
    unknown = [each for each in (*actions.KINDS, *actions.FORCED) if not check.is_known(each)]
    assert unknown == []
    assert not check.is_known("sagemaker:CreateTrainingJobs")


def test_every_wildcard_that_is_forced_has_its_reason_and_source_and_is_used_somewhere() -> None:
    assert all(
        each.reason and each.source.startswith("https://docs.aws.amazon.com/") for each in actions.FORCED.values()
    )
    granted = {
        action
        for name in NAMES
        for role in golden(name).roles
        for statement in role.statements
        if statement.resources == ("*",)
        for action in statement.actions
    }
    assert granted == set(actions.FORCED)


def test_every_other_action_in_the_tables_is_used_somewhere() -> None:
    granted = {
        action
        for name in NAMES
        for role in golden(name).roles
        for statement in role.statements
        for action in statement.actions
    }
    assert set(actions.KINDS) - granted == set()
