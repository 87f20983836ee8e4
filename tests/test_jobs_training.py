"""Training jobs: the toolkit's container, metrics, checkpoints, artifacts, and every way to fail."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from local_jobs import BOTH, IMAGE, Outcome, put_archive, put_program, run_job, start_job

from pipeline.errors import StorageError
from pipeline.local.jobs import JobFailed
from pipeline.local.jobs.archive import pack, unpack
from pipeline.local.jobs.toolkit import Toolkit
from pipeline.local.storage import Storage
from pipeline.local.store import Store

SAVE = "import os\nopen(os.environ['SM_MODEL_DIR'] + '/weights', 'w').write('w')\n"


def channel(name: str, uri: str, **source: str) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, **source}}}


def request(home: Path, program: str, **changes: Any) -> dict[str, Any]:
    put_archive(home, "s3://b/code/sourcedir.tar.gz", {"train.py": program})
    put_program(home, "s3://b/train/a", "x")
    return {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        },
        "HyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
            "lr": "0.1",
            "flag": "true",
            "name": "net",
        },
        "InputDataConfig": [channel("code", "s3://b/code/"), channel("train", "s3://b/train")],
        "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }


def train(home: Path, body: dict[str, Any], **options: Any) -> Outcome:
    return run_job(home, "Training", body, **options)


def members(home: Path, uri: str) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(Storage(str(home)).get_bytes(uri))) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


@pytest.mark.parametrize("kind", BOTH)
def test_the_program_gets_what_the_toolkit_gives(tmp_path: Path, kind: str) -> None:
    program = "import json, os, sys\nprint(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]))"
    done = train(tmp_path, request(tmp_path, program, Environment={"MINE": "1"}), isolation=kind)
    arguments, env, folder = json.loads(done.log)
    assert arguments == ["--flag", "True", "--lr", "0.1", "--name", "net"]
    assert folder.endswith("/ml/code") and env["SM_MODULE_NAME"] == "train" and env["MINE"] == "1"
    assert json.loads(env["SM_HPS"]) == {"flag": True, "lr": 0.1, "name": "net"}
    assert env["SM_CHANNEL_TRAIN"].endswith("/ml/input/data/train")
    assert json.loads(env["SM_TRAINING_ENV"])["hosts"] == ["algo-1"]
    assert env["TRAINING_JOB_NAME"] == "job-1" and env["SM_CURRENT_HOST"] == "algo-1"
    if kind == "namespace":
        assert env["SM_MODEL_DIR"] == "/opt/ml/model" and folder == "/opt/ml/code"


def test_the_config_files_are_those_of_the_service(tmp_path: Path) -> None:
    program = "import os, glob, json\nfor path in sorted(glob.glob(os.environ['SM_INPUT_CONFIG_DIR'] + '/*')):\n"
    program += "    print(json.dumps(json.load(open(path))))"
    parameters, inputs, resources = map(json.loads, train(tmp_path, request(tmp_path, program)).log.splitlines())
    assert parameters["flag"] == "true"
    assert inputs["train"] == {
        "TrainingInputMode": "File",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    assert resources["hosts"] == ["algo-1"]


def test_a_finished_job_describes_metrics_artifacts_and_times(tmp_path: Path) -> None:
    program = SAVE + "open(os.environ['SM_OUTPUT_DATA_DIR'] + '/plot', 'w').close()\nprint('loss=2')\nprint('loss=1')"
    done = train(tmp_path, request(tmp_path, program))
    assert done.body["ModelArtifacts"] == {"S3ModelArtifacts": "s3://b/out/job-1/output/model.tar.gz"}
    assert members(tmp_path, "s3://b/out/job-1/output/model.tar.gz") == {"weights": b"w"}
    assert members(tmp_path, "s3://b/out/job-1/output/output.tar.gz") == {"plot": b""}
    assert [(m["MetricName"], m["Value"]) for m in done.body["FinalMetricDataList"]] == [("loss", 1.0)]
    assert [value for _, value in done.record["_MetricHistory"]["loss"]] == [2.0, 1.0]
    assert done.body["BillableTimeInSeconds"] >= 1 and done.body["TrainingEndTime"] >= done.body["TrainingStartTime"]
    statuses = [item["Status"] for item in done.body["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def test_metrics_are_in_the_record_while_the_job_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    program = f"import os, time\nprint('loss=3')\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)"
    with start_job(tmp_path, "Training", request(tmp_path, program)) as runner:
        store = Store(str(tmp_path))
        deadline = time.monotonic() + 20
        seen: dict[str, Any] = {}
        while "FinalMetricDataList" not in seen and time.monotonic() < deadline:
            found = store.find("training-job", "job-1")
            seen = found[0].body if found else {}
            time.sleep(0.05)
        go.touch()
        runner.wait()
    assert seen["FinalMetricDataList"][0]["Value"] == 3.0 and seen["TrainingJobStatus"] == "InProgress"


def test_equal_models_are_equal_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        train(tmp_path, request(tmp_path, SAVE), job_name=name)
        data = Storage(str(tmp_path)).get_bytes(f"s3://b/out/{name}/output/model.tar.gz")
        digests.add(hashlib.sha256(data).hexdigest())
    assert len(digests) == 1


def test_a_large_model_is_packed_too(tmp_path: Path) -> None:
    program = "import os\nopen(os.environ['SM_MODEL_DIR'] + '/big', 'wb').write(os.urandom(2 << 20))"
    train(tmp_path, request(tmp_path, program))
    assert len(members(tmp_path, "s3://b/out/job-1/output/model.tar.gz")["big"]) == 2 << 20


def test_an_uncompressed_model_is_a_folder(tmp_path: Path) -> None:
    body = request(tmp_path, SAVE, OutputDataConfig={"S3OutputPath": "s3://b/out", "CompressionType": "NONE"})
    assert train(tmp_path, body).body["ModelArtifacts"]["S3ModelArtifacts"] == "s3://b/out/job-1/output/model/"
    assert Storage(str(tmp_path)).get_bytes("s3://b/out/job-1/output/model/weights") == b"w"


@pytest.mark.parametrize("kind", BOTH)
def test_checkpoints_come_back_and_go_out(tmp_path: Path, kind: str) -> None:
    put_program(tmp_path, "s3://b/checkpoints/old", "1")
    root = "'/opt/ml'" if kind == "namespace" else "os.environ['SM_OUTPUT_DIR'] + '/..'"
    program = (
        f"import os\nfolder = {root} + '/checkpoints'\nprint(os.listdir(folder))\nopen(folder + '/new', 'w').close()"
    )
    body = request(tmp_path, program, CheckpointConfig={"S3Uri": "s3://b/checkpoints"})
    assert "['old']" in train(tmp_path, body, isolation=kind).log
    assert Storage(str(tmp_path)).exists("s3://b/checkpoints/new")


def test_the_failure_file_is_the_reason(tmp_path: Path) -> None:
    program = "import os, sys\nopen(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('no GPU')\nsys.exit(4)"
    done = train(tmp_path, request(tmp_path, program))
    assert done.error == "AlgorithmError: no GPU, exit code: 4"
    assert done.record["FailureReason"] == done.error and done.record["SecondaryStatus"] == "Failed"


def test_without_one_the_reason_quotes_the_error_and_the_command(tmp_path: Path) -> None:
    done = train(tmp_path, request(tmp_path, "raise ValueError('bad shape')"))
    assert 'ErrorMessage "ValueError: bad shape"' in done.error and "train.py" in done.error
    assert done.error.endswith(", exit code: 1")


def test_a_job_over_its_time_is_stopped_and_keeps_its_model(tmp_path: Path) -> None:
    program = SAVE + "import time; time.sleep(60)"
    done = train(tmp_path, request(tmp_path, program, StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert done.status == "Stopped" and done.record["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert "MaxRuntimeInSeconds=1" in done.error
    assert members(tmp_path, "s3://b/out/job-1/output/model.tar.gz") == {"weights": b"w"}


def test_a_cancelled_job_is_stopped(tmp_path: Path) -> None:
    done = train(tmp_path, request(tmp_path, "import time; time.sleep(60)"), cancel_after=0.4)
    assert done.status == "Stopped" and done.record["SecondaryStatus"] == "Stopped"


def test_several_hosts_know_each_other_and_one_failure_ends_all(tmp_path: Path) -> None:
    program = "import os, sys, time\nprint(os.environ['SM_HOSTS'], os.environ['SM_CURRENT_HOST'], flush=True)\n"
    program += "sys.exit(5) if os.environ['SM_CURRENT_HOST'] == 'algo-2' else time.sleep(60)"
    body = request(tmp_path, program)
    body["ResourceConfig"]["InstanceCount"] = 2
    done = train(tmp_path, body)
    assert done.error.endswith("exit code: 5") and done.log_path.endswith("Step-2.log")
    assert (tmp_path / "logs/e1/Step-1.log").read_text().startswith('["algo-1","algo-2"] algo-1')


@pytest.mark.parametrize("kind", BOTH)
def test_several_hosts_meet_at_an_address_and_port_of_this_job_alone(tmp_path: Path, kind: str) -> None:
    """Two jobs beside each other would meet at the toolkit's 7777; and their threads would fight for the cores."""
    program = "import os, socket\n"
    program += "port, threads = int(os.environ['MASTER_PORT']), os.environ['OMP_NUM_THREADS']\n"
    program += "if os.environ['SM_CURRENT_HOST'] == 'algo-1':\n"
    program += "    socket.create_server((os.environ['MASTER_ADDR'], port)).accept()\n"
    program += "while os.environ['SM_CURRENT_HOST'] == 'algo-2':\n"
    program += "    try:\n        socket.create_connection((os.environ['MASTER_ADDR'], port))\n        break\n"
    program += "    except ConnectionRefusedError:\n        pass\n"
    program += "assert port != 7777 and int(threads) == max(1, len(os.sched_getaffinity(0)) // 2)"
    body = request(tmp_path, program)
    body["ResourceConfig"]["InstanceCount"] = 2
    done = train(tmp_path, body, isolation=kind)
    assert done.status == "Completed"
    assert "a free one for each job" in done.parity["MASTER_PORT"]
    assert "of its cores each" in done.parity["InstanceCount"]


