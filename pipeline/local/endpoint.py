"""An endpoint's server on this machine: woken by whoever needs it, found again by everybody, gone when idle.

Its supervisor (endpoint_host.py) is a process of its own, found by its files (endpoint_files.py). Requests go through
the router (endpoint_router.py) that the supervisor keeps up to date.
"""

from __future__ import annotations

import os
import sys
import time
from collections import namedtuple

from pipeline.errors import BrokenOff, EndpointError
from pipeline.local import endpoint_record, event_rules, guard
from pipeline.local.endpoint_files import Files, is_supervised, last_lines, locked
from pipeline.local.endpoint_http import ANSWER_LIMIT_S, BROKEN, NO_VARIANT, PATIENCE, PROBLEM, TARGET, VARIANT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.container import Spec
    from pipeline.local.store import Store

IDLE_S = 60.0
STOP_LIMIT_S = 100.0  # an instance answers what it has (60 s at most), and serve.py drains for 30 s at most
_LOOK_S = 0.02
_REFUSED_LIMIT_S = 5.0
_START_LIMIT_S = 600.0  # the supervisor gives up earlier, and says why
_MORE_S = 30.0  # the router gives up earlier: it waits 20 s for an instance, and then so long for its answer

# `port` is the router's; `keep` a deployed one that does not stop when idle; `instances` as Fleet.described has them
Host = namedtuple("Host", "name port pid keep instances")
Reply = namedtuple("Reply", "status content_type body variant")


def find(store: Store, name: str) -> Host | None:
    """The running, ready server of an endpoint."""
    files = Files(store.home, name)
    state = files.read_state() if is_supervised(files) else {}
    return _host(name, state) if state.get("state") == "Ready" else None


def start(store: Store, name: str, keep: bool = False, port: int = 0, idle_s: float = IDLE_S) -> Host:
    """The endpoint's server, ready; starts it if it does not run. One of several callers does it.

    Raises ServiceError ResourceNotFound without such an endpoint, EndpointError with the last log lines if it cannot.
    """
    files = Files(store.home, name)
    os.makedirs(files.folder, exist_ok=True)
    with locked(files.starting):
        while True:
            record = store.get("endpoint", name)
            if record.status == endpoint_record.FAILED:
                raise _cannot_serve(name, record.body.get("FailureReason", ""), files)
            if record.status == endpoint_record.DELETING:
                raise _cannot_serve(name, "it is being deleted", files)
            files.touch_used()
            if is_supervised(files) and files.read_state().get("state") in ("Failed", "Ended"):
                _end(files, name)
            _wish(files, keep, port)
            if not is_supervised(files):
                _spawn(store.home, name, idle_s, files, keep, port)
                event_rules.wake(store)
            host = _ready(files, name)
            if host is not None:
                if port not in (0, host.port):
                    raise EndpointError(f"port {port} cannot be had", "choose another --port, or none")
                return host


def wake(store: Store, name: str, idle_s: float = IDLE_S) -> None:
    """Has a supervisor look after the endpoint, and does not wait for it."""
    files = Files(store.home, name)
    if is_supervised(files):
        event_rules.wake(store)
        return
    os.makedirs(files.folder, exist_ok=True)
    with locked(files.starting, wait=False) as mine:  # else somebody starts it already
        if mine and not is_supervised(files):
            _spawn(store.home, name, idle_s, files)
    event_rules.wake(store)


def is_looked_after(store: Store, name: str) -> bool:
    """Whether it has a supervisor, ready or not."""
    return is_supervised(Files(store.home, name))


def wake_outside(store: Store, name: str) -> bool:
    """`wake`, unless this is a child of a pipeline's runner: all of those end with the run, and so would a supervisor.

    Whether somebody looks after the endpoint now.
    """
    if guard.MARK in os.environ:
        return is_looked_after(store, name)
    wake(store, name)
    return True


def stop(store: Store, name: str) -> None:
    """Returns when no process of the endpoint is left. Raises EndpointError if that takes too long."""
    files = Files(store.home, name)
    if os.path.isdir(files.folder):
        with locked(files.starting):
            _end(files, name)


def invoke(store: Store, name: str, body: bytes, headers: Mapping[str, str], variant: str = "") -> Reply:
    """One POST to /invocations. Raises EndpointError when the server cannot be started or no model answers, BrokenOff
    when one had taken it."""
    files = Files(store.home, name)
    deadline = time.monotonic() + _REFUSED_LIMIT_S
    headers = {**headers, **({TARGET: variant} if variant else {})}
    limit_s = float(headers.get(PATIENCE, ANSWER_LIMIT_S)) + _MORE_S
    while True:
        host = find(store, name) or start(store, name)
        files.touch_used()
        try:
            return _post(host, body, headers, files, limit_s)
        except ConnectionRefusedError as exc:  # it crashed, moved or fell idle just now, and nothing was sent
            if time.monotonic() > deadline:
                raise EndpointError(f"endpoint {name!r} takes no connection", f"its log: {files.log}") from exc
            time.sleep(_LOOK_S)
        except ConnectionError as exc:
            message = f"the router of endpoint {name!r} broke off the connection\n{last_lines(files.log)}"
            raise BrokenOff(message, f"its log: {files.log}") from exc
        except TimeoutError as exc:
            message = f"endpoint {name!r} did not answer within {limit_s:.0f} s"
            raise EndpointError(message, f"its log: {files.log}") from exc
        finally:
            files.touch_used()


