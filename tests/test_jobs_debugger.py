"""Debugger for training jobs: the hook's file, tensors in S3, rules judged by the job's code, whatever it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from local_jobs import BOTH, IMAGE, ROOT, Outcome, put_archive, run_job

from pipeline.local.jobs import rule_statuses
from pipeline.local.storage import Storage
from pipeline.source import archive, program_files

EVALUATOR = "895741380848.dkr.ecr.us-east-1.amazonaws.com/sagemaker-debugger-rules:latest"
# saves what it was told to save, as smdebug does: its own name for each worker
SAVE = """
import json, os
config = json.load(open(os.environ.get("SMDEBUG_CONFIG_FILE_PATH", "/opt/ml/input/config/debughookconfig.json")))
print(json.dumps(config))
worker = os.environ["SM_CURRENT_HOST"][-1]
os.makedirs(config["LocalPath"] + "/events/0", exist_ok=True)
open(f"{config['LocalPath']}/events/0/worker_{worker}.tfevents", "w").write(worker)
open(f"{config['LocalPath']}/half.tmp", "w").close()
"""
# answers for each rule what it was told to answer, and the names of the tensors
JUDGE = """
import argparse, json, os
parser = argparse.ArgumentParser()
for name in ("tensors", "rules", "status", "output"):
    parser.add_argument(f"--{name}", required=True)
args = parser.parse_args()
seen = sorted(name for _, _, names in os.walk(args.tensors) for name in names)
rules = json.load(open(args.rules))
told = [{"RuleConfigurationName": rule["RuleConfigurationName"],
         "RuleEvaluationStatus": rule["RuleParameters"]["rule_to_invoke"],
         "StatusDetails": " ".join([*seen, os.getcwd(), str(os.path.exists(args.status))])} for rule in rules]