def test_an_image_that_is_no_python_is_run_with_train(tmp_path: Path) -> None:
    done = train(tmp_path, request(tmp_path, ""), command="/bin/echo hello")
    assert done.log == "hello train\n" and done.status == "Completed"


def test_an_explicit_entry_point_is_run_as_given_without_toolkit(tmp_path: Path) -> None:
    body = request(tmp_path, "")
    body["AlgorithmSpecification"]["ContainerEntrypoint"] = ["/bin/sh", "-c", "env | grep -c ^SM_; echo $0"]
    body["AlgorithmSpecification"]["ContainerArguments"] = ["word"]
    assert train(tmp_path, body, command=sys.executable).log.split() == ["0", "word"]


def test_code_may_come_from_s3_and_requirements_are_not_installed(tmp_path: Path) -> None:
    body = request(tmp_path, "")
    put_archive(tmp_path, "s3://b/other.tar.gz", {"train.py": "print('other')", "requirements.txt": "x"})
    body["HyperParameters"]["sagemaker_submit_directory"] = "s3://b/other.tar.gz"
    done = train(tmp_path, body)
    assert done.log == "other\n" and "not installed" in done.parity["requirements.txt"]


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"sagemaker_program": "other.py"}, "'other.py' is not in"),
        ({"sagemaker_submit_directory": "s3://b/none.tar.gz"}, "no S3 object 's3://b/none.tar.gz'"),
        ({"sagemaker_submit_directory": "s3://b/train/a"}, "not a readable .tar.gz"),
        ({"sagemaker_mpi_enabled": "true"}, "sagemaker_mpi_enabled: this launcher"),
        ({"sagemaker_program": ""}, "sagemaker_program"),
    ],
)
def test_code_that_cannot_be_run_is_refused(tmp_path: Path, hyperparameters: dict[str, str], message: str) -> None:
    body = request(tmp_path, "")
    body["HyperParameters"] |= hyperparameters
    done = train(tmp_path, body)
    assert message in done.error and done.status == "Failed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"InputMode": "Pipe"}, "Pipe does not exist on this machine"),
        ({"CompressionType": "Gzip"}, "CompressionType is 'Gzip'"),
        ({"RecordWrapperType": "RecordIO"}, "RecordWrapperType is 'RecordIO'"),
        ({"DataSource": {"FileSystemDataSource": {}}}, "no S3DataSource"),
    ],
)
def test_channels_that_this_machine_cannot_fill_are_named(tmp_path: Path, changes: Any, message: str) -> None:
    body = request(tmp_path, "")
    body["InputDataConfig"][1] |= changes
    assert "channel 'train'" in (error := train(tmp_path, body).error) and message in error


