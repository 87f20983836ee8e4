"""What AWS refuses, and what keeps it from answering, as sentences that say what to do; real boto3, a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aws_account import AWS, Account, account, command
from aws_front import LOST
from botocore import exceptions as boto

from pipeline.aws import denied
from pipeline.aws.errors import Call, translated
from pipeline.client import aws_client
from pipeline.errors import DarkroomError, ServiceError, Unavailable
from pipeline.local.server import LoopbackServer

Capture = pytest.CaptureFixture[str]
PIPELINES = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/*"


@pytest.fixture
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(server, tmp_path_factory.mktemp("account")) as made:
        yield made


def refusal(*words: str, capsys: Capture) -> str:
    code, out, err = command(capsys, *words, *AWS)
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            "expired",
            "AWS's credentials have expired: The security token included in the request is expired\nhint:  sign",
        ),
        (
            "unknown",
            "AWS does not know these credentials: The security token included in the request is invalid.\nhint:",
        ),
        ("signature", "hint:  look at the secret access key, and at this machine's clock: AWS allows it 5 minutes"),
        (
            "throttled",
            "ListPipelines was throttled by AWS, also at attempt 1 (ThrottlingException)\nhint:  wait a minute",
        ),
        ("broken", "ListPipelines broke in AWS, also at attempt 1 (status 500, InternalFailure: We encountered"),
        (LOST, "ListPipelines got no answer, tried once: Connection was closed before we received a valid response"),
    ],
)
def test_each_fault_says_what_to_do(aws: Account, fault: str, said: str, capsys: Capture) -> None:
    aws.front.begin(lambda operation, number: fault)
    assert said in refusal("executions", capsys=capsys)


def test_a_denial_names_the_action_and_the_statement_that_grants_it(aws: Account, capsys: Capture) -> None:
    aws.front.begin(lambda operation, number: "denied")
    said = refusal("executions", capsys=capsys)
    assert f"error: not allowed to sagemaker:ListPipelines on {PIPELINES}: User: arn:aws:sts:" in said
    given = json.loads(said.partition("add to the policy of whoever calls: ")[2].partition("\n")[0])
    assert given == {"Effect": "Allow", "Action": "sagemaker:ListPipelines", "Resource": PIPELINES}


def test_retries_end_after_as_many_attempts_as_are_told(aws: Account, monkeypatch: Any, capsys: Capture) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    aws.front.begin(lambda operation, number: "broken")
    assert "also at attempt 3 (status 500" in refusal("executions", capsys=capsys)
    assert len(aws.front.calls) == 3
    aws.front.begin(lambda operation, number: LOST)
    assert "got no answer, tried 3 times" in refusal("executions", capsys=capsys)


@pytest.mark.parametrize("fault", ["throttled", "broken", LOST])
def test_a_fault_that_passes_is_not_even_told(aws: Account, monkeypatch: Any, fault: str, capsys: Capture) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    aws.front.begin(lambda operation, number: fault if number == 1 else "")
    assert command(capsys, "models", "--json", *AWS)[:2] == (0, "[]\n")
    assert len(aws.front.calls) == 2


# before anything is sent


def test_no_credentials_and_no_region_say_what_is_missing(aws: Account, monkeypatch: Any, capsys: Capture) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    said = refusal("executions", capsys=capsys)
    assert "error: no credentials for AWS: Unable to locate credentials\nhint:  sign in again (aws sso login)" in said
    monkeypatch.delenv("AWS_REGION")
    assert "error: no region of AWS is set\nhint:  add --region us-east-1" in refusal("executions", capsys=capsys)


def test_a_profile_that_does_not_exist_is_named(aws: Account, capsys: Capture) -> None:
    said = refusal("executions", "--profile", "team", capsys=capsys)
    assert "error: there is no profile 'team'" in said
    assert "aws configure list-profiles" in said


def test_an_address_without_a_server_is_out_of_reach(aws: Account, monkeypatch: Any, capsys: Capture) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = refusal("executions", "--region", "us-esat-1", capsys=capsys)
    assert "ListPipelines got no answer, tried once: Could not connect to the endpoint URL" in said
    assert "and at the region: 'us-esat-1' is not known here; did you mean " in said
    assert "us-east-1" in said


def test_a_region_that_is_no_name_at_all_is_refused(aws: Account, capsys: Capture) -> None:
    said = refusal("executions", "--region", "nowhere!", capsys=capsys)
    assert "nowhere!" in said
    assert "hint:  name one with --region" in said


def test_a_name_that_is_not_there_says_where_it_was_looked_for(aws: Account, capsys: Capture) -> None:
    said = refusal("executions", "--pipeline", "absent", "--region", "eu-west-1", capsys=capsys)
    assert "(looked for in eu-west-1)" in said


def test_what_boto3_refuses_to_send_is_a_validation_error(aws: Account) -> None:
    with pytest.raises(ServiceError, match="PipelineName") as caught:
        aws_client("nowhere").sagemaker.describe_pipeline(PipelineName=7)
    assert caught.value.code == "ValidationException"


def test_modelled_errors_keep_their_codes(aws: Account) -> None:
    with pytest.raises(ServiceError) as caught:
        aws_client("nowhere").sagemaker.describe_pipeline(PipelineName="absent")
    assert (caught.value.code, caught.value.operation) == ("ResourceNotFound", "DescribePipeline")


def test_nothing_secret_is_ever_said(aws: Account, monkeypatch: Any, capsys: Capture) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "just-as-secret")
    for fault in ("expired", "unknown", "signature", "denied", "throttled", "broken", LOST):
        aws.front.begin(lambda operation, number, fault=fault: fault)  # type: ignore[misc]
        assert "secret" not in refusal("executions", capsys=capsys).replace("the secret access key", "")


# errors that no server can make


def told(exc: Exception, **about: Any) -> DarkroomError:
    return translated(exc, Call("sagemaker", **about))


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (boto.NoCredentialsError(), "NoCredentials"),
        (boto.PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"), "NoCredentials"),
        (boto.UnauthorizedSSOTokenError(), "ExpiredToken"),
        (boto.TokenRetrievalError(provider="sso", error_msg="gone"), "ExpiredToken"),
        (boto.CredentialRetrievalError(provider="process", error_msg="gone"), "ExpiredToken"),
        (boto.NoRegionError(), "NoRegion"),
        (boto.ConfigParseError(path="config"), "ConfigParseError"),
    ],
)
def test_errors_of_boto3_itself_have_a_code_and_keep_its_words(exc: Exception, code: str) -> None:
    error = told(exc, operation="ListPipelines")
    assert isinstance(error, ServiceError)
    assert error.code == code


@pytest.mark.parametrize(
    ("operation", "uncertain"), [("DescribePipeline", False), ("StartPipelineExecution", True), ("PutObject", True)]
)
def test_only_calls_that_change_something_may_have_been_done(operation: str, uncertain: bool) -> None:
    lost = told(boto.ReadTimeoutError(endpoint_url="https://x"), operation=operation)
    unreached = told(boto.EndpointConnectionError(endpoint_url="https://x"), operation=operation)
    assert isinstance(lost, Unavailable)
    assert isinstance(unreached, Unavailable)
    assert (lost.uncertain, unreached.uncertain) == (uncertain, False)


# denials, in AWS's words

SUBJECT = "User: arn:aws:sts::111122223333:assumed-role/ci/job is not authorized to perform: "


@pytest.mark.parametrize(
    ("message", "action", "resource", "hint"),
    [
        (
            f"{SUBJECT}iam:PassRole on resource: arn:aws:iam::111122223333:role/pipeline because no identity-based"
            " policy allows the iam:PassRole action",
            "iam:PassRole",
            "arn:aws:iam::111122223333:role/pipeline",
            'policy of whoever calls: {"Effect": "Allow", "Action": "iam:PassRole", "Resource":'
            ' "arn:aws:iam::111122223333:role/pipeline", "Condition": {"StringEquals": {"iam:PassedToService":'
            ' "sagemaker.amazonaws.com"}}}',
        ),
        (
            f"{SUBJECT}sagemaker:CreatePipeline on resource: {PIPELINES} because no permissions boundary allows the"
            " sagemaker:CreatePipeline action",
            "sagemaker:CreatePipeline",
            PIPELINES,
            "add to the permissions boundary: ",
        ),
        (
            f"{SUBJECT}sagemaker:StartPipelineExecution on resource: {PIPELINES} with an explicit deny in a service"
            " control policy",
            "sagemaker:StartPipelineExecution",
            PIPELINES,
            "a service control policy denies sagemaker:StartPipelineExecution explicitly: no statement",
        ),
        ("Forbidden", "s3:GetObject", "arn:aws:s3:::bucket/key", "and s3:ListBucket on the bucket"),
        ("Access Denied", "s3:GetObject", "arn:aws:s3:::bucket/key", '"Resource": "arn:aws:s3:::bucket/key"'),
    ],
)
def test_denials_are_read_as_aws_writes_them(message: str, action: str, resource: str, hint: str) -> None:
    found = denied.explain(message, "s3", "HeadObject", "arn:aws:s3:::bucket/key")
    assert (found.action, found.resource) == (action, resource)
    assert hint in found.hint


def test_a_denial_without_a_resource_says_that_it_names_none() -> None:
    found = denied.explain("Access denied", "sagemaker", "ListPipelines", "")
    assert found.action == "sagemaker:ListPipelines"
    assert '"Resource": "*"' in found.hint
    assert "AWS did not name the resource" in found.hint
