"""`darkroom upsert`, `versions`, `promote`, `rollback` and `start` of what is deployed, over boto3 and HTTP."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from compilations import remembered

from pipeline.__main__ import main
from pipeline.client import local_client
from pipeline.local.server import serve

ROOT = Path(__file__).parent.parent
AWS = ("--target", "aws")
ACCOUNT, NOBODY = "123456789012", "111122223333"
BUCKET = f"darkroom-{ACCOUNT}-us-east-1"
QUIET = {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "dummy", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped configuration for an account, in a repository of its own; what it compiles to is kept beside it."""
    folder = tmp_path_factory.mktemp("project")
    text = (ROOT / "pipeline.yaml").read_text().replace(NOBODY, ACCOUNT)
    (folder / "pipeline.yaml").write_text(text)
    remembered(folder / "pipeline.yaml", folder / "home")
    for words in (["init", "-q"], ["add", "pipeline.yaml"], ["commit", "-q", "-m", "Begin"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    return folder


@pytest.fixture
def project(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[SimpleNamespace]:
    """`run(*words)` answers (exit code, stdout, stderr); `account` is the service behind the HTTP, past that."""
    running = serve(str(tmp_path / "account"))
    for name, value in {**QUIET, "AWS_ENDPOINT_URL": running.url, "AWS_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DARKROOM_HOME", str(folder / "home"))
    monkeypatch.chdir(folder)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*words, *AWS])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err

    account = local_client(str(tmp_path / "account"))
    account.storage.put_bytes(f"s3://{BUCKET}/exists", b"")
    yield SimpleNamespace(run=run, folder=folder, account=account)
    running.shutdown()
    running.server_close()


def name(project: SimpleNamespace) -> str:
    return str(project.account.sagemaker.list_pipelines()["PipelineSummaries"][0]["PipelineName"])


def test_an_upsert_sends_code_and_bytes_and_the_next_one_nothing(project: SimpleNamespace) -> None:
    assert project.run("upsert")[:2] == (0, "1")
    found = project.account.sagemaker.describe_pipeline(PipelineName=name(project))
    compiled = (project.folder / "home" / "compiled").glob("*/definition.json")
    assert found["PipelineDefinition"] in {path.read_text() for path in compiled}
    assert found["PipelineVersionAliases"] == ["current"]
    manifests = (project.folder / "home" / "compiled").glob("*/manifest.json")
    assets = next(filter(lambda text: ACCOUNT in text, (path.read_text() for path in manifests)))
    assets = json.loads(assets)["assets"]
    assert all(project.account.storage.exists(asset["uri"]) for asset in assets)

    code, out, err = project.run("upsert")

    assert (code, out) == (0, "1")
    assert "nothing changed: version 1 holds it already; all code was there" in err


def test_the_commit_and_the_digest_stand_in_tags_and_versions(project: SimpleNamespace) -> None:
    project.run("upsert")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project.folder, capture_output=True, text=True).stdout
    row = json.loads(project.run("versions", "--json")[1])[0]
    assert (row["PipelineVersionId"], row["PipelineVersionAliases"], row["Commit"]) == (1, ["current"], head.strip())
    listed = project.account.sagemaker.list_tags(
        ResourceArn=json.loads(project.run("upsert", "--json")[1])["PipelineArn"]
    )
    assert {tag["Key"]: tag["Value"] for tag in listed["Tags"]}["darkroom:commit"] == head.strip()
    table = project.run("versions")[1].splitlines()
    assert table[0].split() == ["VERSION", "ALIASES", "CREATED", "COMMIT", "LAST", "EXECUTION"]
    assert head[:12] in table[1]


def test_code_that_is_there_is_not_sent_again(project: SimpleNamespace) -> None:
    project.run("upsert")
    storage = project.account.storage
    kept = {entry.uri: entry.modified for entry in storage.list(f"s3://{BUCKET}/")}
    lost = next(uri for uri in kept if uri.endswith("sourcedir.tar.gz"))
    storage.delete(lost)
    assert "1 files of code sent" in project.run("upsert")[2]
    after = {entry.uri: entry.modified for entry in storage.list(f"s3://{BUCKET}/")}
    assert {uri for uri in after if after[uri] != kept[uri]} == {lost}


def test_a_bucket_that_is_not_there_is_said_with_what_makes_it(project: SimpleNamespace) -> None:
    project.account.storage.delete(f"s3://{BUCKET}/exists")
    code, _, err = project.run("upsert")
    assert code == 1
    assert "the pipeline was not touched" in err
    assert "darkroom infra" in err
    assert project.account.sagemaker.list_pipelines()["PipelineSummaries"] == []


