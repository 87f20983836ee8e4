"""Every command × each of its calls × each fault, once and for ever: it completes, or says what is done and not done.

Once: the first attempt of every call fails, and with a second one the command does and says what it does without.
For ever: from one call on nothing is answered; the command ends with what was done and what was not, and running it
again completes it, to the state in which an undisturbed run leaves things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from aws_account import ROLE, Account, definition
from aws_front import LOST, UNHEARD
from faulty_session import FaultySession
from hosted import deployed
from over_http import client
from registered import GROUP, PIPELINE, Registered, against, evaluated

from pipeline.__main__ import main
from pipeline.cli import TARGETED
from pipeline.client import Hosting, local_hosting
from pipeline.control import executions, pipelines, versions
from pipeline.local.guard import MARK
from pipeline.local.server import LoopbackServer

Capture = pytest.CaptureFixture[str]
FAULTS = ("throttled", "broken", LOST, UNHEARD)
MINE = ROLE.replace("111122223333", "123456789012")  # with --target aws the placeholder account is refused
STAGING = "darkroom-digits-staging"
PREDICTION = b'{"predictions": [{"class": "cat", "probability": 0.9, "unsure": false}]}'
# what the deploying function says of the endpoint "any", which it has deployed; its calls: tests/test_deploy_phases.py
DEPLOYED = b'{"endpoint_config_name": "any-v1-0123456789", "phase": "good"}'
TRANSFORMED = {
    "CreateTransformJob": b'{"TransformJobArn": "arn:aws:sagemaker:us-east-1:111122223333:transform-job/asked"}',
    "DescribeTransformJob": b'{"TransformJobName": "asked", "TransformJobStatus": "Completed"}',
}
FEW = 8
MISSING = ("sourcedir.tar.gz", "prepare.py", "evaluate.py", "no-approved-model")


class Place(NamedTuple):
    """Where a command is tried: an account with two models, one pipeline's executions, and folders."""

    account: Account
    session: FaultySession
    folder: Path
    local: Registered
    hosting: Hosting

    @property
    def sagemaker(self) -> Any:
        return self.account.clients.sagemaker


class Row(NamedTuple):
    """`words(place, label)` prepares a round of its own and gives the command; `left(place, label)`: what it has done.

    `told`: what an error at this operation also says, when it was not done, and when nobody knows. `over`: what a
    repetition says when the calls that failed were behind the last deletion, and nothing is left to do.
    """

    words: Callable[[Place, str], tuple[str, ...]]
    left: Callable[[Place, str], object] = lambda place, label: ""
    told: dict[str, tuple[str, str]] = {}
    reads: bool = False
    over: str = ""


def reading(*words: str) -> Row:
    return Row(lambda place, label: words, reads=True)


def named(place: Place, label: str) -> str:
    """A definition of a pipeline of this name."""
    path = definition(place.folder / f"{label}.json")
    Path(path).write_text(Path(path).read_text().replace(ROLE, MINE))
    return path


def plan(place: Place, label: str) -> tuple[str, ...]:
    return ("plan", str(place.folder / "seen.json"), "-o", str(place.folder / f"{label}.plan"))


def planned(place: Place, label: str) -> object:
    return json.loads((place.folder / f"{label}.plan").read_text())["format"]


def upsert(place: Place, label: str) -> tuple[str, ...]:
    path = str(place.folder / f"{label}.plan")
    assert main(["plan", named(place, label), "-o", path, "--target", "aws"], place.session) == 0
    return ("upsert", path, "--role", MINE)


def upsert_config(place: Place, label: str) -> tuple[str, ...]:
    """Of a pipeline.yaml: the pipeline is not there before, nor some of its code. The rest was sent in a first run."""
    words = ("upsert", "-c", str(place.folder / "coded.yaml"))
    known = [row["PipelineName"] for row in place.sagemaker.list_pipelines()["PipelineSummaries"]]
    if "coded" not in known:
        assert main([*words, "--target", "aws"], place.session) == 0
    place.sagemaker.delete_pipeline(PipelineName="coded", ClientRequestToken="t" * 32)
    storage = place.account.clients.storage
    for each in list(storage.list("s3://darkroom-123456789012-us-east-1/coded/")):
        if each.uri.endswith(MISSING):
            storage.delete(each.uri)
    return words


def uploaded(place: Place, label: str) -> object:
    listed = place.account.clients.storage.list("s3://darkroom-123456789012-us-east-1/coded/")
    return [list(aliases(place, "coded").values()), sorted((each.uri, each.size) for each in listed)]


