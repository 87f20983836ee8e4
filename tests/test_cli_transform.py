"""`darkroom transform` with the server of the archive itself: the example of docs/serving.md, here and over boto3."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pictures
import pytest
import test_inference
import torch
from aws_account import AWS, Account, account, command
from training import packing

from pipeline.local.images import register_image
from pipeline.local.server import LoopbackServer

Capture = pytest.CaptureFixture[str]
KEY = "arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"
CONFIG = f"""
pipeline: {{name: digits, region: us-east-1, account: "111122223333"}}
dataset: {{kind: digits}}
security: {{kms_key: "{KEY}", subnets: [subnet-0a1b2c3d], security_groups: [sg-0a1b2c3d]}}
tags: {{team: vision}}
"""
TEXT = (Path(__file__).parent.parent / "docs/serving.md").read_text(encoding="utf-8")
COLOURS = {"red": (200, 40, 30), "green": (40, 180, 60), "blue": (30, 60, 200)}


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """With version 1 of a model, whose archive is of the format that trainings leave."""
    with account(server, tmp_path_factory.mktemp("account")) as made:
        torch.manual_seed(0)
        folder, packed = tmp_path_factory.mktemp("model"), io.BytesIO()
        packing.copy_code(test_inference.make_model(folder))
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            archive.add(folder, arcname=".")
        made.clients.storage.put_bytes("s3://bucket/model.tar.gz", packed.getvalue())
        register_image(made.clients.sagemaker.store, "darkroom-serve*", [sys.executable])
        sagemaker = made.clients.sagemaker
        sagemaker.create_model_package_group(ModelPackageGroupName="digits")
        container = {"Image": "darkroom-serve:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}
        types = {"SupportedContentTypes": ["image/png"], "SupportedResponseMIMETypes": ["application/json"]}
        specification = {"Containers": [container], **types}
        sagemaker.create_model_package(ModelPackageGroupName="digits", InferenceSpecification=specification)
        yield made


@pytest.fixture
def project(tmp_path: Path, aws: Account, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pipeline.yaml").write_text(CONFIG)
    (tmp_path / "pictures").mkdir()
    for name, colour in COLOURS.items():
        body = pictures.encoded(pictures.noisy(colour, (40, 40), 1), "JPEG")
        (tmp_path / "pictures" / f"{name}.jpg").write_bytes(body)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_of_the_page_answers_each_picture(
    project: Path, aws: Account, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", aws.clients.home)
    found = re.search(r"```sh\n(darkroom transform .*?)```", TEXT, re.DOTALL)
    assert found
    code, out, err = command(capsys, *shlex.split(found[1])[1:], "--name", "example")
    assert (code, out) == (0, "answers\n"), err
    assert "3 answers" in err and "example: Completed" in err
    for name in COLOURS:
        answer = json.loads((project / "answers" / f"{name}.jpg.out").read_text())
        assert set(answer["predictions"][0]) == {"class", "probability", "unsure", "top"}
    apart_and_encrypted(aws, "example")


def apart_and_encrypted(aws: Account, name: str) -> None:
    """Model and job have what pipeline.yaml says of network, keys and tags."""
    sagemaker, tags = aws.clients.sagemaker, [{"Key": "team", "Value": "vision"}]
    job = sagemaker.describe_transform_job(TransformJobName=name)
    assert job["TransformOutput"]["KmsKeyId"] == job["TransformResources"]["VolumeKmsKeyId"] == KEY
    assert sagemaker.list_tags(ResourceArn=job["TransformJobArn"])["Tags"] == tags
    model = sagemaker.describe_model(ModelName=job["ModelName"])
    assert model["EnableNetworkIsolation"] is True
    assert model["VpcConfig"] == {"SecurityGroupIds": ["sg-0a1b2c3d"], "Subnets": ["subnet-0a1b2c3d"]}
    assert sagemaker.list_tags(ResourceArn=model["ModelArn"])["Tags"] == tags


def test_in_an_account_lines_keep_their_order_and_what_is_no_picture_is_named(
    project: Path, aws: Account, capsys: Capture
) -> None:
    storage, grey = aws.clients.storage, [[[value] * 8 for _ in range(8)] for value in (0, 128, 255)]
    lines = "".join(json.dumps([plane] * 3) + "\n" for plane in grey)
    storage.put_bytes("s3://bucket/in/many.jsonl", lines.encode())
    storage.put_bytes("s3://bucket/in/none.jsonl", b"no picture\n")
    words = ("1", "s3://bucket/in/", "answers", "--split", "Line", "--assemble", "Line", "--json")
    code, out, err = command(capsys, "transform", *words, "--accept", "application/jsonlines", *AWS)
    assert code == 1, err
    assert re.search(r"error: transform job digits-transform-\w+ is Failed: .*/in/none\.jsonl: Bad HTTP status", err), (
        err
    )
    assert json.loads(out)["TransformJobStatus"] == "Failed"
    assert [path.name for path in (project / "answers").iterdir()] == ["many.jsonl.out"]
    assert len((project / "answers/many.jsonl.out").read_text().splitlines()) == 3


@pytest.mark.parametrize("model", ["9", "nobody"])
def test_a_model_that_is_not_there_is_named(project: Path, aws: Account, capsys: Capture, model: str) -> None:
    code, _, err = command(capsys, "transform", model, "pictures", "answers", *AWS)
    assert code == 1
    assert "no model with version 9" in err or 'Could not find model "' in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--concurrent", "20"), "20 requests at once of 6 MB are 120 MB together; SageMaker takes 100"),
        (("--instance-type", "ml.c5.large"), "'ml.c5.large' is not a machine that SageMaker offers for this"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused_before_anything_is_made(
    project: Path, aws: Account, capsys: Capture, words: tuple[str, str], said: str
) -> None:
    aws.front.begin()
    code, _, err = command(capsys, "transform", "1", "pictures", "answers", *words, *AWS)
    assert code == 1 and said in err
    assert aws.front.calls == []
