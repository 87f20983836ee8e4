"""Starts the processes of a training on this host, by torchrun: AWS's toolkit starts train.py once a host."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from refusal import Refusal
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from training import machine, watch
from training.distributed import first_line

PORT = 7777  # the toolkit's own, where it does not say
JOIN = timedelta(minutes=15)  # for all hosts to be there: the toolkit waits as long for their names
LINGER_S = 2 * watch.EVERY_S + 1  # the first host keeps what was said until the others have looked
PROGRAM = Path(__file__).parents[1] / "train.py"


def launch(argv: Sequence[str], env: Mapping[str, str], note: Path | None) -> None:
    """Returns when all processes of all hosts have ended well. Raises Refusal with what ended the training."""
    hosts, here = machine.hosts(env), machine.host(env)
    if note is not None:
        note.unlink(missing_ok=True)  # of an earlier training: a process writes its own
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "5")  # seconds from SIGTERM to SIGKILL: SageMaker waits 120
    address = env.get("MASTER_ADDR") or (hosts[0] if len(hosts) > 1 else "127.0.0.1")
    port = int(env.get("MASTER_PORT") or PORT)
    store = _store(address, port, here == hosts[0])
    config = LaunchConfig(
        min_nodes=len(hosts),
        max_nodes=len(hosts),
        nproc_per_node=machine.processes(env) // len(hosts),
        run_id="training",
        rdzv_backend="static",
        rdzv_endpoint=f"{address}:{port}",
        rdzv_configs={"rank": hosts.index(here), "timeout": int(JOIN.total_seconds())},
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)(str(PROGRAM), *argv)
    except ChildFailedError as failed:
        raise Refusal(_reason(failed, here, store, note)) from None
    except SignalException as stopped:
        signal.signal(stopped.sigval, signal.SIG_DFL)
        os.kill(os.getpid(), stopped.sigval)
    except dist.DistError as error:
        raise Refusal(f"not all of {', '.join(hosts)} came within {JOIN}: {first_line(error)}") from error
    finally:
        if len(hosts) > 1 and here == hosts[0] and isinstance(sys.exception(), Refusal):
            time.sleep(LINGER_S)


def _store(address: str, port: int, is_first: bool) -> dist.Store:
    """torchrun shares it, so that it outlives torchrun's own on the first host."""
    try:
        store = dist.TCPStore(address, port, None, is_first, JOIN, wait_for_workers=False, multi_tenant=True)
    except dist.DistError as error:
        mend = "set MASTER_PORT to a free one" if is_first else "look at that host's log"
        raise Refusal(f"no way to port {port} of {address}: {first_line(error)}: {mend}") from error
    return dist.PrefixStore(watch.PREFIX, store)


def _reason(failed: ChildFailedError, here: str, store: dist.Store, note: Path | None) -> str:
    """What the process has written; else how it ended, which it could not say itself."""
    rank, failure = failed.get_first_failure()
    if note is not None and note.is_file():
        return note.read_text(encoding="utf-8")
    how = f"ended with exit code {failure.exitcode}: its log says why"
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        how = f"was killed by {name}: if nobody did it, memory was short: lower batch_size, or take a larger machine"
    reason = f"host {here} was lost: its process {rank} {how}"
    try:
        watch.tell(store, reason)
        return store.get(watch.ENDED).decode()
    except RuntimeError:
        return reason