def _post(host: Host, body: bytes, headers: Mapping[str, str], files: Files, limit_s: float) -> Reply:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection("127.0.0.1", host.port, timeout=limit_s)
    try:
        connection.request("POST", "/invocations", body, {**headers, "Connection": "close"})
        answer = connection.getresponse()
        text = answer.read()
    except HTTPException as exc:
        raise ConnectionResetError(repr(exc)) from exc
    finally:
        connection.close()
    problem = answer.headers.get(PROBLEM, "")
    if problem:
        raise _no_answer(host.name, problem, text, files)
    content_type = answer.headers.get("Content-Type", "application/octet-stream")
    return Reply(answer.status, content_type, text, answer.headers.get(VARIANT, ""))


def _no_answer(name: str, problem: str, text: bytes, files: Files) -> EndpointError:
    """In the router's words."""
    import json

    words = json.loads(text)["error"]
    if problem == NO_VARIANT:
        return EndpointError(f"endpoint {name!r} has {words}")
    hint = f"its log: {files.log}"
    if problem == BROKEN:
        return BrokenOff(f"endpoint {name!r}: {words}\n{last_lines(files.log)}", hint)
    return EndpointError(f"endpoint {name!r}: {words}", hint)


def _wish(files: Files, keep: bool, port: int) -> None:
    """Nothing where the supervisor is like that already. Raises EndpointError when the port is somebody else's."""
    from pipeline.local.endpoint_traffic import check_free

    state = files.read_state() if is_supervised(files) else {}
    if port not in (0, state.get("port", 0)):
        check_free(port)
    elif not keep or state.get("keep"):
        return
    files.put_wish(keep, port)


def _ready(files: Files, name: str) -> Host | None:
    """Waits until the endpoint is served as wished; None when the supervisor ended as it should, idle or told to."""
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        alive = is_supervised(files)  # looked at first: a supervisor writes its last state, then ends
        wished = os.path.exists(files.wish)
        state = files.read_state()
        if state.get("state") == "Failed":
            raise _cannot_serve(name, state["reason"], files)
        if alive and state.get("state") == "Ready" and not wished:
            return _host(name, state)
        if state.get("state") == "Ended":
            return None
        if not alive:
            message = f"the supervisor of endpoint {name!r} ended without a word\n{last_lines(files.log)}"
            raise EndpointError(message, f"its log: {files.log}")
        time.sleep(_LOOK_S)
    raise EndpointError(f"endpoint {name!r} is not ready after {_START_LIMIT_S:.0f} s", f"its log: {files.log}")


def _cannot_serve(name: str, reason: str, files: Files) -> EndpointError:
    return EndpointError(f"endpoint {name!r} cannot serve its model: {reason}", f"its log: {files.log}")


def _host(name: str, state: Mapping[str, Any]) -> Host:
    return Host(name, state["port"], state["pid"], state["keep"], state["instances"])


def supervisor(store: Store, name: str, work: str) -> Spec:
    """What starts one as a child of a runner; `work` is a folder of the runner's."""
    from pipeline.local.container import Spec, base_environment

    files = Files(store.home, name)
    os.makedirs(files.folder, exist_ok=True)
    tree = os.path.join(work, "ml")
    os.makedirs(tree, exist_ok=True)
    _clear(files)
    argv, path = _program(store.home, name, IDLE_S)
    return Spec(argv, {**base_environment(work), "PYTHONPATH": path}, tree, files.log, cwd=work, image="the supervisor")


def _clear(files: Files) -> None:
    """What an earlier supervisor left, but for when the endpoint was last used."""
    used = files.last_used()
    files.remove()
    if used:
        files.touch_used()


def _program(home: str, name: str, idle_s: float) -> tuple[list[str], str]:
    """The supervisor's command line, and its PYTHONPATH."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [sys.executable, "-m", "pipeline.local.endpoint_host", os.path.abspath(home), name, str(idle_s)], root


def _spawn(home: str, name: str, idle_s: float, files: Files, keep: bool = False, port: int = 0) -> None:
    """The supervisor leaves our session and family by itself; it has its lock when this returns, or is gone."""
    import subprocess

    _clear(files)
    if keep or port:
        files.put_wish(keep, port)
    os.makedirs(os.path.dirname(files.log), exist_ok=True)
    argv, path = _program(home, name, idle_s)
    env = {**os.environ, "PYTHONPATH": path}
    with open(files.log, "ab") as log:
        subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=False
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
