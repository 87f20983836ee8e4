"""CreateTransformJob outside of pipelines, over boto3: states, answers, reasons, and a process that leaves nothing."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hosted import SERVER, processes, soon
from local_jobs import put_archive
from over_http import client, refusal

from pipeline.client import Clients
from pipeline.control import transforms
from pipeline.errors import ServiceError
from pipeline.local import names, transform_host
from pipeline.local.endpoint_files import Files
from pipeline.local.images import register_image
from pipeline.local.server import LoopbackServer
from pipeline.local.service import LocalSageMaker, connect


@pytest.fixture
def local(server: LoopbackServer, tmp_path: Path) -> LocalSageMaker:
    found = connect(server.home)
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    register_image(found.store, "stub*", ["env", sys.executable, str(program)])
    if not found.store.find("model", "net"):
        put_archive(Path(found.home), "s3://bucket/net.tar.gz", {"text": "net"})
        found.create_model(
            ModelName="net", PrimaryContainer={"Image": "stub:1", "ModelDataUrl": "s3://bucket/net.tar.gz"}
        )
    return found


def request(name: str, **more: Any) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://bucket/{name}/in/"}}
    return {
        "TransformJobName": name,
        "ModelName": "net",
        "TransformInput": {"DataSource": source, "ContentType": "text/csv"},
        "TransformOutput": {"S3OutputPath": f"s3://bucket/{name}/out", "Accept": "text/plain"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **more,
    }


def ended(sagemaker: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def over() -> bool:
        found.update(sagemaker.describe_transform_job(TransformJobName=name))
        return found["TransformJobStatus"] in ("Completed", "Failed", "Stopped")

    assert soon(over), found
    return found


def test_a_job_goes_from_in_progress_to_its_answers(server: LoopbackServer, local: LocalSageMaker) -> None:
    sagemaker = client(server, "sagemaker")
    local.storage.put_bytes("s3://bucket/one/in/a.csv", b"?")
    arn = sagemaker.create_transform_job(**request("one"), Tags=[{"Key": "team", "Value": "vision"}])["TransformJobArn"]
    assert arn.endswith(":transform-job/one")
    with refusal("ResourceInUse"):
        sagemaker.create_transform_job(**request("one"))
    done = ended(sagemaker, "one")
    assert done["TransformJobStatus"] == "Completed", done
    assert done["TransformEndTime"] >= done["TransformStartTime"] >= done["CreationTime"]
    assert local.storage.get_bytes("s3://bucket/one/out/a.csv.out") == b"net ?"
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "vision"}]
    [row] = sagemaker.list_transform_jobs(NameContains="one")["TransformJobSummaries"]
    assert (row["TransformJobName"], row["TransformJobStatus"]) == ("one", "Completed")
    assert soon(lambda: not processes(local)), processes(local)
    with refusal("ValidationException"):
        sagemaker.stop_transform_job(TransformJobName="one")


def test_what_the_model_refuses_is_the_reason(server: LoopbackServer, local: LocalSageMaker) -> None:
    sagemaker = client(server, "sagemaker")
    local.storage.put_bytes("s3://bucket/bad/in/a.csv", b"418")
    sagemaker.create_transform_job(**request("bad"))
    done = ended(sagemaker, "bad")
    assert done["TransformJobStatus"] == "Failed"
    assert "s3://bucket/bad/in/a.csv: Bad HTTP status received from algorithm: 418" in done["FailureReason"]


def test_a_job_is_stopped_and_leaves_no_process(server: LoopbackServer, local: LocalSageMaker) -> None:
    sagemaker = client(server, "sagemaker")
    for number in range(60):
        local.storage.put_bytes(f"s3://bucket/long/in/{number:02}.csv", b"slow")
    sagemaker.create_transform_job(**request("long"))
    assert soon(lambda: "TransformStartTime" in sagemaker.describe_transform_job(TransformJobName="long"))
    sagemaker.stop_transform_job(TransformJobName="long")
    assert ended(sagemaker, "long")["TransformJobStatus"] == "Stopped"
    assert soon(lambda: not processes(local)), processes(local)


def test_a_job_whose_process_was_killed_is_failed(server: LoopbackServer, local: LocalSageMaker) -> None:
    sagemaker = client(server, "sagemaker")
    for number in range(60):
        local.storage.put_bytes(f"s3://bucket/killed/in/{number:02}.csv", b"slow")
    sagemaker.create_transform_job(**request("killed"))
    assert soon(lambda: "TransformStartTime" in sagemaker.describe_transform_job(TransformJobName="killed"))
    for pid in hosts(local):
        os.kill(pid, signal.SIGKILL)
    assert soon(lambda: "Failed" in listed(sagemaker, "killed"))  # nobody has described it
    done = ended(sagemaker, "killed")
    assert done["TransformJobStatus"] == "Failed"
    assert done["FailureReason"].startswith("InternalServerError: the process of this machine that did it ended")
    assert soon(lambda: not processes(local)), processes(local)


def listed(sagemaker: Any, name: str) -> list[str]:
    """The status of each job that is called so."""
    return [
        row["TransformJobStatus"] for row in sagemaker.list_transform_jobs(NameContains=name)["TransformJobSummaries"]
    ]


def test_a_job_whose_process_has_not_begun_yet_is_not_taken_for_lost(local: LocalSageMaker) -> None:
    body = {"TransformJobName": "young", transform_host.OWN: True}
    with transform_host.starting(local.store, "young"):
        local.store.add(transform_host.KIND, "young", body, "InProgress", names.arn(transform_host.KIND, "young"))
        assert local.describe_transform_job(TransformJobName="young")["TransformJobStatus"] == "InProgress"
    assert local.describe_transform_job(TransformJobName="young")["TransformJobStatus"] == "Failed"


def test_a_job_is_there_for_nobody_before_its_process_may_begin(server: LoopbackServer, local: LocalSageMaker) -> None:
    local.storage.put_bytes("s3://bucket/held/in/a.csv", b"?")
    sagemaker = client(server, "sagemaker")
    begun = threading.Thread(target=lambda: sagemaker.create_transform_job(**request("held")))
    with transform_host.starting(local.store, "held"):
        begun.start()
        begun.join(0.3)
        assert begun.is_alive() and local.store.find(transform_host.KIND, "held") == []
    begun.join()
    assert ended(local, "held")["TransformJobStatus"] == "Completed"


def test_a_job_begins_though_somebody_is_looking_whether_it_has(server: LoopbackServer, local: LocalSageMaker) -> None:
    local.storage.put_bytes("s3://bucket/looked/in/a.csv", b"?")
    own = Files(server.home, "transform_looked")
    os.makedirs(own.folder, exist_ok=True)
    looking = os.open(own.lock, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(looking, fcntl.LOCK_SH)
    sagemaker = client(server, "sagemaker")
    begun = threading.Thread(target=lambda: sagemaker.create_transform_job(**request("looked")))
    begun.start()
    assert soon(lambda: any(holds(pid, own.lock) for pid in hosts(local)))
    os.close(looking)
    begun.join()
    done = ended(sagemaker, "looked")
    assert done["TransformJobStatus"] == "Completed", done


def holds(pid: int, path: str) -> bool:
    with suppress(OSError):
        return any(os.readlink(f"/proc/{pid}/fd/{number}") == path for number in os.listdir(f"/proc/{pid}/fd"))
    return False


def test_more_in_flight_than_sagemaker_takes_starts_nothing(server: LoopbackServer, local: LocalSageMaker) -> None:
    large = request("large", MaxConcurrentTransforms=4, MaxPayloadInMB=26)
    with refusal("ValidationException"):
        client(server, "sagemaker").create_transform_job(**large)
    assert local.store.find(transform_host.KIND, "large") == []


def hosts(local: LocalSageMaker) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                line = Path("/proc", entry, "cmdline").read_text()
            except OSError:
                continue
            if "transform_host" in line and local.home in line:
                found.append(int(entry))
    return found


def test_a_model_that_is_not_there_starts_nothing(server: LoopbackServer, local: LocalSageMaker) -> None:
    with refusal("ValidationException"):
        client(server, "sagemaker").create_transform_job(**request("none") | {"ModelName": "other"})
    assert local.store.find("transform-job", "none") == []


def test_a_request_whose_answer_was_lost_begins_no_second_job(server: LoopbackServer, local: LocalSageMaker) -> None:
    local.storage.put_bytes("s3://bucket/again/in/a.csv", b"?")
    clients = Clients(local, local, local.storage, server.home)
    for _ in range(2):
        transforms.begin(clients, request("again"))
    assert transforms.follow(clients, "again", 0.01, lambda _: None)["TransformJobStatus"] == "Completed"
    transforms.begin(clients, request("again"))  # also of one that has ended
    other = request("again")
    other["TransformOutput"]["S3OutputPath"] = "s3://bucket/elsewhere"
    with pytest.raises(ServiceError, check=lambda exc: exc.code == "ResourceInUse"):
        transforms.begin(clients, other)