json.dump(told, open(args.output, "w"))
print("judged", len(rules))
"""
FINE, FOUND, ERROR = rule_statuses.WORDS


def rule(name: str, invoked: str = FINE) -> dict[str, Any]:
    return {
        "RuleConfigurationName": name,
        "RuleEvaluatorImage": EVALUATOR,
        "RuleParameters": {"rule_to_invoke": invoked},
    }


def request(home: Path, program: str = SAVE, judge: str | None = JUDGE, **changes: Any) -> dict[str, Any]:
    code = {"train.py": program} | ({} if judge is None else {"health/debugger/evaluate.py": judge})
    put_archive(home, "s3://b/code/sourcedir.tar.gz", code)
    return {
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "HyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": "s3://b/code/sourcedir.tar.gz",
        },
        "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "DebugHookConfig": {
            "S3OutputPath": "s3://b/tensors/",
            "CollectionConfigurations": [{"CollectionName": "losses"}],
        },
        "DebugRuleConfigurations": [rule("Overfit"), rule("DeadRelu", FOUND)],
        **changes,
    }


def train(home: Path, body: dict[str, Any], **options: Any) -> Outcome:
    return run_job(home, "Training", body, **options)


def statuses(done: Outcome, member: str = rule_statuses.DEBUG) -> dict[str, tuple[str, str]]:
    rows = done.record[member]
    assert all(row["LastModifiedTime"] > 0 for row in rows)
    return {row["RuleConfigurationName"]: (row["RuleEvaluationStatus"], row.get("StatusDetails", "")) for row in rows}


def words(done: Outcome) -> list[str]:
    return [word for word, _ in statuses(done).values()]


def saved(home: Path, job: str = "job-1") -> list[str]:
    prefix = f"s3://b/tensors/{job}/debug-output/"
    return [entry.uri.removeprefix(prefix) for entry in Storage(str(home)).list(prefix)]


@pytest.mark.parametrize("kind", BOTH)
def test_rules_are_judged_by_the_jobs_code_and_tensors_go_to_s3(tmp_path: Path, kind: str) -> None:
    done = train(tmp_path, request(tmp_path), isolation=kind)
    (fine, details), (found, _) = statuses(done).values()
    assert (done.status, fine, found) == ("Completed", FINE, FOUND)
    seen, folder, told = details.rsplit(" ", 2)
    assert (seen, told) == ("half.tmp worker_1.tfevents", "False")
    assert folder == "/opt/ml/code" if kind == "namespace" else folder.endswith("/ml/code")
    assert saved(tmp_path) == ["events/0/worker_1.tfevents"]
    assert (tmp_path / "logs/e1/Step-debugger.log").read_text() == "judged 2\n"


@pytest.mark.parametrize("kind", BOTH)
def test_the_hook_finds_its_file_as_sagemaker_writes_it(tmp_path: Path, kind: str) -> None:
    hook = {
        "S3OutputPath": "s3://b/tensors",
        "LocalPath": "/opt/ml/output/mine",
        "HookParameters": {"save_all": "true"},
    }
    config = json.loads(train(tmp_path, request(tmp_path, DebugHookConfig=hook), isolation=kind).log)
    assert kind == "rewrite" or config["LocalPath"] == "/opt/ml/output/mine"
    assert config["LocalPath"].endswith("/ml/output/mine")
    assert {**config, "LocalPath": 0} == {**hook, "LocalPath": 0, "CollectionConfigurations": None}
    plain = json.loads(train(tmp_path, request(tmp_path), isolation=kind, job_name="job-2").log.splitlines()[1])
    assert plain["LocalPath"].endswith("/ml/output/tensors") and plain["HookParameters"] is None
    assert plain["CollectionConfigurations"] == [{"CollectionName": "losses", "CollectionParameters": None}]


def test_a_job_without_debugger_has_none_of_it(tmp_path: Path) -> None:
    program = "import os\nprint(os.listdir('/opt/ml/input/config' if os.path.exists('/opt/ml/code') else '.'))"
    done = train(tmp_path, request(tmp_path, program, DebugHookConfig={}, DebugRuleConfigurations=[]))
    assert "debughookconfig.json" not in done.log
    assert not {*rule_statuses.MEMBERS, "ProfilingStatus"} & done.body.keys()


@pytest.mark.parametrize("kind", BOTH)
def test_workers_of_several_instances_write_beside_each_other(tmp_path: Path, kind: str) -> None:
    body = request(tmp_path)
    body["ResourceConfig"]["InstanceCount"] = 2
    done = train(tmp_path, body, isolation=kind)
    assert saved(tmp_path) == ["events/0/worker_1.tfevents", "events/0/worker_2.tfevents"]
    assert statuses(done)["Overfit"][1].startswith("worker_1.tfevents worker_2.tfevents ")


def test_of_two_instances_that_use_one_name_the_first_counts(tmp_path: Path) -> None:
    body = request(tmp_path, SAVE.replace("worker_{worker}", "worker_0"))
    body["ResourceConfig"]["InstanceCount"] = 2
    train(tmp_path, body)
    assert saved(tmp_path) == ["events/0/worker_0.tfevents"]
    assert Storage(str(tmp_path)).get_bytes("s3://b/tensors/job-1/debug-output/events/0/worker_0.tfevents") == b"1"


def test_many_tensors_go_to_s3_beside_the_loop(tmp_path: Path) -> None:
    many = "for number in range(2500):\n    open(f\"{config['LocalPath']}/{number}\", 'w').close()\n"
    train(tmp_path, request(tmp_path, SAVE + many))
    assert len(saved(tmp_path)) == 2501


@pytest.mark.parametrize("linked", ["LocalPath", "the folder above it", "a file in it"])
def test_a_link_takes_nothing_else_to_s3(tmp_path: Path, linked: str) -> None:
    mine = tmp_path / "mine"
    (mine / "tensors").mkdir(parents=True)
    for folder in (mine, mine / "tensors"):
        (folder / "secret").write_text("mine")
    if linked != "a file in it":
        place = "config['LocalPath']" if linked == "LocalPath" else "os.path.dirname(config['LocalPath'])"
        program = f"import shutil\nshutil.rmtree({place})\nos.symlink({str(mine)!r}, {place})"
    else:
        program = f"os.symlink({str(mine / 'secret')!r}, config['LocalPath'] + '/secret')"
    done = train(tmp_path, request(tmp_path, SAVE + program))
    assert done.status == "Completed"
    assert saved(tmp_path) == (["events/0/worker_1.tfevents"] if linked == "a file in it" else [])
    assert (mine / "secret").exists() and (mine / "tensors/secret").exists()


def test_a_failed_job_is_judged_too(tmp_path: Path) -> None:
    done = train(tmp_path, request(tmp_path, f"{SAVE}\nraise SystemExit(3)"))
    assert done.status == "Failed" and "exit code: 3" in done.error
    assert words(done) == [FINE, FOUND] and saved(tmp_path)


def test_a_job_that_took_too_long_is_judged_too(tmp_path: Path) -> None:
    slow = request(tmp_path, f"{SAVE}\nimport time; time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    done = train(tmp_path, slow)
    assert (done.status, done.record["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert words(done) == [FINE, FOUND] and saved(tmp_path)


def waiting(home: Path) -> str:
    return f"import time; open({str(home / 'there')!r}, 'w').close(); time.sleep(60)\n"


def test_a_stopped_job_keeps_its_tensors_and_its_rules_are_stopped(tmp_path: Path) -> None:
    done = train(tmp_path, request(tmp_path, SAVE + waiting(tmp_path)), cancel_when=str(tmp_path / "there"))
    assert (done.status, done.error) == ("Stopped", "cancelled")
    assert set(statuses(done).values()) == {("Stopped", "the job ended before its rules were judged")}
    assert saved(tmp_path)


def test_a_job_that_is_stopped_while_it_is_judged_keeps_its_tensors(tmp_path: Path) -> None:
    done = train(tmp_path, request(tmp_path, judge=waiting(tmp_path)), cancel_when=str(tmp_path / "there"))
    assert (done.status, words(done)) == ("Stopped", ["Stopped", "Stopped"])
    assert saved(tmp_path)


def test_a_job_that_never_began_leaves_no_rule_in_progress(tmp_path: Path) -> None:
    body = request(tmp_path)
    body["HyperParameters"]["sagemaker_program"] = "other.py"
    done = train(tmp_path, body)
    assert (done.status, words(done)) == ("Failed", ["Stopped", "Stopped"])


def test_code_without_an_evaluator_is_told_what_to_do(tmp_path: Path) -> None:
    done = train(tmp_path, request(tmp_path, judge=None))
    (status, details), _ = statuses(done).values()
    assert (done.status, status) == ("Completed", ERROR)
    assert "no health/debugger/evaluate.py" in details and "copy darkroom's entrypoints/health" in details
    assert details.endswith("What was saved is at s3://b/tensors/job-1/debug-output/") and saved(tmp_path)


def test_an_image_with_its_own_entry_point_is_told_the_same(tmp_path: Path) -> None:
    done = train(tmp_path, request(tmp_path), command="/bin/echo hello")
    assert (done.status, words(done)) == ("Completed", [ERROR, ERROR])


def test_rules_without_a_hook_have_nothing_to_judge(tmp_path: Path) -> None:
    body = request(tmp_path, "print('trained')")
    body.pop("DebugHookConfig")
    assert "give it one with an S3OutputPath" in statuses(train(tmp_path, body))["Overfit"][1]


def test_the_profilers_rules_are_not_judged_and_say_so(tmp_path: Path) -> None:
    profile = "import os\nfolder = os.environ['SM_OUTPUT_DATA_DIR'] + '/health'\nos.mkdir(folder)\n"
    profile += "open(folder + '/profiler-report.html', 'w').close()"
    body = request(tmp_path, profile, ProfilerRuleConfigurations=[rule("ProfilerReport")])
    done = train(tmp_path, body)
    [(status, details)] = statuses(done, rule_statuses.PROFILER).values()
    assert status == ERROR and "SageMaker's profiler is not on this machine" in details
    assert "health/profiler-report.html" in details and done.body["ProfilingStatus"] == "Disabled"


ANSWER = "import sys\nopen(sys.argv[sys.argv.index('--output') + 1], 'w').write({!r})"


def answering(content: Any) -> str:
    return ANSWER.format(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        ("raise ValueError('no tensors')", "exit code: 1: ValueError: no tensors"),
        ("import os; os.kill(os.getpid(), 9)", "exit code: 137 (SIGKILL)"),
        ("pass", "left no answer (No such file or directory)"),
        ("import os, sys; os.mkfifo(sys.argv[8])", "no plain file"),
        ("import os, sys; os.mkdir(sys.argv[8])", "no plain file"),
        ("import os, sys; os.symlink('/etc/hosts', sys.argv[8])", "left no answer (Too many levels of symbolic links)"),
        ("import sys; open(sys.argv[8], 'w').truncate(1 << 30)", "larger than 1 MiB"),
        ("while True: print('x' * (1 << 20))", "more than 16 MiB to its log"),
        (answering("[" * 100_000), "no JSON"),
        (answering({"a": 1}), "no JSON list"),
        (answering([7]), "answered 7, which names no rule"),
    ],
)
def test_whatever_the_evaluator_does_is_its_rules_error(tmp_path: Path, judge: str, why: str) -> None:
    done = train(tmp_path, request(tmp_path, judge=judge))
    assert (done.status, words(done)) == ("Completed", [ERROR, ERROR])
    details = statuses(done)["Overfit"][1]
    assert why in details and "; darkroom logs e1 Step" in details and saved(tmp_path)
    assert (tmp_path / "logs/e1/Step-debugger.log").stat().st_size <= 16 << 20


def test_an_evaluator_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_RULES_SECONDS", "0.5")
    done = train(tmp_path, request(tmp_path, judge="import time; time.sleep(60)"))
    assert (
        done.status == "Completed" and "took longer than 0.5 s; DARKROOM_RULES_SECONDS=" in statuses(done)["Overfit"][1]
    )
    monkeypatch.setenv("DARKROOM_RULES_SECONDS", "soon")
    done = train(tmp_path, request(tmp_path), job_name="job-2")
    assert "DARKROOM_RULES_SECONDS='soon' is no number of seconds" in statuses(done)["Overfit"][1]


# as AWS's examples have it
FOREIGN = """
import smdebug.pytorch as smd
import torch
torch.manual_seed(0)
torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
criterion = torch.nn.CrossEntropyLoss()
hook = smd.Hook.create_from_json_file()
hook.register_module(model)
hook.register_loss(criterion)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(10):
    optimizer.zero_grad()
    criterion(model(torch.randn(4, 8)), torch.randint(3, (4,))).backward()
    optimizer.step()
