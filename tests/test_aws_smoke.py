"""scripts/aws-smoke: a command for each row of docs/unproven.md, shown working against the local service."""

from __future__ import annotations

import ast
import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import boto3
import botocore.session
import pytest
from botocore import xform_name
from moto.server import ThreadedMotoServer
from smoke_account import Ran

from pipeline.client import local_client
from pipeline.local.server import LoopbackServer

ROOT = Path(__file__).parent.parent
MOST_TRIES = 5
FOLDER = ROOT / "scripts/aws-smoke"
sys.path.insert(0, str(FOLDER))

from smoke import checks, rows  # noqa: E402  (a folder of commands is no package: its own is found only from there)
from smoke.stages import STAGES  # noqa: E402

READING = ("describe_", "list_", "get_", "head_", "lookup_", "batch_get_", "simulate_", "invoke_endpoint")
MODULES = sorted((FOLDER / "smoke").glob("*.py"))
ASKING = ("ask", "pages", "refusal", "partial")
Capture = pytest.CaptureFixture[str]


def test_every_row_has_a_command_and_every_command_its_row() -> None:
    table = rows.rows(rows.DOCUMENT.read_text(encoding="utf-8"))
    names = [row.name for row in table]
    assert len(names) == len(set(names)) > 50
    assert set(names) == set(checks.CHECKS), "docs/unproven.md and scripts/aws-smoke name each other"
    assert all(row.otherwise and row.proof for row in table)


def test_the_index_has_every_command_below_its_stage_with_what_is_expected() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    parts = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    for part, stage in zip(parts, STAGES, strict=True):
        lines = [line for line in part.splitlines() if line.startswith("| `")]
        found = [check for check in checks.CHECKS.values() if check.stage == stage]
        assert lines == [f"| `{each.name}` | {each.expects} | {each.makes or '–'} |" for each in found]


def calls() -> list[tuple[str, str, str, ast.Call]]:
    """(module, service, operation, call) of everything that is asked of AWS."""
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ASKING:
                texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
                match texts[:2]:
                    case [str(service), str(operation)]:
                        found.append((path.stem, service, operation, node))
    return found


CALLS = calls()


def test_every_call_is_an_operation_of_botocore_with_members_that_it_has() -> None:
    session = botocore.session.get_session()
    services = set(session.get_available_services())
    assert len(CALLS) > 60
    for module, service, operation, call in CALLS:
        assert service in services, (module, service)
        model = session.get_service_model(service)
        known = {xform_name(name): name for name in model.operation_names}
        assert operation in known, (module, service, operation)
        shape = model.operation_model(known[operation]).input_shape
        given = {keyword.arg for keyword in call.keywords if keyword.arg}
        assert given <= set(shape.members if shape else ()), (module, operation, given)
        if all(keyword.arg for keyword in call.keywords) and not ast.unparse(call).startswith("partial"):
            tokens = {name for name, each in shape.members.items() if each.metadata.get("idempotencyToken")}
            assert set(shape.required_members) - tokens <= given, (module, operation, given)


def test_what_only_looks_calls_nothing_that_changes_anything() -> None:
    looking = {module for module, *_ in CALLS if not module.startswith("makes_")}
    assert {"looks_steps", "looks_stack", "execution", "account"} <= looking
    for module, _, operation, _ in CALLS:
        assert module.startswith("makes_") or operation.startswith(READING), (module, operation)
    makes = {
        check.name: check.run.__module__.rpartition(".")[2].startswith("makes_") for check in checks.CHECKS.values()
    }
    assert makes == {name: bool(check.makes) for name, check in checks.CHECKS.items()}


def test_what_is_deleted_was_made_by_the_same_command() -> None:
    """Every Delete stands within `later`, which follows what was made; but for an alarm that is nobody's."""
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        within = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "later"
            for inner in ast.walk(node)
        }
        for module, _, operation, call in CALLS:
            if module == path.stem and operation.startswith(("delete_", "remove_")):
                mine = [
                    node
                    for node in ast.walk(tree)
                    if isinstance(node, ast.Call) and (node.lineno, node.col_offset) == (call.lineno, call.col_offset)
                ]
                exempt = operation in ("delete_alarms", "delete_message", "delete_pipeline")
                assert exempt or any(id(node) in within for node in mine), (module, operation)