def test_fast_file_mode_is_copied_and_said_so(tmp_path: Path) -> None:
    body = request(tmp_path, "import os; print(os.listdir(os.environ['SM_CHANNEL_TRAIN']))")
    body["AlgorithmSpecification"]["TrainingInputMode"] = "FastFile"
    done = train(tmp_path, body)
    assert "['a']" in done.log and "copied" in done.parity["FastFile"]


def test_torchrun_is_started_as_the_toolkit_does() -> None:
    from local_jobs import IMAGE as uri

    from pipeline.local.images import Image

    toolkit = Toolkit({"sagemaker_program": "t.py", "sagemaker_torch_distributed_enabled": "true", "x": "1"})

    class Two:
        names = ["algo-1", "algo-2"]
        gpus = 0

    class Second:
        name = "algo-2"

    words = toolkit.command(Image(uri, ["python"]), Second(), Two(), ("algo-1", "7777"))  # type: ignore[arg-type]
    assert " ".join(words[1:]) == (
        "-m torch.distributed.run --nnodes 2 --nproc_per_node 1 "
        "--master_addr algo-1 --master_port 7777 --node_rank 1 t.py -x 1"
    )


def hostile(path: Path, name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> str:
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(b"x"))
    return str(path)


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../up", tarfile.REGTYPE, ""),
        ("/etc/up", tarfile.REGTYPE, ""),
        ("a/../../up", tarfile.REGTYPE, ""),
        ("link", tarfile.SYMTYPE, "/etc/passwd"),
        ("hard", tarfile.LNKTYPE, "other"),
        ("pipe", tarfile.FIFOTYPE, ""),
    ],
)
def test_a_hostile_archive_is_refused(tmp_path: Path, name: str, kind: bytes, link: str) -> None:
    archive = hostile(tmp_path / "a.tar.gz", name, kind, link)
    with pytest.raises(JobFailed, match="the code"):
        unpack(archive, str(tmp_path / "out"), "the code")
    assert not (tmp_path / "up").exists()


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(1 << 20))
    pack([("zeros", str(tmp_path / "zeros"))], str(tmp_path / "bomb.tar.gz"))
    with pytest.raises(JobFailed, match="more than 1000 bytes"):
        unpack(str(tmp_path / "bomb.tar.gz"), str(tmp_path / "out"), "the code", 1000)


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b\x08\x00cut"])
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(data)
    with pytest.raises(JobFailed, match=r"not a readable \.tar\.gz"):
        unpack(str(tmp_path / "a.tar.gz"), str(tmp_path / "out"), "the code")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"w")
    with pytest.raises(StorageError, match="cannot write /dev/full: No space left on device"):
        pack([("weights", str(tmp_path / "weights"))], "/dev/full")


def test_a_request_without_image_is_refused(tmp_path: Path) -> None:
    body = request(tmp_path, "")
    body["AlgorithmSpecification"].pop("TrainingImage")
    done = train(tmp_path, body)
    assert "no TrainingImage" in done.error and done.status == "Failed"
