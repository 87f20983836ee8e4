"""`darkroom download`: an execution's files into a folder, here and over HTTP, whatever is in the way."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_account import AWS, Account, account, command

from pipeline.client import Clients, aws_client
from pipeline.control import download, executions
from pipeline.control.download import METRICS, RECORD, Item
from pipeline.errors import ServiceError, StorageError
from pipeline.local.records import Execution, StepRow
from pipeline.local.server import LoopbackServer

ARN = "arn:aws:sagemaker:us-east-1:111122223333"
ROLE = "arn:aws:iam::111122223333:role/darkroom"
MODEL = os.urandom(3 << 20)  # several blocks
BUCKET = "s3://downloads"
DEFINITION = {
    "Version": "2020-12-01",
    "Steps": [
        {
            "Name": "Judge",
            "Type": "Processing",
            "Arguments": {},
            "PropertyFiles": [{"PropertyFileName": "R", "OutputName": "figures", "FilePath": "evaluation.json"}],
        },
        {"Name": "Search", "Type": "Tuning", "Arguments": {}},
        {"Name": "Learn", "Type": "Training", "Arguments": {}},
        {"Name": "Keep", "Type": "RegisterModel", "Arguments": {}},
    ],
}


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(server, tmp_path_factory.mktemp("account")) as made:
        yield made


class Made:
    """An execution of somebody else's definition, which ran before the test: its steps, jobs and objects."""

    def __init__(self, clients: Clients, name: str, definition: dict[str, Any] = DEFINITION) -> None:
        self.clients = clients
        self.store = clients.sagemaker.store
        self.name = name
        clients.sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE)
        body = {"PipelineExecutionDisplayName": "d", "PipelineExecutionDescription": "", "Parameters": {}}
        self.execution = Execution.add(self.store, name, 1, body)
        self.execution.end(self.store, "Succeeded")
        self.arn = self.execution.arn
        self.id = executions.identifier(self.arn)

    def step(self, name: str, kind: str, key: str, arn: str, status: str = "Succeeded") -> None:
        row = StepRow.new(self.execution, name, kind, len(StepRow.of_execution(self.store, self.id)))
        row.status = status
        row.body["Metadata"] = {key: {"Arn": f"{ARN}:{arn}"}}
        row.save(self.store)

    def put(self, key: str, content: bytes) -> str:
        self.clients.storage.put_bytes(f"{BUCKET}/{self.name}/{key}", content)
        return f"{BUCKET}/{self.name}/{key}"

    def judge(self, figures: str = "figures") -> None:
        uri = f"{BUCKET}/{self.name}/{figures}"
        config = {"Outputs": [{"OutputName": "figures", "S3Output": {"S3Uri": uri}}]}
        self.store.put("processing-job", f"{self.name}-judge", {"ProcessingOutputConfig": config}, "Completed")
        self.step("Judge", "Processing", "ProcessingJob", f"processing-job/{self.name}-judge")

    def learn(self, uri: str, job: str = "learn") -> None:
        metrics = [{"MetricName": "accuracy", "Value": 0.5}]
        body = {"ModelArtifacts": {"S3ModelArtifacts": uri}, "FinalMetricDataList": metrics}
        self.store.put("training-job", f"{self.name}-{job}", body, "Completed")
        self.step(job.title(), "Training", "TrainingJob", f"training-job/{self.name}-{job}")


@pytest.fixture(scope="module")
def made(aws: Account) -> Made:
    """With evaluation.json and a model."""
    found = Made(aws.clients, "whole")
    found.put("figures/evaluation.json", b'{"accuracy": 1}')
    found.judge()
    found.learn(found.put("learn/output/model.tar.gz", MODEL))
    return found


@pytest.fixture(params=["local", "aws"])
def clients(request: pytest.FixtureRequest, aws: Account, tmp_path: Path) -> Clients:
    """Both over the same state."""
    return aws.clients if request.param == "local" else aws_client(str(tmp_path / "own"))


def items(clients: Clients, arn: str) -> list[Item]:
    steps = executions.steps(clients, arn)
    return [*download.metrics(clients, arn, steps), *download.models(clients, steps)]


def fetched(clients: Clients, arn: str, folder: Path) -> dict[str, bool]:
    """File → whether it was written now."""
    return {each.file: each.written for each in download.fetch(clients, arn, items(clients, arn), str(folder))}


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# what there is


def test_files_are_those_of_the_execution_and_come_once(clients: Clients, made: Made, tmp_path: Path) -> None:
    names = ["Judge/evaluation.json", METRICS, "Learn/model.tar.gz"]
    folder = tmp_path / "folder"
    assert fetched(clients, made.arn, folder) == dict.fromkeys(names, True)
    assert (folder / "Learn/model.tar.gz").read_bytes() == MODEL
    assert json.loads((folder / METRICS).read_text())["Steps"] == [
        {"StepName": "Learn", "StepType": "Training", "Metrics": {"accuracy": 0.5}}
    ]
    assert below(folder) == sorted([*names, RECORD])
    assert fetched(clients, made.arn, folder) == dict.fromkeys(names, False)


