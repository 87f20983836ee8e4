"""Batch transforms over clients that only take notes: what is asked for, compared, stopped and fetched."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.client import Clients
from pipeline.config import Config, transforming
from pipeline.control import transforms
from pipeline.errors import DarkroomError, EndpointError, ServiceError, StorageError, Unavailable

KEY = "arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"
ROLE = "arn:aws:iam::111122223333:role/darkroom"
PACKAGE = {
    "ModelPackageGroupName": "digits",
    "ModelPackageVersion": 3,
    "InferenceSpecification": {"Containers": [{"Image": "img:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}]},
}
HOW = transforms.How("image/png", "application/json", "None", "MultiRecord", "None", 6, 8)
BOTH = ("s3://bucket/in/", "s3://bucket/out/")


def configured(**sections: Any) -> Config:
    return Config.model_validate({"dataset": {"kind": "digits"}, **sections})


def clients(sagemaker: Any = None, objects: dict[str, bytes] | None = None) -> Clients:
    found = objects or {}
    storage: Any = SimpleNamespace(
        list=lambda prefix: [SimpleNamespace(uri=uri) for uri in found], blocks=lambda uri: iter([found[uri]])
    )
    return Clients(sagemaker, None, storage, "", pause=lambda seconds: None, region="eu-west-1")


class Models:
    """None there yet; `made` is what they were asked for."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        if ModelName not in self.made:
            raise ServiceError("ValidationException", f'Could not find model "{ModelName}".')
        return self.made[ModelName]

    def create_model(self, **request: Any) -> None:
        self.made[request["ModelName"]] = request


def test_a_model_is_named_by_all_that_it_is_asked_for() -> None:
    service = Models()
    key = {"kms_key": KEY, "network_isolation": True}
    network = {"subnets": ["subnet-0a1b2c3d"], "security_groups": ["sg-0a1b2c3d"]}
    configs = [
        configured(),
        configured(security={"network_isolation": False}),
        configured(security={**key, **network}),
        configured(tags={"team": "vision"}),
        configured(),
    ]
    names = [transforms.model_of(clients(service), PACKAGE, ROLE, transforming.model_members(each)) for each in configs]
    assert len(set(names)) == 4 and names[0] == names[4]
    asked = [service.made[name] for name in names]
    assert [each["EnableNetworkIsolation"] for each in asked] == [True, False, True, True, True]
    assert "VpcConfig" in asked[2] and asked[3]["Tags"] == [{"Key": "team", "Value": "vision"}]


def test_a_model_that_may_have_the_network_has_it_in_a_transform_as_behind_its_endpoint() -> None:
    given = configured(security={"network_isolation": True}, deploy={"network_isolation": False})
    assert transforming.model_members(given)["EnableNetworkIsolation"] is False


def test_a_machine_with_disks_that_encrypt_themselves_gets_no_key() -> None:
    given = configured(security={"kms_key": KEY})
    asked = transforms.request("job", "net", BOTH, HOW, transforming.job_members(given, "ml.g5.xlarge"))
    assert asked["TransformResources"] == {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1}
    assert asked["TransformOutput"]["KmsKeyId"] == KEY


def test_a_machine_of_the_endpoint_that_transforms_have_not_is_named_with_its_key() -> None:
    given = configured(deploy={"instance_type": "ml.c5.large"})
    with pytest.raises(DarkroomError, match=r"^deploy\.instance_type: 'ml\.c5\.large' is not a machine") as raised:
        transforming.machine(given)
    assert "--instance-type" in raised.value.hint
    assert transforming.machine(given, "ml.c5.xlarge") == "ml.c5.xlarge"