"""


@pytest.mark.slow
def test_a_program_of_aws_examples_is_judged_with_smdebug_itself(tmp_path: Path) -> None:
    """Without namespaces, where smdebug has to be told of its file; with them test_managed_pipeline has it."""
    rules = [rule("Fine", "VanishingGradient"), rule("Found", "VanishingGradient"), rule("Own", "Custom")]
    rules[1]["RuleParameters"]["threshold"] = "1"
    collections = [
        {"CollectionName": name, "CollectionParameters": {"save_interval": "5"}} for name in ("gradients", "losses")
    ]
    hook = {"S3OutputPath": "s3://b/tensors", "CollectionConfigurations": collections}
    body = request(tmp_path, DebugHookConfig=hook, DebugRuleConfigurations=rules)
    files = program_files(ROOT / "entrypoints", "health/debugger/evaluate.py") | {"train.py": FOREIGN.encode()}
    Storage(str(tmp_path)).put_bytes("s3://b/code/sourcedir.tar.gz", archive(files))
    done = train(tmp_path, body, isolation="rewrite")
    assert done.status == "Completed", done.error
    fine, found, own = statuses(done).values()
    assert (fine[0], found[0], own[0]) == (FINE, FOUND, ERROR), (fine, found, own)
    assert "'Custom'" in own[1]
    tensors = [name for name in saved(tmp_path) if name.endswith(".tfevents")]
    assert tensors == [f"events/{step:012d}/{step:012d}_worker_0.tfevents" for step in (0, 5)]


def answer(**members: Any) -> dict[str, Any]:
    return {"RuleConfigurationName": "a", "RuleEvaluationStatus": FINE, **members}


@pytest.mark.parametrize(
    ("told", "status", "details"),
    [
        ([answer(StatusDetails="loss\x1b[2J\r\n\ud800fell")], FINE, "loss [2J fell"),
        ([answer(StatusDetails=None)], FINE, ""),
        ([answer(RuleEvaluationStatus=FOUND, StatusDetails="x" * 5000)], FOUND, "x" * 1022 + " …"),
        ([answer(RuleEvaluationStatus="InProgress")], ERROR, 'answered "InProgress", which is not NoIssuesFound, '),
        ([answer(RuleEvaluationStatus=["Error"])], ERROR, 'answered ["Error"], which is not'),
        ([answer(StatusDetails=7)], ERROR, "answered NoIssuesFound with details that are no text: 7"),
        ([answer(), answer()], ERROR, "answered twice"),
        ([answer(RuleConfigurationName="b")], ERROR, "said nothing of this rule"),
        ([], ERROR, "said nothing of this rule"),
    ],
)
def test_each_answer_is_checked(tmp_path: Path, told: Any, status: str, details: str) -> None:
    path = tmp_path / "statuses.json"
    path.write_text(json.dumps(told))
    begun = rule_statuses.begun([{"RuleConfigurationName": "a"}])
    [row] = rule_statuses.ended(begun, rule_statuses.answers(str(path), ["a"]))
    assert row["RuleEvaluationStatus"] == status and details in row.get("StatusDetails", "")
    assert len(row.get("StatusDetails", "")) <= 1024 and row.get("StatusDetails", "").isprintable()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DebugHookConfig": "x"}, "DebugHookConfig: 'x' is no structure"),
        ({"DebugRuleConfigurations": {"a": 1}}, "DebugRuleConfigurations is {'a': 1}, which is no list"),
        ({"ProfilerRuleConfigurations": [7]}, "ProfilerRuleConfigurations: 7 is no structure"),
        ({"DebugHookConfig": {"S3OutputPath": "s3://b/x", "CollectionConfigurations": [3]}}, "3 is no structure"),
    ],
)
def test_members_of_other_types_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    done = train(tmp_path, request(tmp_path, **changes))
    assert message in done.error and done.status == "Failed"


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ({"S3OutputPath": "https://b/x"}, "DebugHookConfig S3OutputPath: 'https://b/x/job-1/debug-output' is not"),
        ({"S3OutputPath": "s3://b/x", "LocalPath": "/tmp/x"}, "LocalPath '/tmp/x' is not below /opt/ml"),
    ],
)
def test_a_hook_that_cannot_be_is_refused(tmp_path: Path, hook: dict[str, str], message: str) -> None:
    done = train(tmp_path, request(tmp_path, DebugHookConfig=hook))
    assert message in done.error and done.status == "Failed"