def start(place: Place, label: str) -> tuple[str, ...]:
    return ("start", named(place, label), "--role", MINE, "--token", f"token-{label}".ljust(40, "0"))


def started(place: Place, label: str) -> object:
    return len(place.account.executions(label))


def promote(place: Place, label: str) -> tuple[str, ...]:
    text = Path(definition(place.folder / f"{label}.json")).read_text()
    for epochs in (2, 3):
        pipelines.upsert(place.account.clients, label, text.replace('"DefaultValue": 2', f'"DefaultValue": {epochs}'))
    return ("promote", "production", "--pipeline", label)


def rollback(place: Place, label: str) -> tuple[str, ...]:
    promote(place, label)
    for number in (1, 2):
        versions.promote(place.account.clients, label, "production", number)
    return ("rollback", "production", "--pipeline", label)


def aliases(place: Place, label: str) -> dict[int, list[str]]:
    rows = place.sagemaker.list_pipeline_versions(PipelineName=label)["PipelineVersionSummaries"]
    return {row["PipelineVersionId"]: sorted(row.get("PipelineVersionAliases", ())) for row in rows}


def decide(verb: str, place: Place, label: str) -> tuple[str, ...]:
    return (verb, str(place.account.register(label)), "--group", label, "--reason", "r")


def decided(place: Place, label: str) -> object:
    found = place.sagemaker.describe_model_package(ModelPackageName=f"{label}/1")
    return found["ModelApprovalStatus"], found["ApprovalDescription"]


def down(place: Place, label: str) -> tuple[str, ...]:
    """What is left of a round before goes first."""
    made = f"{STAGING}-v1-0123456789"
    if not place.sagemaker.list_models(NameContains=made)["Models"]:
        deployed(place.hosting, STAGING, made)
    return ("down", "--endpoints", "-c", str(place.folder / "digits.yaml"), "--idle", "0", "--yes")


def undeploy(place: Place, label: str) -> tuple[str, ...]:
    down(place, label)
    return ("undeploy", STAGING, "-c", str(place.folder / "digits.yaml"), "--yes")


def standing(place: Place, label: str) -> object:
    sagemaker, scaling = place.sagemaker, place.hosting.scaling
    found = [
        *sagemaker.list_endpoints()["Endpoints"],
        *sagemaker.list_endpoint_configs()["EndpointConfigs"],
        *sagemaker.list_models()["Models"],
        *scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"],
        *place.hosting.alarms.describe_alarms()["MetricAlarms"],
    ]
    return [each for each in found if STAGING in str(each)]


def download(place: Place, label: str) -> tuple[str, ...]:
    return ("download", "last", "--pipeline", PIPELINE, "-o", str(place.folder / label))


def downloaded(place: Place, label: str) -> object:
    """The page and the record tell times of their own."""
    files = [path for path in (place.folder / label).rglob("*") if path.is_file()]
    return sorted((path.name, path.stat().st_size if path.suffix in (".json", ".gz") else 0) for path in files)


def transform(place: Place, label: str) -> tuple[str, ...]:
    """A job of which the service tells that it is completed."""
    addresses = ("s3://bucket/in/", "s3://bucket/out/")
    return ("transform", "net", *addresses, "--name", "asked", "-c", str(place.folder / "digits.yaml"))


def report(place: Place, label: str) -> tuple[str, ...]:
    return ("report", "last", "--pipeline", PIPELINE, "-o", str(place.folder / f"{label}.html"))


def reported(place: Place, label: str) -> object:
    return "</html>" in (place.folder / f"{label}.html").read_text()


