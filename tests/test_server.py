"""The local service over HTTP, called by boto3 as it is; and by callers that it must refuse."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hosted import serve_stub
from local_jobs import put_archive
from over_http import client, raw, refusal

from pipeline.local import protocol
from pipeline.local.server import LoopbackServer, serve
from pipeline.local.service import LocalSageMaker
from pipeline.local.store import Store

Capture = pytest.CaptureFixture[str]
ROLE = "arn:aws:iam::111122223333:role/role"


@pytest.fixture(scope="module")
def sagemaker(server: LoopbackServer) -> Any:
    return client(server, "sagemaker")


# SageMaker


def test_every_operation_of_the_table_is_a_method_with_boto3s_name(sagemaker: Any) -> None:
    for operation, method in protocol.OPERATIONS.items():
        assert sagemaker.meta.method_to_api_mapping[method] == operation
        assert callable(getattr(LocalSageMaker, method))


def test_every_public_method_of_the_service_can_be_called_from_outside() -> None:
    methods = {
        name for name in dir(LocalSageMaker) if not name.startswith("_") and callable(getattr(LocalSageMaker, name))
    }
    assert methods - {"invoke_endpoint", "invoke_endpoint_async", "start_runner"} == set(protocol.OPERATIONS.values())


def test_boto3_registers_and_approves_a_package(sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="group")
    arn = sagemaker.create_model_package(ModelPackageGroupName="group")["ModelPackageArn"]
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    body = sagemaker.describe_model_package(ModelPackageName=arn)
    assert body["ModelApprovalStatus"] == "Approved"
    assert body["CreationTime"].tzinfo is not None


def test_boto3s_paginators_and_waiters_work(server: LoopbackServer, sagemaker: Any, s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="bucket", Key="other", Body=b"x")
    put_archive(Path(server.home), "s3://bucket/model.tar.gz", {"text": "model"})
    serve_stub(Store(server.home), "image:1", tmp_path)
    container = {"Image": "image:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}
    for number in range(12):
        sagemaker.create_model(ModelName=f"m-{number:02d}", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    pages = sagemaker.get_paginator("list_models").paginate(SortBy="Name", SortOrder="Ascending")
    names = [model["ModelName"] for page in pages for model in page["Models"]]
    assert names == [f"m-{number:02d}" for number in range(12)]
    variant = {"VariantName": "A", "ModelName": "m-00", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    often = {"Delay": 1}
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig=often)
    runtime = client(server, "sagemaker-runtime")
    assert runtime.invoke_endpoint(EndpointName="e", Body=b"?")["Body"].read() == b"model ?"
    sagemaker.delete_endpoint(EndpointName="e")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="e", WaiterConfig=often)


def test_a_home_that_cannot_be_used_is_an_answer_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no folder")
    running = serve(str(tmp_path / "home"), quiet=True)
    try:
        with pytest.raises(ClientError, match="InternalFailure.*cannot use .*store.sqlite3"):
            client(running, "sagemaker").list_models()
    finally:
        running.shutdown()
        running.server_close()


def test_a_modelled_error_is_boto3s_own_exception(sagemaker: Any) -> None:
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="none")
    with refusal("ValidationException"):
        sagemaker.describe_endpoint(EndpointName="none")


def test_pipelines_are_created_over_http(sagemaker: Any) -> None:
    definition = {"Version": "2020-12-01", "Steps": [{"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}]}
    request = {"PipelineDefinition": json.dumps(definition), "RoleArn": ROLE}
    arn = sagemaker.create_pipeline(PipelineName="p", ClientRequestToken="t" * 32, **request)["PipelineArn"]
    assert sagemaker.describe_pipeline(PipelineName="p")["PipelineArn"] == arn
    assert json.loads(sagemaker.describe_pipeline(PipelineName="p")["PipelineDefinition"]) == definition


def test_an_operation_that_is_not_in_the_table_is_refused_and_logged(sagemaker: Any, capfd: Capture) -> None:
    with refusal("UnknownOperationException"):
        sagemaker.list_notebook_instances()
    refused, called = capfd.readouterr().err.splitlines()[-2:]
    assert "UnknownOperationException: " in refused and "ListNotebookInstances" in refused
    assert "POST SageMaker.ListNotebookInstances 404" in called


def test_a_service_that_is_not_here_is_refused(server: LoopbackServer) -> None:
    with refusal("UnknownOperationException"):
        client(server, "lambda").list_functions()


def test_an_invocation_of_no_endpoint_is_refused(server: LoopbackServer) -> None:
    with refusal("ValidationError"):
        client(server, "sagemaker-runtime").invoke_endpoint(EndpointName="none", Body=b"x")


def test_sts_says_who_calls(server: LoopbackServer) -> None:
    assert client(server, "sts").get_caller_identity()["Account"] == "111122223333"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "SerializationException"),
        (b"[]", 400, "SerializationException"),
        (b'{"Unknown": 1}', 400, "ValidationException"),
        (b" " * (9 << 20), 413, "RequestEntityTooLarge"),
    ],
)
def test_a_body_that_is_no_request_is_refused(server: LoopbackServer, body: bytes, status: int, code: str) -> None:
    said, answer = raw(server, "POST", "/", body, X_Amz_Target="SageMaker.DescribeModel")
    assert (said, json.loads(answer)["__type"]) == (status, code)


def test_keyword_arguments_that_an_operation_lacks_are_no_defect(server: LoopbackServer) -> None:
    status, answer = raw(server, "POST", "/", b"{}", X_Amz_Target="SageMaker.DescribePipeline")
    assert (status, json.loads(answer)["__type"]) == (400, "ValidationException")


# Who may call


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_foreign_host_or_origin_is_refused(server: LoopbackServer, headers: dict[str, str]) -> None:
    status, answer = raw(server, "POST", "/", b"{}", X_Amz_Target="SageMaker.ListModels", **headers)
    assert status == 403
    assert b"AccessDenied" in answer
    assert raw(server, "GET", "/bucket", **headers)[0] == 403


def test_a_server_with_a_key_takes_only_who_signs_with_it(tmp_path: Path) -> None:
    running = serve(str(tmp_path), key="RIGHT")
    try:
        assert client(running, "s3", key="RIGHT").list_buckets()["Buckets"] == []
        with refusal("InvalidAccessKeyId"):
            client(running, "s3", key="WRONG").list_buckets()
        with refusal("UnrecognizedClientException"):
            client(running, "sagemaker", key="WRONG").list_models()
        assert raw(running, "GET", "/")[0] == 403
    finally:
        running.shutdown()
        running.server_close()


# The process


def test_the_program_announces_its_address_and_answers(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pipeline.local.server", "--home", str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        port = int(url.rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert b"ListAllMyBucketsResult" in connection.getresponse().read()
        connection.close()
        process.terminate()
        assert process.stderr is not None
        assert "GET / 200" in process.stderr.read()