@pytest.mark.parametrize(
    "other",
    [
        HOW._replace(content_type="image/jpeg"),
        HOW._replace(accept="text/csv"),
        HOW._replace(split="Line"),
        HOW._replace(strategy="SingleRecord"),
        HOW._replace(assemble="Line"),
        HOW._replace(payload_mb=5),
        HOW._replace(concurrent=4),
    ],
)
def test_a_job_that_is_asked_for_otherwise_is_not_the_one_that_was_begun(other: transforms.How) -> None:
    members = transforming.job_members(configured(security={"kms_key": KEY}, tags={"team": "vision"}), "ml.m5.large")
    first, second = (transforms.request("job", "net", BOTH, how, members) for how in (HOW, other))
    shown = {key: value for key, value in first.items() if key != "Tags"}
    shown["TransformInput"] = {**first["TransformInput"], "CompressionType": "None"}

    def refuse(**_: Any) -> None:
        raise ServiceError("ResourceInUse", "there is one")

    service = SimpleNamespace(create_transform_job=refuse, describe_transform_job=lambda TransformJobName: shown)
    transforms.begin(clients(service), first)
    with pytest.raises(ServiceError, match="there is one"):
        transforms.begin(clients(service), second)


ENDED = ServiceError("ValidationException", "it is Completed")
NO_MORE = ["job: InProgress"]
GOES_ON = [
    *NO_MORE,
    "job goes on, it could not be stopped: {}",
    "aws sagemaker stop-transform-job --transform-job-name job --region eu-west-1",
]


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (ENDED, "Completed", NO_MORE),
        (ENDED, "Stopping", NO_MORE),
        (ServiceError("ValidationException", "it is a step's"), "InProgress", GOES_ON),
        (ServiceError("AccessDenied", "not for you"), "Completed", GOES_ON),
        (Unavailable("Throttling", "too often"), "Completed", GOES_ON),
    ],
)
def test_ctrl_c_is_what_ends_it_and_tells_where_the_job_goes_on(
    answer: ServiceError, status: str, told: list[str]
) -> None:
    said: list[str] = []

    def interrupted(seconds: float) -> None:
        running["TransformJobStatus"] = status
        raise KeyboardInterrupt

    def stop(**_: Any) -> None:
        raise answer

    running = {"TransformJobStatus": "InProgress"}
    service = SimpleNamespace(describe_transform_job=lambda **_: running, stop_transform_job=stop)
    with pytest.raises(KeyboardInterrupt):
        transforms.follow(clients(service)._replace(pause=interrupted), "job", 0.1, said.append)
    assert said == [line.format(answer.message) for line in told]


def test_a_job_that_did_not_complete_is_an_error_with_its_reason() -> None:
    with pytest.raises(EndpointError, match="transform job x is Failed: AlgorithmError: no picture"):
        transforms.check(
            {"TransformJobName": "x", "TransformJobStatus": "Failed", "FailureReason": "AlgorithmError: no picture"}
        )
    transforms.check({"TransformJobName": "x", "TransformJobStatus": "Completed"})


@pytest.mark.parametrize("name", ["../../x.out", "/x.out", "a//x.out", "a/./x.out"])
def test_answers_never_lead_out_of_their_folder(tmp_path: Path, name: str) -> None:
    objects = {"s3://bucket/out/first.out": b"1", f"s3://bucket/out/{name}": b"2"}
    with pytest.raises(StorageError, match="is no file below"):
        transforms.fetch(clients(objects=objects), "s3://bucket/out/", str(tmp_path / "answers"))
    assert not (tmp_path / "answers").exists()


def test_answers_follow_no_link_out_of_their_folder(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers/sub").symlink_to(tmp_path)
    objects = {"s3://bucket/out/sub/x.out": b"2"}
    with pytest.raises(StorageError, match="by a link"):
        transforms.fetch(clients(objects=objects), "s3://bucket/out/", str(tmp_path / "answers"))
    assert not (tmp_path / "x.out").exists()


def test_an_answer_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    def broken(uri: str) -> Any:
        yield b"half"
        raise Unavailable("RequestTimeout", "gone")

    given = clients(objects={"s3://bucket/out/x.out": b""})
    storage: Any = SimpleNamespace(list=given.storage.list, blocks=broken)
    with pytest.raises(Unavailable):
        transforms.fetch(given._replace(storage=storage), "s3://bucket/out/", str(tmp_path))
    assert list(tmp_path.iterdir()) == []