ONE_JOB = ("begins no other one", "begins no other one")
NOTHING = "nothing was started"
GOES_ON = ("the deployment goes on", "the deployment goes on")
ASKED = {
    "Invoke": ("throttled", "whether the call was done is not known; the command may be run again"),
    **dict.fromkeys(("DescribeEndpoint", "ListTags", "DescribeAlarms"), GOES_ON),
}
DELETIONS = ("DeleteScalingPolicy", "DeregisterScalableTarget", "DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel")
ROWS: dict[str, Row] = {
    "executions": reading("executions", "--pipeline", PIPELINE, "--json"),
    "show": reading("show", "last", "--pipeline", PIPELINE),
    "show --json": reading("show", "last", "--pipeline", PIPELINE, "--json"),
    "logs": reading("logs", "last", "Train", "--pipeline", PIPELINE),
    "versions": reading("versions", "--pipeline", PIPELINE, "--json"),
    "models": reading("models", "--group", GROUP, "--json"),
    "show-model": reading("show-model", "2", "--group", GROUP),
    "compare": reading("compare", "2", "1", "--group", GROUP, "--json"),
    "endpoints": reading("endpoints", "--json"),
    "predict": Row(lambda place, label: ("predict", str(place.folder / "picture.png"), "--endpoint", "any", "--json")),
    "deploy": Row(
        lambda place, label: ("deploy", "1", "--group", GROUP, "--endpoint", "any", "-c", "digits.yaml"), told=ASKED
    ),
    "rollback --endpoint": Row(lambda place, label: ("rollback", "--endpoint", "any", "-c", "digits.yaml"), told=ASKED),
    "transform": Row(transform, told=dict.fromkeys(("CreateTransformJob", "DescribeTransformJob"), ONE_JOB)),
    "plan": Row(plan, planned),
    "upsert PLAN": Row(upsert, aliases),
    "upsert": Row(upsert_config, uploaded),
    "start": Row(
        start,
        started,
        {
            "DescribePipeline": (NOTHING, NOTHING),
            "CreatePipeline": (NOTHING, NOTHING),
            "StartPipelineExecution": (NOTHING, "whether an execution was started is not known"),
        },
    ),
    "promote": Row(promote, aliases),
    "rollback": Row(rollback, aliases),
    "approve": Row(
        partial(decide, "approve"), decided, {"UpdateModelPackage": ("as before", "is Approved now is not known")}
    ),
    "reject": Row(
        partial(decide, "reject"), decided, {"UpdateModelPackage": ("as before", "is Rejected now is not known")}
    ),
    "down": Row(down, standing, dict.fromkeys(DELETIONS, (" left; run it again", " left; run it again"))),
    "undeploy": Row(undeploy, standing, over="there is no endpoint"),
    "report": Row(report, reported),
    "download": Row(download, downloaded, {"HeadObject": ("files are in", "files are in")}),
}
ELSEWHERE = {
    *("stop", "resume"),  # wait for jobs: tests/test_aws_faults.py
    "check",  # of another account: tests/test_preflight.py
    "studio",  # serves pages until it is ended: tests/test_studio_pages.py
}
WATCH = reading("watch", "last", "--pipeline", PIPELINE)  # for ever is two hours: tests/test_watch.py has them


@pytest.fixture(scope="module")
def place(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, local = tmp_path_factory.mktemp("each"), Registered(Path(server.home))
    local.add()
    local.decide(1, "Approved")
    local.add(evaluated(0.92, champion=against(local.package(1)["ModelPackageArn"])), code="f" * 16)
    session = FaultySession(server.url)
    session.given |= {"InvokeEndpoint": PREDICTION, "Invoke": DEPLOYED, **TRANSFORMED}
    (folder / "digits.yaml").write_text("{}")
    (folder / "picture.png").write_bytes(b"picture")
    (folder / "coded.yaml").write_text(json.dumps({"pipeline": {"name": "coded", "account": "123456789012"}}))
    client(server, "s3").create_bucket(Bucket="darkroom-123456789012-us-east-1")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(MARK, "execution")  # CreateEndpoint starts no process
        deployed(local_hosting(server.home), "any", "any-v1-0123456789")
    tags = {"darkroom:asked": "any-v1-0123456789", "darkroom:good": "any-v1-0123456789", "darkroom:phase": "good"}
    local.clients.sagemaker.add_tags(
        ResourceArn="arn:aws:sagemaker:us-east-1:111122223333:endpoint/any",
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DARKROOM_HOME", str(folder / "own"))
        environment.setenv("AWS_MAX_ATTEMPTS", "1")
        environment.setenv(MARK, "execution")  # CreateEndpoint starts no process
        environment.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))  # between attempts
        environment.chdir(folder)
        place = Place(SimpleAccount(server.home), session, folder, local, local_hosting(server.home))
        run_once(place, "seen")
        yield place
    session.close()


def run_once(place: Place, name: str) -> None:
    """A pipeline with an execution behind it, whose step may be taken from the cache."""
    path = Path(named(place, name))
    document = json.loads(path.read_text())
    document["Steps"][0]["CacheConfig"] = {"Enabled": True, "ExpireAfter": "P30D"}
    path.write_text(json.dumps(document))
    pipelines.upsert(place.account.clients, name, path.read_text())
    arn = pipelines.start(place.account.clients, name, path.read_text(), {})
    executions.wait(place.account.clients, arn, lambda execution, steps: None)