@pytest.fixture(scope="module")
def account(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """`run(NAME, …)` answers the exit code; executions as smoke_account has them."""
    main = runpy.run_path(str(FOLDER / "__main__.py"))["main"]
    clients = local_client(str(server.home))
    ran = Ran(clients, tmp_path_factory.mktemp("functions"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", server.url)
        environment.setenv("AWS_ACCESS_KEY_ID", "dummy")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "dummy")
        environment.setenv("AWS_CONFIG_FILE", os.devnull)
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        environment.setenv("AWS_MAX_ATTEMPTS", "1")

        session = boto3.Session(region_name="us-east-1")

        def run(name: str, *words: str) -> int:
            return int(main([name, "--seconds", "3", *words], session))

        yield SimpleNamespace(run=run, ran=ran, clients=clients)


# name → which execution it looks at; all that the local service can show of what AWS documents
CONFIRMED = {
    **dict.fromkeys(
        ("absent-group", "unknown-operation", "wrong-type", "absent-alarm", "same-bytes", "start-token"), ""
    ),
    **dict.fromkeys(("alias-conflict", "older-version", "other-request", "wrong-state", "selected-branch"), ""),
    **dict.fromkeys(("programs-start", "no-network", "tuned-values", "step-metadata", "deploy-time"), "first"),
    **dict.fromkeys(("lambda-text", "output-archive", "look-rate", "imports", "log-streams", "studio-pages"), "first"),
    **dict.fromkeys(("lambda-outputs", "champion-readable", "one-object", "hit-metadata", "cache-order"), "again"),
    **dict.fromkeys(("kept-outputs",), "again"),
    **dict.fromkeys(("integer-parameters", "fail-message"), "failed"),
    **dict.fromkeys(("limit-parameters", "trial-checkpoints"), "limited"),
}


def words(account: SimpleNamespace, which: str) -> tuple[str, ...]:
    return ("--execution", getattr(account.ran, which)) if which else ()


@pytest.mark.parametrize("name", CONFIRMED)
def test_the_local_service_confirms_what_it_shares_with_aws(
    account: SimpleNamespace, name: str, capsys: Capture
) -> None:
    for _ in range(MOST_TRIES):
        code = account.run(name, *words(account, CONFIRMED[name]))
        out = capsys.readouterr().out
        if not out.endswith("CANNOT TELL: again\n"):  # an execution of its own ended before it was stopped
            break
    assert code == 0, out
    assert out.splitlines()[-1] == "CONFIRMED"
    assert f"assumed   {rows.by_name()[name].assumption}" in out
    assert "a service on this machine answers" in out


@pytest.mark.parametrize("name", sorted(set(checks.CHECKS) - set(CONFIRMED)))
def test_what_this_machine_cannot_show_is_told_with_what_would(
    account: SimpleNamespace, name: str, capsys: Capture
) -> None:
    code = account.run(name, *words(account, "first"))
    out = capsys.readouterr().out
    assert code == 3, out
    assert re.fullmatch(r"CANNOT TELL: .+", out.splitlines()[-1])


def test_nothing_is_left_of_what_was_made(account: SimpleNamespace) -> None:
    """Runs behind the tests above, in the file's order, and makes one more itself."""
    assert account.run("same-bytes") == 0
    listed = account.clients.sagemaker.list_pipelines(MaxResults=100)["PipelineSummaries"]
    assert [row["PipelineName"] for row in listed] == ["darkroom-digits"]
    groups = account.clients.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [row["ModelPackageGroupName"] for row in groups] == ["darkroom-digits"]


def test_what_is_otherwise_is_refuted_with_what_to_change(account: SimpleNamespace, capsys: Capture) -> None:
    assert account.run("programs-start", "--execution", account.ran.broken) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"REFUTED: {rows.by_name()['programs-start'].otherwise}"


def test_a_page_of_the_studio_that_is_refused_is_named(account: SimpleNamespace, capsys: Capture) -> None:
    """As if whoever asks may not read what EvaluateModel left: the model's own page is gone."""
    sagemaker, storage = account.clients.sagemaker, account.clients.storage
    for row in sagemaker.list_model_packages(ModelPackageGroupName="darkroom-digits")["ModelPackageSummaryList"]:
        package = sagemaker.describe_model_package(ModelPackageName=row["ModelPackageArn"])
        storage.delete(package["CustomerMetadataProperties"]["page"])
    assert account.run("studio-pages", *words(account, "first")) == 1
    assert re.search(r"refused: /models/darkroom-digits/\d/page: 404", capsys.readouterr().out)


def test_the_alarms_of_a_scaling_policy_are_looked_at_and_tags_of_its_endpoint_written(
    account: SimpleNamespace, capsys: Capture
) -> None:
    """Of an endpoint that never comes into service: its image is nobody's."""
    sagemaker, scaling = (
        boto3.client(name, region_name="us-east-1") for name in ("sagemaker", "application-autoscaling")
    )
    role = "arn:aws:iam::111122223333:role/role"
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "image:1"}, ExecutionRoleArn=role)
    variant = {"VariantName": "A", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="scaled", EndpointConfigName="c")
    key = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/scaled/variant/A",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling.register_scalable_target(**key, MinCapacity=1, MaxCapacity=4)
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    tracking = {"TargetValue": 70.0, "PredefinedMetricSpecification": metric}
    scaling.put_scaling_policy(
        **key,
        PolicyName="p",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=tracking,
    )
    assert account.run("scaling-alarms", "--endpoint", "scaled") == 0
    assert "[(3, 60, 1.0), (15, 60, 0.9)]" in capsys.readouterr().out
    assert account.run("tags-at-once", "--endpoint", "scaled") == 0
    assert sagemaker.list_tags(ResourceArn="arn:aws:sagemaker:us-east-1:111122223333:endpoint/scaled")["Tags"] == []