def test_nobodys_account_is_refused_before_anything_is_sent(project: SimpleNamespace, tmp_path: Path) -> None:
    config = tmp_path / "pipeline.yaml"
    config.write_text((ROOT / "pipeline.yaml").read_text())
    remembered(config, project.folder / "home")
    code, _, err = project.run("upsert", "-c", str(config))
    assert code == 1
    assert f"account {NOBODY}, which is nobody's" in err
    assert "pipeline.account" in err
    assert project.account.sagemaker.list_pipelines()["PipelineSummaries"] == []
    assert len(list(project.account.storage.list(f"s3://{BUCKET}/"))) == 1


def test_a_plan_is_sent_byte_for_byte_and_refused_when_the_pipeline_has_moved(
    project: SimpleNamespace, tmp_path: Path
) -> None:
    plan = str(tmp_path / "plan.json")
    assert project.run("plan", "-o", plan)[0] == 0
    assert project.run("upsert", plan)[:2] == (0, "1")
    sent = project.account.sagemaker.describe_pipeline(PipelineName=name(project))["PipelineDefinition"]
    assert sent == json.loads(Path(plan).read_text())["definition"]
    assert "nothing changed" in project.run("upsert", plan)[2]  # again: it is there

    project.account.sagemaker.update_pipeline(PipelineName=name(project), PipelineDefinition=sent + " ")
    code, _, err = project.run("upsert", plan)

    assert code == 1
    assert "has moved since the plan was made" in err
    assert "then no pipeline, now version 2" in err
    assert project.account.sagemaker.describe_pipeline(PipelineName=name(project))["PipelineDefinition"] == sent + " "


def test_a_plan_needs_no_configuration_once_its_code_is_in_s3(
    project: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = str(tmp_path / "plan.json")
    project.run("plan", "-o", plan)
    monkeypatch.chdir(tmp_path)
    code, _, err = project.run("upsert", plan)
    assert code == 1
    assert "neither in S3 nor here" in err
    for address, _ in json.loads(Path(plan).read_text())["assets"]:
        project.account.storage.put_bytes(address, b"")
    assert project.run("upsert", plan)[:2] == (0, "1")


def test_a_plan_of_a_foreign_definition_needs_a_role_for_a_new_pipeline(
    project: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    never = {"Name": "Never", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}
    text = json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [never]})
    Path("foreign.json").write_text(text)
    assert project.run("plan", "foreign.json", "-o", "plan.json")[0] == 0
    code, _, err = project.run("upsert", "plan.json")
    assert code == 1
    assert "add --role ARN" in err
    assert project.run("upsert", "plan.json", "--role", f"arn:aws:iam::{ACCOUNT}:role/x")[:2] == (0, "1")
    assert project.account.sagemaker.describe_pipeline(PipelineName="foreign")["PipelineDefinition"] == text


def test_versions_are_promoted_and_rolled_back(project: SimpleNamespace) -> None:
    project.run("upsert")
    text = project.account.sagemaker.describe_pipeline(PipelineName=name(project))["PipelineDefinition"]
    project.account.sagemaker.update_pipeline(PipelineName=name(project), PipelineDefinition=text + " ")
    assert project.run("promote", "production", "1")[:2] == (0, "1")
    code, out, err = project.run("promote", "production")
    assert (code, out) == (0, "2")
    assert "moved from version 1 to version 2" in err
    assert "start --alias production --target aws" in err
    assert project.run("rollback", "production")[:2] == (0, "1")
    assert "already, as before its last promotion" in project.run("rollback", "production")[2]
    assert project.run("rollback", "none")[0] == 1
    code, _, err = project.run("promote", "production", "7")
    assert (code, "has no version 7" in err, "may have left" in err) == (1, True, False)


# start


def processing(name: str, program: Path, *arguments: Any) -> dict[str, Any]:
    cluster = {"InstanceCount": {"Get": "Parameters.Hosts"}, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
    entry = {"ImageUri": "img:1", "ContainerEntrypoint": ["python3", str(program)]}
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {**entry, "ContainerArguments": ["x", *arguments]},
            "ProcessingResources": {"ClusterConfig": cluster},
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/darkroom",
        },
    }