def test_what_changed_on_either_side_is_fetched_again(clients: Clients, aws: Account, tmp_path: Path) -> None:
    name = f"changing-{clients.place.strip() or 'here'}".replace(" ", "-")
    changing = Made(aws.clients, name)
    changing.put("figures/evaluation.json", b"1")
    changing.judge()
    changing.learn(changing.put("model.tar.gz", b"m"))
    folder = tmp_path / "folder"
    fetched(clients, changing.arn, folder)
    (folder / "Learn/model.tar.gz").write_bytes(b"x")
    changing.put("figures/evaluation.json", b"2")
    assert fetched(clients, changing.arn, folder) == {
        "Judge/evaluation.json": True,
        METRICS: False,
        "Learn/model.tar.gz": True,
    }
    assert [(folder / name).read_bytes() for name in ("Judge/evaluation.json", "Learn/model.tar.gz")] == [b"2", b"m"]


def test_without_a_training_step_the_best_trial_is_the_model(aws: Account, tmp_path: Path) -> None:
    tuned = Made(aws.clients, "tuned")
    uri = tuned.put("trial/output/model.tar.gz", b"best")
    tuned.store.put("training-job", "tuned-002", {"ModelArtifacts": {"S3ModelArtifacts": uri}}, "Completed")
    best = {"TrainingJobName": "tuned-002"}
    body = {"BestTrainingJob": best, "HyperParameterTuningJobConfig": {}}
    tuned.store.put("hyper-parameter-tuning-job", "tuned", body, "Completed", f"{ARN}:hyper-parameter-tuning-job/tuned")
    tuned.step("Search", "Tuning", "TuningJob", "hyper-parameter-tuning-job/tuned")
    fetched(aws.clients, tuned.arn, tmp_path)
    assert (tmp_path / "Search/model.tar.gz").read_bytes() == b"best"


