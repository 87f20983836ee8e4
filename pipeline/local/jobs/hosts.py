"""The instances of one job: a private /opt/ml tree and a process each, with resolvable names algo-1, algo-2, …"""

from __future__ import annotations

import json
import os
import sys
import time

from pipeline.local import container
from pipeline.local.folders import make_folder
from pipeline.local.jobs import JobFailed
from pipeline.local.logs import of_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from pipeline.local.container import Process
    from pipeline.local.images import Image
    from pipeline.local.jobs import JobContext

GROUP = "homogeneousCluster"
GRACE_S = 10.0  # between SIGTERM and SIGKILL; the service waits 120 s
POLL_S = 0.5
_SEVERAL_POLL_S = 0.05
INTERFACE = "lo" if sys.platform == "linux" else "lo0"  # the interface on which the hosts can reach each other


class Host:
    """One instance; `tree` is its /opt/ml on this machine, `log` where its output goes."""

    __slots__ = ("address", "index", "log", "name", "private", "tree")

    def __init__(self, context: JobContext, index: int, count: int) -> None:
        self.index = index
        self.name = f"algo-{index + 1}"
        self.address = f"127.0.0.{index + 1}"
        self.private = os.path.join(context.work, self.name)
        self.tree = os.path.join(self.private, "ml")
        self.log = of_host(context.log_path, index, count)

    def path(self, inside: str) -> str:
        """`/opt/ml/x` → where x is on this machine. Raises JobFailed for anything that is not below /opt/ml."""
        clean = os.path.normpath(inside)
        if clean != container.ML and not clean.startswith(container.ML + "/"):
            raise JobFailed(f"ClientError: LocalPath {inside!r} is not below {container.ML}")
        return self.tree + clean[len(container.ML) :]

    def folder(self, inside: str) -> str:
        """The same, made if it does not exist."""
        path = self.path(inside)
        make_folder(path)
        return path


class Hosts:
    """All instances of a job."""

    __slots__ = ("_context", "_file", "all", "cores", "gpus", "instance_type")

    def __init__(self, context: JobContext, count: int, instance_type: str, cores: int = 0) -> None:
        """`cores`: how many all of them may use; 0: those of this machine. Each gets its share, of the GPUs as well."""
        self._context = context
        self.all = [Host(context, index, count) for index in range(count)]
        self.instance_type = instance_type
        self.cores = max(1, (cores or machine_cores()) // count)
        self.gpus = gpu_count() // count
        for host in self.all:
            make_folder(host.tree)
        self._file = self._write_names()
        if context.isolation.kind == "rewrite":
            context.parity(
                "/opt/ml", f"paths below it were rewritten in arguments and variables: {context.isolation.reason}"
            )
            if count > 1:
                context.parity("InstanceCount", "host names algo-1, … do not resolve without namespaces: use 127.0.0.1")
        if count > 1:
            shared = f"with {self.cores} of its cores each, and {self.gpus or 'none'} of its GPUs"
            context.parity("InstanceCount", f"{count} instances are {count} processes on this machine, {shared}")

    @property
    def names(self) -> list[str]:
        return sorted(host.name for host in self.all)

    def _write_names(self) -> str:
        if self._context.isolation.kind == "rewrite":
            return ""
        try:
            with open("/etc/hosts", encoding="utf-8", errors="replace") as file:
                known = file.read().rstrip("\n")
        except FileNotFoundError:
            return ""
        path = os.path.join(self._context.work, "hosts")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join([known, "\n", *(f"{host.address} {host.name}\n" for host in self.all)]))
        return path

    def resource_config(self, host: Host) -> dict[str, Any]:
        """The content of resourceconfig.json."""
        group = {"instance_group_name": GROUP, "instance_type": self.instance_type, "hosts": self.names}
        return {
            "current_host": host.name,
            "current_instance_type": self.instance_type,
            "current_group_name": GROUP,
            "hosts": self.names,
            "instance_groups": [group],
            "network_interface_name": INTERFACE,
        }

    def write_json(self, host: Host, inside: str, content: Any) -> None:
        """A config file, its paths where the process will find them."""
        path = host.path(inside)
        make_folder(os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._context.isolation.translate(host.tree, json.dumps(content)))

    def environment(self, host: Host) -> dict[str, str]:
        """What every container has; threads are bounded where several processes share the machine."""
        env = container.base_environment(host.private)
        if self.cores < machine_cores():
            env["OMP_NUM_THREADS"] = str(self.cores)
        if len(self.all) > 1 and gpu_count():  # NCCL takes no two ranks on one GPU
            first = host.index * self.gpus
            env["CUDA_VISIBLE_DEVICES"] = ",".join(_gpus()[first : first + self.gpus])
        return env

    def launch(
        self, host: Host, image: Image, argv: Sequence[str], env: Mapping[str, str], cwd: str, log: str = ""
    ) -> Process:
        """`log`: where its output goes, if not to the host's own."""
        spec = container.Spec(
            argv,
            image.environment(dict(env)),
            host.tree,
            log or host.log,
            cwd=cwd,
            image=image.uri,
            host=host.name if self._file else "",
            hosts=self._file,
        )
        return self._context.isolation.launch(spec)


