"""`darkroom studio` as its user meets it: an address, pages, Ctrl-C."""

from __future__ import annotations

import http.cookiejar
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.__main__ import main

ROOT = Path(__file__).parent.parent


ENDED = "\nended; executions that run go on: darkroom executions\n"


def test_it_prints_an_address_that_opens_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    with studio(tmp_path) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            address = process.stdout.readline().strip()
            first = process.stderr.readline()
            page = opened(address)
        finally:
            process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert "Ctrl-C ends it" in first
    assert "nothing has been executed yet" in page
    assert (process.returncode, said) == (0, ENDED)
    assert not (tmp_path / "home").exists()


def test_ctrl_c_waits_for_no_account_that_does_not_answer(tmp_path: Path) -> None:
    """boto3 waits for a minute, and tries eight times. What is told is an answer, and no traceback."""
    account = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1", "NO_PROXY": "*"}
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor() as browser:
        account["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with studio(tmp_path, "--target", "aws", **account) as process:
            assert process.stdout is not None
            try:
                page = browser.submit(opened, process.stdout.readline().strip())
                asked, _ = silent.accept()
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=120)
            finally:
                process.kill()
            asked.close()
    assert (process.returncode, said.partition("\n")[2]) == (0, ENDED)
    assert "the studio was ended before this was answered" in page.result()


def studio(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "pipeline", "studio", "--port", "0", *words]
    variables = {**os.environ, "DARKROOM_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), **environment}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # a shell starts what it puts into the background with SIGINT ignored, and tests may run there
    pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(argv, env=variables, cwd=folder, **pipes)


def opened(address: str) -> str:
    """As a browser does it: with the cookie, to where the first answer leads."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    try:
        answer = opener.open(address, timeout=60)
    except urllib.error.HTTPError as exc:
        answer = exc
    with answer:
        assert "token" not in answer.geturl()
        page: str = answer.read().decode()
        return page


def test_a_port_that_is_taken_is_named(capsys: Any, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["studio", "--port", str(port)]) == 1
    assert f"cannot serve on port {port}" in capsys.readouterr().err


def test_write_is_for_an_account(capsys: Any, tmp_path: Path) -> None:
    assert main(["studio", "--write", "--port", "0"]) == 1
    assert "--write is for an account" in capsys.readouterr().err
