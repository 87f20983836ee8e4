"""An endpoint's server on this machine: started by the first invocation, found again by everybody, gone when idle.

Its supervisor (endpoint_host.py) is a process of its own, found by its files (endpoint_files.py).
"""

from __future__ import annotations

import os
import sys
import time
from collections import namedtuple

from pipeline.errors import EndpointError
from pipeline.local.endpoint_files import Files, is_supervised, last_lines, locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.store import Store

IDLE_S = 60.0
ANSWER_LIMIT_S = 60.0  # as SageMaker gives a model for one invocation
STOP_LIMIT_S = 40.0  # serve.py drains for 30 s at most
_LOOK_S = 0.02
_REFUSED_LIMIT_S = 5.0
_NOTICE_S = 0.3
_START_LIMIT_S = 600.0  # the supervisor gives up earlier, and says why

# `port` is the first variant's; `variants` name → (port, weight); `keep` a deployed one that does not stop when idle
Host = namedtuple("Host", "name port pid keep revision variants")
Reply = namedtuple("Reply", "status content_type body variant")


def find(store: Store, name: str) -> Host | None:
    """The running, ready server of an endpoint."""
    files = Files(store.home, name)
    state = files.read_state() if is_supervised(files) else {}
    return _host(name, state) if state.get("state") == "Ready" else None


def start(store: Store, name: str, keep: bool = False, port: int = 0, idle_s: float = IDLE_S) -> Host:
    """The endpoint's server, ready; starts it if it does not run, or not as asked for. One of several callers does it.

    Raises ServiceError ResourceNotFound without such an endpoint, EndpointError with the last log lines if it cannot.
    """
    files = Files(store.home, name)
    os.makedirs(files.folder, exist_ok=True)
    with locked(files.starting):
        while True:
            revision = store.get("endpoint", name).body["revision"]
            files.touch_used()
            if is_supervised(files) and not _suits(files.read_state(), keep, port):
                _end(files, name)
            if not is_supervised(files):
                files.remove()
                files.touch_used()
                _spawn(store.home, name, keep, port, idle_s, files)
            host = _ready(files, name, revision)
            if host is not None:
                return host


def _suits(state: Mapping[str, Any], keep: bool, port: int) -> bool:
    """Whether a supervisor in this state, which may be its last one, is what a caller asks for."""
    if state.get("state") in ("Failed", "Ended"):
        return False
    return bool(state.get("keep") or not keep) and port in (0, state.get("port", port))


def stop(store: Store, name: str) -> None:
    """Returns when no process of the endpoint is left. Raises EndpointError if that takes too long."""
    files = Files(store.home, name)
    if os.path.isdir(files.folder):
        with locked(files.starting):
            _end(files, name)


def invoke(store: Store, name: str, body: bytes, headers: Mapping[str, str], variant: str = "") -> Reply:
    """One POST to /invocations. Raises EndpointError when the server cannot be started or says nothing for 60 s."""
    files = Files(store.home, name)
    deadline = time.monotonic() + _REFUSED_LIMIT_S
    while True:
        host = start(store, name)
        chosen = _variant(host, variant)
        try:
            return _post(host.variants[chosen][0], body, headers, chosen)
        except ConnectionRefusedError as exc:  # it crashed, changed over or fell idle just now, and nothing was sent
            if time.monotonic() > deadline:
                raise EndpointError(f"endpoint {name!r} takes no connection", f"its log: {files.log}") from exc
            time.sleep(_LOOK_S)
        except ConnectionError as exc:  # not sent again: it may be this very request that the model dies of
            time.sleep(_NOTICE_S)  # the next invocation then finds a supervisor that knows of the crash
            message = f"the model of endpoint {name!r} broke off the connection\n{last_lines(files.log)}"
            raise EndpointError(message, f"its log: {files.log}") from exc
        except TimeoutError as exc:
            message = f"the model of endpoint {name!r} did not answer within {ANSWER_LIMIT_S:.0f} s"
            raise EndpointError(message, f"its log: {files.log}") from exc
        finally:
            files.touch_used()


def _variant(host: Host, wanted: str) -> str:
    if wanted:
        if wanted not in host.variants:
            known = ", ".join(host.variants)
            raise EndpointError(f"endpoint {host.name!r} has no variant {wanted!r}; it has: {known}")
        return wanted
    import random

    names = list(host.variants)
    weights = [weight for _, weight in host.variants.values()]
    chosen: str = random.choices(names, weights)[0] if any(weights) else names[0]
    return chosen


def _post(port: int, body: bytes, headers: Mapping[str, str], variant: str) -> Reply:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_LIMIT_S)
    try:
        connection.request("POST", "/invocations", body, dict(headers))
        answer = connection.getresponse()
        content_type = answer.headers.get("Content-Type", "application/octet-stream")
        return Reply(answer.status, content_type, answer.read(), variant)
    except HTTPException as exc:
        raise ConnectionResetError(repr(exc)) from exc
    finally:
        connection.close()


def _ready(files: Files, name: str, revision: str) -> Host | None:
    """Waits until this revision is served; None when the supervisor ended as it should, idle or told to."""
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        alive = is_supervised(files)  # looked at first: a supervisor writes its last state, then ends
        state = files.read_state()
        if state.get("state") == "Failed":
            raise EndpointError(f"endpoint {name!r} cannot serve its model: {state['reason']}", f"its log: {files.log}")
        if alive and state.get("state") == "Ready" and state["revision"] == revision:
            return _host(name, state)
        if state.get("state") == "Ended":
            return None
        if not alive:
            message = f"the supervisor of endpoint {name!r} ended without a word\n{last_lines(files.log)}"
            raise EndpointError(message, f"its log: {files.log}")
        time.sleep(_LOOK_S)
    raise EndpointError(f"endpoint {name!r} is not ready after {_START_LIMIT_S:.0f} s", f"its log: {files.log}")


def _host(name: str, state: Mapping[str, Any]) -> Host:
    variants = {each["name"]: (each["port"], each["weight"]) for each in state["variants"]}
    return Host(name, state["port"], state["pid"], state["keep"], state["revision"], variants)


def _spawn(home: str, name: str, keep: bool, port: int, idle_s: float, files: Files) -> None:
    """The supervisor leaves our session and family by itself; it has its lock when this returns, or is gone."""
    import subprocess

    os.makedirs(os.path.dirname(files.log), exist_ok=True)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    env = {**os.environ, "PYTHONPATH": root}
    argv = [sys.executable, "-m", "pipeline.local.endpoint_host", os.path.abspath(home), name, str(port), str(idle_s)]
    with open(files.log, "ab") as log:
        subprocess.run(
            [*argv, *(["--keep"] if keep else [])],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )


def _end(files: Files, name: str) -> None:
    """Asks the supervisor by a file, as it may live in another pid namespace; kills it if it does not listen."""
    deadline = time.monotonic() + STOP_LIMIT_S
    while is_supervised(files):
        with open(files.stop, "a"):
            pass
        if time.monotonic() > deadline:
            _kill(files, name)
            deadline += STOP_LIMIT_S
        time.sleep(_LOOK_S)
    files.remove()


def _kill(files: Files, name: str) -> None:
    import signal

    from pipeline.local import process_id

    known = files.read_state().get("identity", {})
    if not known or known != process_id.identity(known["pid"]):
        message = f"the supervisor of endpoint {name!r} does not stop, and cannot be killed from here"
        raise EndpointError(message, f"its state: {files.state}")
    os.kill(known["pid"], signal.SIGKILL)