class SimpleAccount(Account):
    """Past HTTP alone: no front is needed."""

    def __init__(self, home: str) -> None:
        super().__init__(None, home)  # type: ignore[arg-type]  # a front that nobody asks


def said(place: Place, capsys: Capture, words: tuple[str, ...]) -> tuple[int, str, str]:
    capsys.readouterr()  # of what prepared the round
    code = main([*words, "--target", "aws"], place.session)
    out, err = capsys.readouterr()
    return code, out, "".join(line for line in err.splitlines(True) if not line.startswith("127.0.0.1 - - ["))


def plain(text: str) -> str:
    """Without what each round has of its own: its label, times, tokens."""
    text = re.sub(r"^\d+$", "VERSION", text, flags=re.MULTILINE)  # a pipeline that was deleted goes on counting
    text = re.sub(r"\b(sound|once|ever)-[a-z]+[0-9-]*", "LABEL", text)
    return re.sub(r"[0-9a-z]{12}\b|\d+ (min|s|ms)\b|\d\d:\d\d(:\d\d)?(\.\d+)?", "…", text)


def test_every_command_that_asks_aws_has_a_row() -> None:
    assert {name.split()[0] for name in ROWS} | {"watch"} | ELSEWHERE == {*TARGETED, "check"}


@pytest.mark.parametrize("name", [*ROWS, "watch"])
def test_a_fault_of_every_call_that_passes_is_never_seen(
    place: Place, name: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    row = {**ROWS, "watch": WATCH}[name]
    code, whole, err = said(place, capsys, row.words(place, f"sound-{name.split()[0]}-0"))
    assert code == 0, err
    wanted = row.left(place, f"sound-{name.split()[0]}-0")
    for number, fault in enumerate(FAULTS, 1):
        label = f"once-{name.split()[0]}-{number}"
        words = row.words(place, label)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
        place.session.begin(lambda operation, count, fault=fault: fault if count % 2 else "")  # type: ignore[misc]
        code, again, err = said(place, capsys, words)
        assert len(place.session.calls) % 2 == 0, "a call was asked a single time"
        place.session.begin()
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        assert (code, plain(again), row.left(place, label)) == (0, plain(whole), wanted), err


def cells(calls: list[str]) -> list[tuple[int, str]]:
    """(number of the call from which on all fail, fault). Commands of more than eight calls have the faults in turn."""
    numbers = range(1, len(calls) + 1)
    if len(calls) <= FEW:
        return [(number, fault) for number in numbers for fault in FAULTS]
    return [(number, FAULTS[number % len(FAULTS)]) for number in numbers]


def undone(calls: list[str], number: int, fault: str) -> list[str]:
    """Deletions that were not done, where this call was the first of those that failed."""
    return [call for call in calls[number if fault == UNHEARD else number - 1 :] if call.startswith("Delete")]


@pytest.mark.parametrize("name", ROWS)
def test_a_fault_that_stays_is_told_and_the_command_can_be_repeated(place: Place, name: str, capsys: Capture) -> None:
    row, label = ROWS[name], f"ever-{name.split()[0]}-0"
    words = row.words(place, label)
    place.session.begin()
    assert said(place, capsys, words)[0] == 0
    calls, wanted = list(place.session.calls), row.left(place, label)
    for number, fault in cells(calls):
        label = f"ever-{name.split()[0]}-{fault}-{number}"
        words = row.words(place, label)
        place.session.begin(lambda operation, count, at=number, fault=fault: fault if count >= at else "")  # type: ignore[misc]
        code, _, err = said(place, capsys, words)
        assert place.session.calls[:number] == calls[:number]
        place.session.begin()
        assert (code, "error: " in err, "\nhint:  " in err, "Traceback" in err) == (1, True, True, False), err
        surely, unknown = row.told.get(calls[number - 1], ("", ""))
        assert (surely if fault == "throttled" else unknown) in err, err
        if not row.reads:
            code, _, err = said(place, capsys, words)
            over = bool(row.over) and row.over in err and not undone(calls, number, fault)
            assert (code, row.left(place, label)) == (1 if over else 0, wanted), (number, fault, calls[number - 1], err)