@pytest.fixture
def chain(project: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """First ▸ Second ▸ Third are deployed as `chain`, by name of the job before; nothing runs where Hosts is 2."""
    from pipeline.local.images import register_image

    register_image(project.account.sagemaker.store, "img*", ["python3"])
    program = tmp_path / "step.py"
    program.write_text("print('done')")
    steps = [processing("First", program)]
    for before, after in (("First", "Second"), ("Second", "Third")):
        steps.append(processing(after, program, {"Get": f"Steps.{before}.ProcessingJobName"}))
    parameters = [
        {"Name": "Hosts", "Type": "Integer", "DefaultValue": 1},
        {"Name": "Word", "Type": "String", "DefaultValue": "a"},
    ]
    document = {"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters, "Steps": steps}
    project.text = json.dumps(document)
    role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/darkroom"}
    project.account.sagemaker.create_pipeline(PipelineName="chain", PipelineDefinition=project.text, **role)
    return project


def steps(project: SimpleNamespace, arn: str) -> list[str]:
    rows = project.account.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
    return sorted(row["StepName"] for row in rows)


def described(project: SimpleNamespace, arn: str) -> dict[str, Any]:
    return dict(project.account.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn))


def test_what_is_deployed_is_started_where_current_stands_else_the_newest(chain: SimpleNamespace) -> None:
    sagemaker = chain.account.sagemaker
    sagemaker.update_pipeline(PipelineName="chain", PipelineDefinition=chain.text + " ")
    started = [chain.run("start", "--name", "chain", "--wait")[1]]
    _, _, err = chain.run("promote", "current", "1", "--pipeline", "chain")
    next_words = err.splitlines()[-1].partition(" start ")[2].split()
    assert next_words == ["--pipeline", "chain", "--alias", "current", "--target", "aws"]
    started.append(chain.run("start", *next_words[:4], "--wait")[1])
    started.append(chain.run("start", "--name", "chain", "--version", "2", "--wait")[1])
    started.append(chain.run("start", "--name", "chain", "--alias", "current", "--wait")[1])
    assert [described(chain, arn)["PipelineVersionId"] for arn in started] == [2, 1, 2, 1]
    code, _, err = chain.run("start", "--name", "chain", "--alias", "none")
    assert code == 1
    assert "no version of chain has the alias 'none'; there are: current" in err


def test_a_repeated_start_with_a_token_starts_nothing(chain: SimpleNamespace) -> None:
    words = ("start", "--name", "chain", "--token", "job-4711" * 4)
    first, second = chain.run(*words, "--wait")[1], chain.run(*words, "--wait")[1]
    assert first == second
    assert (
        len(chain.account.sagemaker.list_pipeline_executions(PipelineName="chain")["PipelineExecutionSummaries"]) == 1
    )


def test_a_start_from_a_step_takes_the_rest_and_the_parameters_from_the_newest_fitting_execution(
    chain: SimpleNamespace,
) -> None:
    whole = chain.run("start", "--name", "chain", "--set", "Word=b", "--wait")[1]
    code, out, err = chain.run("start", "--name", "chain", "--from", "Second", "--wait")
    assert code == 0
    assert steps(chain, out) == ["Second", "Third"]
    assert described(chain, out)["SelectiveExecutionConfig"]["SourcePipelineExecutionArn"] == whole
    assert f"execution {whole.rpartition('/')[2]} (Succeeded" in err
    listed = chain.account.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=out)
    assert {"Name": "Word", "Value": "b"} in listed["PipelineParameters"]
    # the newest that fits: this one ran no First
    _, out, err = chain.run("start", "--name", "chain", "--only", "Second", "--wait")
    assert steps(chain, out) == ["Second"]
    assert whole.rpartition("/")[2] in err


def test_what_cannot_be_selected_is_said(chain: SimpleNamespace) -> None:
    def refusal(*words: str) -> str:
        code, _, err = chain.run("start", "--name", "chain", *words)
        assert code == 1
        return str(err)

    assert "there is no step 'Thirt'; did you mean 'Third'?" in refusal("--from", "Thirt")
    assert "Second lies between the steps to run" in refusal("--only", "First", "Third")
    assert "no execution of chain has ended with what the selected steps need: Second" in refusal("--only", "Third")
    assert chain.account.sagemaker.list_pipeline_executions(PipelineName="chain")["PipelineExecutionSummaries"] == []


@pytest.mark.parametrize(
    ("value", "said"), [("Hosts=two", "is of type Integer"), ("Hosts=0", "InstanceCount"), ("Host=1", "did you mean")]
)
def test_values_are_checked_before_anything_is_started(chain: SimpleNamespace, value: str, said: str) -> None:
    code, _, err = chain.run("start", "--name", "chain", "--set", value)
    assert code == 1
    assert said in err
    assert chain.account.sagemaker.list_pipeline_executions(PipelineName="chain")["PipelineExecutionSummaries"] == []


def test_a_file_is_no_version(chain: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text(chain.text)
    code, _, err = chain.run("start", str(tmp_path / "chain.json"), "--version", "1")
    assert code == 1
    assert "mean what is deployed, and not a file" in err


def test_a_pipeline_is_named_by_the_configuration_or_as_the_only_one(
    chain: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert chain.run("versions")[1].splitlines()[1].startswith("1 ")
    chain.account.sagemaker.create_pipeline(
        PipelineName="other", PipelineDefinition=chain.text, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/darkroom"
    )
    code, _, err = chain.run("versions")
    assert code == 1
    assert "there are several pipelines: " in err


def test_on_this_machine_an_upsert_also_makes_functions_and_images_known(
    project: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upsert", "--alias", "mine"]) == 0
    assert "all code was there" not in capsys.readouterr().err
    assert main(["versions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["PipelineVersionAliases"] == ["mine"]
    store = local_client(str(project.folder / "home")).sagemaker.store
    assert len(store.list("function")) == 2
    assert store.list("image")
