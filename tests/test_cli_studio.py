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
from pathlib import Path
from typing import Any

from pipeline.__main__ import main

ROOT = Path(__file__).parent.parent


def test_it_prints_an_address_that_opens_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pipeline", "studio", "--port", "0"]
    environment = {**os.environ, "DARKROOM_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # a shell starts what it puts into the background with SIGINT ignored, and tests may run there
    pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(argv, env=environment, cwd=tmp_path, **pipes) as process:
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
    assert (process.returncode, said) == (0, "\nended; executions that run go on: darkroom executions\n")
    assert not (tmp_path / "home").exists()


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