class Ended:
    """How a job's processes ended: the first failure's exit code, or 0; `timed_out`, `halted`: who ended them."""

    __slots__ = ("code", "halted", "host", "problem", "timed_out")

    def __init__(self, host: Host) -> None:
        self.host = host  # the one whose code it is
        self.code = 0
        self.problem = ""  # why the program never started
        self.timed_out = False
        self.halted = False  # `tick` asked for it


async def wait(
    context: JobContext,
    running: list[tuple[Host, Process]],
    limit: float,
    tick: Callable[[], bool] | None = None,
) -> Ended:
    """Waits for all, at most `limit` seconds; calls `tick` every half second, which returns True to end them early.

    When one fails the others are stopped. When this task is cancelled all are stopped, and Cancelled goes on up.
    """
    ended = Ended(running[0][0])
    deadline = time.monotonic() + limit
    living = list(running)
    try:
        while living and not ended.code:
            left = deadline - time.monotonic()
            if left <= 0:
                ended.timed_out = True
                break
            host, process = living[0]
            pause = min(left, POLL_S if tick else left)
            code = await context.loop.exit_of(process.pid, pause if len(living) == 1 else min(pause, _SEVERAL_POLL_S))
            if code is None:
                living.append(living.pop(0))
                if tick is not None and tick():
                    ended.halted = True
                    break
                continue
            living.pop(0)
            _note(ended, host, code, process.finish())
    finally:
        await _stop_all(context, living)
    return ended


def _note(ended: Ended, host: Host, code: int, problem: str) -> None:
    if code != 0:
        ended.host, ended.code, ended.problem = host, code, problem


async def _stop_all(context: JobContext, living: list[tuple[Host, Process]]) -> None:
    for _, process in living:
        process.signal(15)
    for _, process in living:
        await container.stop(process, context.loop, GRACE_S)
        process.finish()


def exit_code(code: int) -> str:
    """As the service says it: a signal is 128 and its number."""
    if code >= 0:
        return f"exit code: {code}"
    import signal

    return f"exit code: {128 - code} ({signal.Signals(-code).name})"


def machine_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def note_simulated(context: JobContext, image: Image, instance_type: str) -> None:
    """A row for each image and each machine: a definition may name several."""
    context.parity(f"Image {image.uri}", f"the command {' '.join(image.command)}")
    if instance_type:
        cores, gpus = machine_cores(), gpu_count()
        counted = f"{cores} core{'s' * (cores != 1)}, {gpus or 'no'} GPU{'s' * (gpus != 1)}"
        context.parity(f"InstanceType {instance_type}", f"this machine: {counted}")


def feature_cache(context: JobContext) -> dict[str, str]:
    """The variable by which entrypoints/training/features.py finds what an earlier job of this machine computed.

    It is no part of a request: what a step's cache compares does not depend on it.
    """
    name, folder = "DARKROOM_FEATURE_CACHE", os.path.join(os.path.abspath(context.store.home), "features")
    context.parity(
        name, f"{folder}: features of frozen networks are kept there for later jobs; on AWS each computes them"
    )
    return {name: folder}


def gpu_count() -> int:
    """NVIDIA GPUs that a job may use."""
    return len(_gpus())


def free_port(context: JobContext, usual: str) -> str:
    """For processes that have to find each other: jobs beside each other share one machine here."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    context.parity("MASTER_PORT", f"a free one for each job, not {usual}: all jobs share one machine")
    return port


def _gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [word.strip() for word in visible.split(",") if word.strip() not in ("", "-1")]
    try:
        return [str(number) for number, _ in enumerate(os.listdir("/proc/driver/nvidia/gpus"))]
    except OSError:
        return []
