"""Isolation: the private /opt/ml, the exact environment, and nobody left when the runner is gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from local_jobs import BOTH, ROOT

from pipeline.errors import DarkroomError
from pipeline.local.isolation import Isolation

needs_namespaces = pytest.mark.skipif("namespace" not in BOTH, reason="this machine has no namespaces")

# runs a list of (argv, env, options) inside one isolation, prints what came of each
RUNNER = """
import json, os, sys
from pipeline.local.container import Spec, stop
from pipeline.local.isolation import Isolation
from pipeline.local.loop import Loop
order = json.load(sys.stdin)
home = order["home"]
os.makedirs(home + "/ml", exist_ok=True)
isolation, loop, done = Isolation.enter(home, "arn:test"), Loop(), []
def state():
    links = [os.readlink("/proc/self/ns/" + name) for name in ("mnt", "uts")] if sys.platform == "linux" else []
    return [os.uname().nodename, len(os.listdir("/dev/fd")), os.umask(0o027), *links]
os.umask(0o027)
async def main():
    isolation.kind
    before = state()
    for argv, env, options in order["jobs"]:
        grace = options.pop("stop_after", None)
        spec = Spec(argv, {"PATH": os.environ["PATH"], **env}, home + "/ml", home + "/log", image="im", **options)
        process = isolation.launch(spec)
        if grace is None:
            code = await loop.exit_of(process.pid)
        else:
            await loop.sleep(grace)
            code = await stop(process, loop, 0.3)
        done.append([code, process.finish()])
    assert state() == before, (before, state())  # whatever a job does, the runner is as it was