def test_an_archive_that_was_registered_is_one_file_where_it_is_the_trained_one(aws: Account, tmp_path: Path) -> None:
    kept = Made(aws.clients, "kept")
    aws.register("kept")
    trained, other = kept.put("model.tar.gz", b"trained"), kept.put("other/model.tar.gz", b"other")
    containers = [{"Image": "i", "ModelDataUrl": uri} for uri in (trained, other)]
    package = kept.clients.sagemaker.create_model_package(
        ModelPackageGroupName="kept",
        InferenceSpecification={
            "Containers": containers,
            "SupportedContentTypes": ["image/png"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    kept.learn(trained)
    kept.step("Keep", "RegisterModel", "RegisterModel", package.removeprefix(f"{ARN}:"))
    assert set(fetched(aws.clients, kept.arn, tmp_path)) == {METRICS, "Learn/model.tar.gz", "Keep/model.tar.gz"}
    assert (tmp_path / "Keep/model.tar.gz").read_bytes() == b"other"


def test_steps_that_failed_have_nothing_to_fetch(aws: Account, tmp_path: Path) -> None:
    failed = Made(aws.clients, "failed")
    failed.store.put("training-job", "failed-learn", {}, "Failed")
    failed.step("Learn", "Training", "TrainingJob", "training-job/failed-learn", "Failed")
    assert [item.file for item in items(aws.clients, failed.arn)] == [METRICS]
    assert not list(download.models(aws.clients, executions.steps(aws.clients, failed.arn)))


def test_an_object_that_is_gone_is_named_and_the_rest_is_fetched(
    clients: Clients, aws: Account, tmp_path: Path
) -> None:
    gone = Made(aws.clients, f"gone-{'aws' if clients.place else 'here'}")
    gone.judge()
    gone.learn(gone.put("model.tar.gz", b"m"))
    with pytest.raises(StorageError) as caught:
        fetched(clients, gone.arn, tmp_path)
    assert f"not there any more: {BUCKET}/{gone.name}/figures/evaluation.json" in caught.value.message
    assert (tmp_path / "Learn/model.tar.gz").read_bytes() == b"m"


# hostile names, other people's files


@pytest.mark.parametrize("file", ["../evil", "a/../../evil", "a//b", "/etc/evil", "a/./b", "a/", "", "a\0b", RECORD])
def test_no_name_leads_out_of_the_folder(aws: Account, made: Made, file: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    wanted = [Item("good", content=b"x"), Item(file, content=b"evil")]
    with pytest.raises(StorageError):
        list(download.fetch(aws.clients, made.arn, wanted, str(folder)))
    assert not folder.exists()
    assert below(tmp_path) == []


def test_no_link_leads_out_of_the_folder(aws: Account, made: Made, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "Learn").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match="by a link"):
        fetched(aws.clients, made.arn, tmp_path / "folder")
    assert below(tmp_path) == []


def test_a_file_that_somebody_else_made_is_not_overwritten(aws: Account, made: Made, tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text("mine")
    with pytest.raises(StorageError, match="no download brought it"):
        fetched(aws.clients, made.arn, tmp_path)
    assert below(tmp_path) == [METRICS]


def test_objects_of_one_name_are_two_files(aws: Account, made: Made, tmp_path: Path) -> None:
    wanted = [Item("a/b", content=b"1"), Item("A/b", content=b"2"), Item("a/b", content=b"3")]
    list(download.fetch(aws.clients, made.arn, wanted, str(tmp_path)))
    assert below(tmp_path) == sorted([RECORD, "a/b", "A/2-b", "a/3-b"])


@pytest.mark.parametrize("text", ["", "[]", "{", '{"metrics.json": 1}', '{"metrics.json": {"Size": "x"}}', "[" * 99999])
def test_a_record_that_is_none_counts_as_none(aws: Account, made: Made, text: str, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(text)
    assert all(fetched(aws.clients, made.arn, tmp_path).values())


# what goes wrong in between


class Broken:
    """A storage whose objects break off after a block."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def tag(self, uri: str) -> str:
        return "tag"

    def blocks(self, uri: str) -> Iterator[bytes]:
        yield b"half"
        raise self._error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "the disk is full: cannot write"),
        (OSError(13, "Permission denied"), "Permission denied"),
        (ServiceError("NoAnswer", "s3://b/k broke off 3 times"), "broke off 3 times"),
        (KeyboardInterrupt(), ""),
    ],
)
def test_a_file_is_whole_or_absent(made: Made, error: Exception, said: str, tmp_path: Path) -> None:
    broken = made.clients._replace(storage=Broken(error))
    wanted = [Item("first", content=b"1"), Item("second", "s3://b/k")]
    with pytest.raises(KeyboardInterrupt if not said else (StorageError, ServiceError)) as caught:
        list(download.fetch(broken, made.arn, wanted, str(tmp_path)))
    assert said in str(getattr(caught.value, "message", ""))
    assert not said or "1 of 2 files are in" in getattr(caught.value, "message", "")
    assert below(tmp_path) == sorted([RECORD, "first"])


def test_a_large_model_takes_no_room_in_memory(aws: Account, tmp_path: Path) -> None:
    large = Made(aws.clients, "large")
    large.learn(large.put("model.tar.gz", b""))
    path = Path(aws.clients.storage.path(f"{BUCKET}/large/model.tar.gz"))
    with path.open("wb") as file:
        file.truncate(150 << 20)
    program = (
        "import resource, sys\nfrom pipeline.__main__ import main\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"code = main(['download', {large.arn!r}, '--only', 'model', '-o', {str(tmp_path / 'out')!r}])\n"
        "print(code, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    environment = {**os.environ, "DARKROOM_HOME": aws.clients.home, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    code, megabytes = done.stdout.split()[-2:]
    assert (code, int(megabytes) < 60) == ("0", True)


# the command


def test_the_command_lists_what_it_wrote(aws: Account, made: Made, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "out"
    code, out, err = command(capsys, "download", made.id, "-o", str(folder), "--pipeline", "whole", "--json", *AWS)
    rows = json.loads(out)
    assert (code, [Path(row["File"]).name for row in rows]) == (
        0,
        ["report.html", "evaluation.json", METRICS, "model.tar.gz"],
    )
    assert rows[-1] == {
        "File": str(folder / "Learn/model.tar.gz"),
        "Uri": f"{BUCKET}/whole/learn/output/model.tar.gz",
        "Size": len(MODEL),
        "Sha256": hashlib.sha256(MODEL).hexdigest(),
        "Written": True,
    }
    assert "Learn/model.tar.gz: written, 3,145,728 bytes" in err
    assert "Judge" in (folder / "report.html").read_text()


@pytest.mark.parametrize(("only", "names"), [("model", ["Learn/model.tar.gz"]), ("report", ["report.html"])])
def test_one_kind_alone_is_asked_for(
    aws: Account, made: Made, only: str, names: list[str], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = command(capsys, "download", made.arn, "--only", only, *AWS)
    assert (code, out.splitlines()) == (0, [f"{made.id}/{name}" for name in names])


def test_an_execution_without_a_model_says_so(aws: Account, tmp_path: Path, capsys: Any) -> None:
    empty = Made(aws.clients, "empty")
    code, _, err = command(capsys, "download", empty.arn, "--only", "model", "-o", str(tmp_path / "o"), *AWS)
    assert (code, f"error: execution {empty.id} has left no model\n  nothing was written" in err) == (1, True)
    assert not (tmp_path / "o").exists()


def test_the_command_says_what_is_there_when_a_call_fails(
    aws: Account, made: Made, tmp_path: Path, capsys: Any
) -> None:
    words = ("download", made.arn, "-o", str(tmp_path / "out"), *AWS)
    for operation, said in (
        ("ListPipelineExecutionSteps", "\n  nothing was written\n"),
        ("HeadObject", "1 of 4 files are in"),
    ):
        aws.front.begin(lambda called, count, at=operation: "throttled" if called == at else "")  # type: ignore[misc]
        code, _, err = command(capsys, *words)
        aws.front.begin()
        assert (code, said in err, "\nhint:  " in err) == (1, True, True), err
    assert command(capsys, *words)[0] == 0