@pytest.fixture(scope="module")
def moto() -> Iterator[SimpleNamespace]:
    """IAM, SQS and EventBridge of somebody else's making; it sends no events of SageMaker and asks no policy."""
    main = runpy.run_path(str(FOLDER / "__main__.py"))["main"]
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "dummy")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "dummy")
        session = boto3.Session(region_name="us-east-1")
        yield SimpleNamespace(run=lambda *words: int(main([*words, "--seconds", "1"], session)), session=session)
    running.stop()


def left(session: boto3.Session) -> list[str]:
    """Of what the checks make; moto also keeps what other tests of this process made."""
    found = [role["RoleName"] for role in session.client("iam").list_roles()["Roles"]]
    found += session.client("sqs").list_queues().get("QueueUrls", [])
    found += [rule["Name"] for rule in session.client("events").list_rules()["Rules"]]
    return [name for name in found if "darkroom-smoke-" in name]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("endpoint-event", "--endpoint", "e"), 3),
        (("deployment-event", "--endpoint", "e"), 3),
        (("listing-arn",), 1),
        (("rules-arn",), 1),
    ],
)
def test_roles_rules_and_queues_are_gone_afterwards(
    moto: SimpleNamespace, capsys: Capture, words: tuple[str, ...], code: int
) -> None:
    assert moto.run(*words) == code
    out = capsys.readouterr().out
    assert len(re.findall(r"^  makes the .*darkroom-smoke-[0-9a-f]{8}$", out, re.MULTILINE)) >= 1
    assert "could not" not in out
    assert left(moto.session) == []


def test_what_cannot_be_deleted_is_named_and_the_rest_is_deleted(moto: SimpleNamespace, capsys: Capture) -> None:
    """moto deletes no model packages and no groups."""
    assert moto.run("approval-event") == 3
    out = capsys.readouterr().out
    assert re.search(r"^  could not: delete the group darkroom-smoke-[0-9a-f]{8} by hand\. ", out, re.MULTILINE)
    assert left(moto.session) == []


def test_a_role_is_deleted_with_its_policy(moto: SimpleNamespace, capsys: Capture) -> None:
    """denial-words asks for a bucket that is not there: what moto answers is no denial."""
    assert moto.run("denial-words") == 1
    assert "deletes its policy smoke\n  deletes the role darkroom-smoke-" in capsys.readouterr().out
    assert left(moto.session) == []


class Session:
    """Of real credentials, as far as it is asked before a check begins."""

    region_name = "us-east-1"

    def __init__(self, account: str) -> None:
        self.account = account

    def client(self, service: str, config: object) -> SimpleNamespace:
        meta = SimpleNamespace(endpoint_url=f"https://{service}.us-east-1.amazonaws.com")
        return SimpleNamespace(meta=meta, get_caller_identity=lambda: {"Account": self.account})


@pytest.mark.parametrize(
    ("account", "said"),
    [("111122223333", "account 111122223333 is nobody's"), ("444455556666", "account 111122223333 is nobody's")],
)
def test_the_placeholders_account_is_refused(capsys: Capture, account: str, said: str) -> None:
    main = runpy.run_path(str(FOLDER / "__main__.py"))["main"]
    assert main(["same-bytes"], Session(account)) == 2
    assert said in capsys.readouterr().err


def test_credentials_of_another_account_than_the_files_are_refused(tmp_path: Path, capsys: Capture) -> None:
    text = (ROOT / "pipeline.yaml").read_text(encoding="utf-8").replace("111122223333", "123456789012")
    (tmp_path / "pipeline.yaml").write_text(text, encoding="utf-8")
    main = runpy.run_path(str(FOLDER / "__main__.py"))["main"]
    assert main(["same-bytes", "-c", str(tmp_path / "pipeline.yaml")], Session("444455556666")) == 2
    assert "of account 444455556666, pipeline.yaml names 123456789012" in capsys.readouterr().err