loop.run(main())
isolation.close()
print(json.dumps({"kind": isolation.kind, "done": done}))
"""


def run(
    home: Path, kind: str, *jobs: tuple[list[str], dict[str, str], dict[str, Any]], user: str = ""
) -> dict[str, Any]:
    order = json.dumps({"home": str(home), "jobs": jobs})
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DARKROOM_ISOLATION": kind, "SECRET": "leaks"}
    as_user = ["setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups"] if user else []
    python = "/usr/bin/python3" if user else sys.executable
    done = subprocess.run(
        [*as_user, python, "-c", RUNNER], input=order, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def sh(script: str, **options: Any) -> tuple[list[str], dict[str, str], dict[str, Any]]:
    return ["/bin/sh", "-c", script], {}, options


def log(home: Path) -> str:
    return (home / "log").read_text()


@pytest.mark.parametrize("kind", BOTH)
def test_a_job_finds_its_tree_at_opt_ml(tmp_path: Path, kind: str) -> None:
    assert run(tmp_path, kind, sh("echo hello > /opt/ml/file"))["done"] == [[0, ""]]
    assert (tmp_path / "ml/file").read_text() == "hello\n"


@pytest.mark.parametrize("kind", BOTH)
def test_paths_in_variables_lead_into_the_tree(tmp_path: Path, kind: str) -> None:
    job = (["/bin/sh", "-c", 'echo "$D" > "${D#x=}/file"'], {"D": "x=/opt/ml"}, {})
    assert run(tmp_path, kind, job)["done"] == [[0, ""]]
    assert (tmp_path / "ml/file").exists()


@needs_namespaces
def test_nothing_else_below_opt_is_hidden(tmp_path: Path) -> None:
    run(tmp_path, "namespace", sh("ls /opt"))
    assert set(log(tmp_path).split()) == {*os.listdir("/opt"), "ml"}
    assert "ml" in os.listdir("/opt") or not os.path.exists("/opt/ml")


@pytest.mark.parametrize("kind", BOTH)
def test_the_environment_is_exactly_the_one_asked_for(tmp_path: Path, kind: str) -> None:
    python = "import os; print(sorted(os.environ))"
    run(tmp_path, kind, ([sys.executable, "-E", "-c", python], {"LC_ALL": "C.UTF-8", "A": "b"}, {}))
    assert log(tmp_path).strip() == "['A', 'DARKROOM_EXECUTION', 'LC_ALL', 'PATH']"


@needs_namespaces
def test_hosts_and_host_name_are_the_jobs_own(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.9 algo-9\n")
    hosts = str(tmp_path / "hosts")
    run(tmp_path, "namespace", sh("hostname; cat /etc/hosts", host="algo-9", hosts=hosts))
    assert log(tmp_path) == "algo-9\n127.0.0.9 algo-9\n"


@needs_namespaces
def test_a_job_sees_only_the_processes_of_its_execution(tmp_path: Path) -> None:
    run(tmp_path, "namespace", sh("ls /proc"))
    assert sum(name.isdigit() for name in log(tmp_path).split()) <= 3


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["foo"], "image im: no program 'foo'"),
        (["/opt/ml/no"], "no program"),
        (["/etc/passwd"], "program '/etc/passwd' is not executable"),
        (["/bin/echo", "a\0b"], "its arguments or variables cannot be given to a program: embedded null byte"),
        (["/bin/echo", "\ud800"], "cannot be given to a program: 'utf-8' codec"),
        (["/bin/echo", *["x" * 100_000] * 40], "Argument list too long"),
        (["n" * 200_000], "nnn"),
    ],
)
def test_a_program_that_cannot_start_says_why(tmp_path: Path, kind: str, argv: list[str], problem: str) -> None:
    [[code, said]] = run(tmp_path, kind, (argv, {}, {}))["done"]
    assert code == 127 and problem in said
    assert log(tmp_path) == ""


@pytest.mark.parametrize("kind", BOTH)
def test_a_missing_working_folder_is_named(tmp_path: Path, kind: str) -> None:
    [[code, said]] = run(tmp_path, kind, sh("true", cwd="/opt/ml/none"))["done"]
    assert code == 127 and "ml/none: No such file" in said


@pytest.mark.parametrize("kind", BOTH)
def test_a_script_whose_interpreter_is_missing_is_told_from_a_missing_one(tmp_path: Path, kind: str) -> None:
    script = tmp_path / "windows.sh"
    script.write_bytes(b"#!/bin/sh\r\n")
    script.chmod(0o755)
    [[code, said]] = run(tmp_path, kind, ([str(script)], {}, {}))["done"]
    assert code == 127 and "there is no interpreter as its first line names it" in said


@needs_namespaces
def test_a_job_whose_view_cannot_be_made_does_not_hold_up_the_next(tmp_path: Path) -> None:
    broken = sh("true", hosts=str(tmp_path / "no-hosts"), host="algo-1")
    [[code, said], after] = run(tmp_path, "namespace", broken, sh("true"))["done"]
    assert (code, said, after) == (127, "image im: mount /etc/hosts: No such file or directory", [0, ""])


@pytest.mark.parametrize("kind", BOTH)
def test_a_job_leads_a_group_of_its_own(tmp_path: Path, kind: str) -> None:
    python = "import os; print(os.getpgrp() == os.getpid())"
    run(tmp_path, kind, ([sys.executable, "-c", python], {}, {}))
    assert log(tmp_path) == "True\n"


@pytest.mark.parametrize("kind", BOTH)
def test_a_job_ignores_no_signal_that_the_runner_ignores(tmp_path: Path, kind: str) -> None:
    jobs = [(["/bin/sh", "-c", f"kill -{name} $$; sleep 9"], {}, {}) for name in ("HUP", "INT", "QUIT", "PIPE")]
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        done = run(tmp_path, kind, *jobs)["done"]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert [code for code, _ in done] == [-number for number in (*numbers, signal.SIGPIPE)]


@pytest.mark.parametrize("kind", BOTH)
def test_a_job_holds_no_descriptor_of_the_runner(tmp_path: Path, kind: str) -> None:
    run(tmp_path, kind, sh("echo /dev/fd/*"))
    assert {int(Path(name).name) for name in log(tmp_path).split()} <= {0, 1, 2, 3}  # 3: the folder that is listed


@pytest.mark.parametrize("kind", BOTH)
def test_stop_asks_first_and_kills_then(tmp_path: Path, kind: str) -> None:
    polite = sh("trap 'echo bye; exit 3' TERM; while :; do sleep 0.05; done", stop_after=0.3)
    stubborn = sh("trap '' TERM; while :; do sleep 0.05; done", stop_after=0.3)
    assert run(tmp_path, kind, polite, stubborn)["done"] == [[3, ""], [-9, ""]]
    assert log(tmp_path).endswith("bye\n")  # a shell may say before that its sleep was terminated


@pytest.mark.parametrize("kind", BOTH)
def test_what_a_job_leaves_in_the_background_ends_with_it(tmp_path: Path, kind: str) -> None:
    run(tmp_path, kind, sh(f"sleep {marker(tmp_path)} & exit 0"))
    assert gone(marker(tmp_path))


@needs_namespaces
@pytest.mark.skipif(not shutil.which("setpriv") or os.getuid() != 0, reason="only root can become an ordinary user")
def test_an_ordinary_user_gets_his_own_opt_ml_too(tmp_path: Path) -> None:
    probe = subprocess.run(["/usr/bin/python3", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False)
    if probe.returncode:
        pytest.skip("there is no Python 3.11 that everybody may read")
    home = Path("/tmp") / f"darkroom-{os.getpid()}"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    try:
        job = sh("id -u > /opt/ml/id; uname -n >> /opt/ml/id", host="algo-7")
        assert run(home, "namespace", job, user="nobody") == {"kind": "namespace", "done": [[0, ""]]}
        assert (home / "ml/id").read_text() == "65534\nalgo-7\n"
    finally:
        shutil.rmtree(home)


KILLED = """
import os, sys
from pipeline.local.container import Spec
from pipeline.local.isolation import Isolation
home, mark = sys.argv[1:]
isolation = Isolation.enter(home, "arn:execution")
os.makedirs(home + "/ml")
script = f"sleep {mark} & setsid sh -c 'setsid sleep {mark} & sleep {mark}' & echo up > /opt/ml/up; sleep {mark}"
isolation.launch(Spec(["/bin/sh", "-c", script], {"PATH": os.environ["PATH"]}, home + "/ml", home + "/log"))
import signal
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody can find who left his session")
@pytest.mark.parametrize("kind", BOTH)
def test_a_killed_runner_leaves_no_process_not_even_one_that_left_its_session(tmp_path: Path, kind: str) -> None:
    mark = marker(tmp_path)
    with asleep(tmp_path, kind, mark) as runner:
        runner.send_signal(signal.SIGKILL)
    assert gone(mark)


