"""Processing jobs: what the container finds, what goes back to S3, how they fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from local_jobs import BOTH, IMAGE, Outcome, put_program, run_job

from pipeline.local.service import LocalSageMaker
from pipeline.local.storage import Storage

CODE = "/opt/ml/processing/input/code"
OUT = "/opt/ml/processing/output/out"


def request(home: Path, program: str, **changes: Any) -> dict[str, Any]:
    put_program(home, "s3://b/code/run.py", program)
    return {
        "AppSpecification": {
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["python3", f"{CODE}/run.py"],
            "ContainerArguments": [OUT],
        },
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large"}},
        "ProcessingInputs": [s3_input("code", "s3://b/code/", CODE)],
        "ProcessingOutputConfig": {"Outputs": [output("s3://b/out", "EndOfJob")]},
        **changes,
    }


def s3_input(name: str, uri: str, path: str, **more: Any) -> dict[str, Any]:
    source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File", **more}
    return {"InputName": name, "S3Input": source}


def output(uri: str, mode: str) -> dict[str, Any]:
    return {"OutputName": "out", "S3Output": {"S3Uri": uri, "LocalPath": OUT, "S3UploadMode": mode}}


def process(home: Path, body: dict[str, Any], **options: Any) -> Outcome:
    return run_job(home, "Processing", body, **options)


def text(home: Path, uri: str) -> str:
    return Storage(str(home)).get_bytes(uri).decode()


def listed(home: Path, prefix: str) -> list[str]:
    return [item.uri for item in Storage(str(home)).list(prefix)]


@pytest.mark.parametrize("kind", BOTH)
def test_inputs_come_in_and_outputs_go_back(tmp_path: Path, kind: str) -> None:
    program = "import sys, pathlib\nout = pathlib.Path(sys.argv[1])\n(out / 'sub').mkdir()\n"
    program += "(out / 'sub/file').write_text(pathlib.Path(__file__).name)"
    done = process(tmp_path, request(tmp_path, program), isolation=kind)
    assert done.body["ProcessingJobStatus"] == done.status == "Completed"
    assert text(tmp_path, "s3://b/out/sub/file") == "run.py"
    assert done.announced == [{"ProcessingJob": {"Arn": done.body["ProcessingJobArn"]}}]
    assert [left for left in (tmp_path / "work/e1").rglob("*") if not left.is_dir()] == []


@pytest.mark.parametrize("kind", BOTH)
def test_the_config_files_are_those_of_the_service(tmp_path: Path, kind: str) -> None:
    root = "/opt/ml" if kind == "namespace" else "str(pathlib.Path(sys.argv[1]).parents[2])"
    program = "import pathlib, sys, shutil\n"
    program += f"root = {root!r}\n" if kind == "namespace" else f"root = {root}\n"
    program += "for name in ('processingjobconfig', 'resourceconfig'):\n"
    program += "    shutil.copy(f'{root}/config/{name}.json', sys.argv[1])\n"
    process(tmp_path, request(tmp_path, program, Environment={"A": "b"}), isolation=kind)
    job = json.loads(text(tmp_path, "s3://b/out/processingjobconfig.json"))
    assert job["ProcessingJobName"] == "job-1" and job["Environment"] == {"A": "b"}
    hosts = json.loads(text(tmp_path, "s3://b/out/resourceconfig.json"))
    assert hosts["current_host"] == "algo-1" and hosts["hosts"] == ["algo-1"]
    path = job["ProcessingInputs"][0]["S3Input"]["LocalPath"]
    assert path == CODE if kind == "namespace" else path.endswith("/ml/processing/input/code")


def test_nothing_of_the_callers_environment_leaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    program = "import os; print('SECRET', os.environ.get('AWS_SECRET_ACCESS_KEY'), os.environ['HOME'])"
    done = process(tmp_path, request(tmp_path, program))
    assert "SECRET None" in done.log and str(tmp_path) in done.log


@pytest.mark.parametrize(
    ("uri", "name"),
    [("s3://b/data/train", "a/b.csv"), ("s3://b/data/train/", "a/b.csv"), ("s3://b/data/train/a/b.csv", "b.csv")],
)
def test_an_object_lands_where_its_key_goes_on_after_the_prefix(tmp_path: Path, uri: str, name: str) -> None:
    put_program(tmp_path, "s3://b/data/train/a/b.csv", "x")
    program = "import pathlib; top = pathlib.Path('/opt/ml/processing/input/data')\n"
    program += "print([str(p.relative_to(top)) for p in top.rglob('*') if p.is_file()])"
    body = request(tmp_path, program)
    body["ProcessingInputs"].append(s3_input("data", uri, "/opt/ml/processing/input/data"))
    body["AppSpecification"]["ContainerEntrypoint"] = ["python3", "-c", program]
    assert f"['{name}']" in process(tmp_path, body).log


def test_a_large_input_is_copied_whole(tmp_path: Path) -> None:
    Storage(str(tmp_path)).put_bytes("s3://b/data/big", bytes(9 << 20))
    body = request(tmp_path, "")
    body["ProcessingInputs"].append(s3_input("data", "s3://b/data/", "/opt/ml/processing/input/data"))
    body["AppSpecification"]["ContainerEntrypoint"] = ["wc", "-c", "/opt/ml/processing/input/data/big"]
    body["AppSpecification"]["ContainerArguments"] = []
    assert str(9 << 20) in process(tmp_path, body).log


def test_a_continuous_output_arrives_before_the_job_ends(tmp_path: Path) -> None:
    bucket = str(tmp_path / "s3/b/out/early")
    program = "import sys, time, os, pathlib\n(pathlib.Path(sys.argv[1]) / 'early').write_text('x')\n"
    program += f"while not os.path.exists({bucket!r}): time.sleep(0.05)"
    body = request(tmp_path, program, ProcessingOutputConfig={"Outputs": [output("s3://b/out", "Continuous")]})
    body["StoppingCondition"] = {"MaxRuntimeInSeconds": 30}
    assert process(tmp_path, body).status == "Completed"


def test_tags_of_a_job_can_be_listed(tmp_path: Path) -> None:
    tags = [{"Key": "team", "Value": "vision"}]
    done = process(tmp_path, {**request(tmp_path, "pass"), "Tags": tags})
    assert LocalSageMaker(str(tmp_path)).list_tags(ResourceArn=done.body["ProcessingJobArn"]) == {"Tags": tags}


def test_several_instances_share_the_data_and_know_each_other(tmp_path: Path) -> None:
    for name in "abc":
        put_program(tmp_path, f"s3://b/data/{name}", name)
    program = "import json, os, pathlib, socket, sys\n"
    program += "root = pathlib.Path(sys.argv[1]).parents[2]\n"
    program += "me = json.loads((root / 'config/resourceconfig.json').read_text())\n"
    program += "files = sorted(os.listdir(root / 'processing/input/data'))\n"
    program += "known = [socket.gethostbyname(h) for h in me['hosts']] if str(root) == '/opt/ml' else []\n"
    program += "(pathlib.Path(sys.argv[1]) / me['current_host']).write_text(json.dumps([files, known]))"
    body = request(tmp_path, program)
    body["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 2
    sharded = s3_input("data", "s3://b/data/", "/opt/ml/processing/input/data", S3DataDistributionType="ShardedByS3Key")
    body["ProcessingInputs"].append(sharded)
    done = process(tmp_path, body)
    assert done.status == "Completed", done.error
    first, second = (json.loads(text(tmp_path, f"s3://b/out/algo-{n}")) for n in (1, 2))
    assert (first[0], second[0]) == (["a", "c"], ["b"])
    assert first[1] == second[1]
    assert first[1] in (["127.0.0.1", "127.0.0.2"], [])
    assert "2 instances are 2 processes" in done.parity["InstanceCount"]


@pytest.mark.parametrize("kind", BOTH)
def test_a_failing_program_fails_with_exit_code_message_and_log(tmp_path: Path, kind: str) -> None:
    program = "import sys, pathlib\n"
    program += "(pathlib.Path(sys.argv[1]).parents[2] / 'output/message').write_text('no rows')\nsys.exit(3)"
    done = process(tmp_path, request(tmp_path, program), isolation=kind)
    assert done.error == "AlgorithmError: no rows, exit code: 3"
    assert done.record["ExitMessage"] == "no rows" and done.record["FailureReason"] == done.error
    assert done.status == "Failed" and done.log_path == str(tmp_path / "logs/e1/Step.log")
    assert listed(tmp_path, "s3://b/out") == []


def test_a_killed_program_names_the_signal(tmp_path: Path) -> None:
    done = process(tmp_path, request(tmp_path, "import os; os.kill(os.getpid(), 9)"))
    assert done.error.endswith("exit code: 137 (SIGKILL)")


def test_a_job_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    body = request(tmp_path, "import time; time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    done = process(tmp_path, body)
    assert "MaxRuntimeInSeconds=1" in done.error and done.status == "Stopped"


@pytest.mark.parametrize("kind", BOTH)
def test_a_cancelled_job_is_stopped(tmp_path: Path, kind: str) -> None:
    body = request(tmp_path, "import time; time.sleep(60)")
    done = process(tmp_path, body, cancel_after=0.4, isolation=kind)
    assert done.error == "cancelled" and done.status == "Stopped"


def test_an_input_without_objects_fails_as_on_aws(tmp_path: Path) -> None:
    body = request(tmp_path, "")
    body["ProcessingInputs"].append(s3_input("data", "s3://b/none/", "/opt/ml/processing/input/data"))
    done = process(tmp_path, body)
    assert "ProcessingInput 'data': no S3 objects found under S3 URL 's3://b/none/'" in done.error
    assert done.error.endswith(f"On this machine that is {tmp_path}/s3/b/none")


def test_a_missing_program_is_named_with_its_image(tmp_path: Path) -> None:
    body = request(tmp_path, "")
    body["AppSpecification"]["ContainerEntrypoint"] = ["nothing-like-it"]
    done = process(tmp_path, body)
    assert "no program 'nothing-like-it'" in done.error and IMAGE in done.error


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"S3DataType": "ManifestFile"}, "S3DataType is 'ManifestFile'"),
        ({"S3InputMode": "Pipe"}, "S3InputMode is 'Pipe'"),
        ({"S3CompressionType": "Gzip"}, "S3CompressionType is 'Gzip'"),
        ({"LocalPath": "/opt/ml/../../etc"}, "'/opt/ml/../../etc' is not below /opt/ml"),
        ({"S3DataDistributionType": "Odd"}, "S3DataDistributionType 'Odd'"),
    ],
)
def test_what_this_machine_cannot_do_is_said(tmp_path: Path, source: dict[str, str], message: str) -> None:
    body = request(tmp_path, "")
    body["ProcessingInputs"][0]["S3Input"] |= source
    done = process(tmp_path, body)
    assert message in done.error and done.status == "Failed"


def test_an_output_link_that_leaves_its_folder_is_not_uploaded(tmp_path: Path) -> None:
    program = (
        "import os, sys\nos.symlink('/etc/passwd', sys.argv[1] + '/stolen')\nopen(sys.argv[1] + '/own', 'w').close()"
    )
    process(tmp_path, request(tmp_path, program))
    assert listed(tmp_path, "s3://b/out") == ["s3://b/out/own"]
