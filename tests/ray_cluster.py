"""A model archive in a real Ray cluster of one node, as AWS's Ray Serve image runs it; asked from within.

    unshare -Urn --uts -pf --kill-child --mount-proc python tests/ray_cluster.py ARCHIVE < QUESTIONS

QUESTIONS: [[body in base64, Accept], …] as JSON; prints [[status, content type, body in base64], …]. Ray listens on
every address, whatever it is told, so that this runs in a network namespace of its own, and in a pid namespace that
takes all of Ray's processes along when it ends.
"""

from __future__ import annotations

import base64
import fcntl
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

SECONDS = 500.0  # a limit for what never comes up
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41  # of linux/sockios.h and linux/if.h
CLUSTER = 6379
PORT = 8000  # of Ray Serve, as in AWS's image
# Ray's own limits are for machines with cores to spare. One cannot be set: a head has 30 seconds to register itself.
PATIENT = {
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_USAGE_STATS_ENABLED": "0",
}
HEAD = ["ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={CLUSTER}", "--num-cpus=1"]
HEAD += ["--num-gpus=0", "--include-dashboard=False", "--object-store-memory=80000000"]
Answer = tuple[int, str, str]


class Cluster:
    """A head node, and `serve run` of the archive's config.yaml; each is begun again when it has given up."""

    def __init__(self, archive: Path, folder: str) -> None:
        self.archive = archive
        self.head = [*HEAD, f"--temp-dir={folder}"]
        self.env = {**os.environ, **PATIENT, "PYTHONPATH": str(archive), "HOME": folder}  # a token goes there
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def serves(self) -> bool:
        self._keep("head", self.head)
        if _listens(CLUSTER):
            self._keep("application", ["serve", "run", str(self.archive / "config.yaml")])
        try:
            return ask(b"no picture", "*/*")[0] == 415
        except (OSError, http.client.HTTPException):
            return False

    def _keep(self, name: str, command: list[str]) -> None:
        if name not in self.running or self.running[name].poll() is not None:
            program = str(Path(sys.executable).with_name(command[0]))
            env = self.env if name == "head" else {**self.env, "RAY_ADDRESS": f"127.0.0.1:{CLUSTER}"}
            self.running[name] = subprocess.Popen([program, *command[1:]], env=env, stdout=sys.stderr, cwd="/")


def loopback_only() -> None:
    """A new network namespace has nothing but a loopback that is down; Ray looks for the address of the host's name."""
    socket.sethostname("localhost")
    with socket.socket() as anything:
        fcntl.ioctl(anything, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP_RUNNING))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(body: bytes, accept: str) -> Answer:
    """As the image's adapter hands requests on: content type, Accept, body."""
    with closing(http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)) as connection:
        connection.request("POST", "/", body, {"Content-Type": "application/json", "Accept": accept})
        answer = connection.getresponse()
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        return answer.status, kind, base64.b64encode(answer.read()).decode()


def main() -> None:
    questions = json.load(sys.stdin)
    loopback_only()
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # sockets' paths are short
        cluster, until = Cluster(Path(sys.argv[1]), folder), time.monotonic() + SECONDS
        while not cluster.serves():
            if time.monotonic() > until:
                sys.exit(f"Ray did not come up within {SECONDS:.0f} seconds")
            time.sleep(0.5)
        print(json.dumps([ask(base64.b64decode(body), accept) for body, accept in questions]), flush=True)
        for process in cluster.running.values():
            process.kill()


if __name__ == "__main__":
    main()