@pytest.mark.parametrize("kind", BOTH)
def test_a_killed_runner_takes_no_job_of_the_one_that_resumes_its_execution(tmp_path: Path, kind: str) -> None:
    homes = [tmp_path / "killed", tmp_path / "resumed"]
    first, second = (marker(home) for home in homes)
    with asleep(homes[0], kind, first) as killed, asleep(homes[1], kind, second):
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert gone(first)
        assert len(sleepers(second)) == 4
    assert gone(second)


@contextmanager
def asleep(home: Path, kind: str, mark: str) -> Iterator[subprocess.Popen[bytes]]:
    """A runner whose job sleeps in four processes. All of them are of one execution."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DARKROOM_ISOLATION": kind}
    home.mkdir(exist_ok=True)
    with subprocess.Popen([sys.executable, "-c", KILLED, str(home), mark], env=env, cwd=ROOT) as runner:
        try:
            deadline = time.monotonic() + 20
            while len(sleepers(mark)) < 4 and time.monotonic() < deadline:
                time.sleep(0.02)
            assert len(sleepers(mark)) == 4
            yield runner
        finally:
            runner.kill()


def test_state_below_opt_ml_is_refused() -> None:
    with pytest.raises(DarkroomError, match="/opt/ml/state, lies below /opt/ml, which each job has for itself"):
        Isolation.enter("/opt/ml/state", "arn:test")


def test_an_unknown_isolation_is_refused(tmp_path: Path) -> None:
    code = "from pipeline.local.isolation import Isolation; Isolation.enter('.', '')"
    env = {**os.environ, "DARKROOM_ISOLATION": "docker"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert "DARKROOM_ISOLATION='docker' is unknown" in done.stderr


def marker(home: Path) -> str:
    """A number of seconds that no other test sleeps."""
    return f"1000.{abs(hash(str(home))) % 10**9}"


def sleepers(mark: str) -> list[int]:
    listed = subprocess.run(["ps", "-axo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if line.split()[1:] == ["sleep", mark]]


def gone(mark: str) -> bool:
    deadline = time.monotonic() + 5
    while sleepers(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not sleepers(mark)
