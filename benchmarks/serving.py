"""The server beside TorchServe under AWS's toolkit and beside LitServe: the same archive, requests and cores.

    python benchmarks/serving.py [--peers PYTHON] [--rounds 10] [--count 80]

ResNet18 at 224 px with random weights, JPEGs of 500 x 375. In each round every server answers COUNT requests at
concurrency 8, and a quarter of them at concurrency 1, one server after the other, in an order that turns; `direct`
calls the handlers without a server. Our server runs a second time with DARKROOM_NETWORK=plain: what that takes more CPU
time is the gain of serving/onednn.py. Then CIFAR-size arrays at 32 px at concurrency 1, of which a request's time
beyond that of the handlers counts. Of the peers several arrangements run: the best one is who counts. PYTHON is an
environment with litserve, torchserve, sagemaker-inference and sagemaker-pytorch-inference beside torch; TorchServe
needs java.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from servers.load import Load
from servers.running import archive_of, free_ports, ours, process, until_answered

SERVERS = Path(__file__).resolve().parent / "servers"
HANDLER = "sagemaker_pytorch_serving_container.handler_service:handle"
TORCHSERVE = """\
inference_address=http://127.0.0.1:{0}
management_address=http://127.0.0.1:{1}
metrics_address=http://127.0.0.1:{2}
grpc_inference_port={3}
grpc_management_port={4}
default_service_handler={5}
decode_input_request=false
disable_token_authorization=true
enable_model_api=true
load_models=ALL
"""


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--peers", help="a Python with litserve, torchserve and AWS's toolkit")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--count", type=int, default=80)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()},", end=" ")
        print(f"torch {torch.__version__}, load {os.getloadavg()[0]:.2f}\n", flush=True)
        compare(Path(folder), args)


def photos(folder: Path, count: int) -> list[Path]:
    """Smooth colours with some noise: files of about 60 kB, as photographs of that size have."""
    chance = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = Image.fromarray(chance.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), dtype=np.int16)
        pixels = np.clip(smooth + chance.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(pixels).save(paths[-1], quality=90)
    return paths


@contextlib.contextmanager
def litserve(python: str, model: Path, log: Path, batch: int, workers: int) -> Iterator[tuple[int, int]]:
    """Several workers share the processors, as its documentation advises for CPUs: a thread for each."""
    (port,) = free_ports(1)
    threads = {"OMP_NUM_THREADS": "1"} if workers > 1 else {}
    command = [python, str(SERVERS / "lit.py"), *map(str, (model, port, batch, workers))]
    with process(command, log, **threads) as started:
        until_answered(port, started, log)
        yield port, started.pid


@contextlib.contextmanager
def torchserve(python: str, model: Path, log: Path, threads: str) -> Iterator[tuple[int, int]]:
    """As AWS's toolkit starts it: its handler service, the archive as the model, a worker for each processor."""
    ports = free_ports(5)
    place = log.parent / f"torchserve-{threads}"
    shutil.copytree(model, place / "model")
    (place / "ts.properties").write_text(TORCHSERVE.format(*ports, HANDLER))
    told = {"PYTHONPATH": str(place / "model/code"), "SM_MODEL_DIR": str(place / "model"), "OMP_NUM_THREADS": threads}
    told |= {"SAGEMAKER_PROGRAM": "inference.py", "TEMP": str(place), "LOG_LOCATION": str(place)}
    told |= {"PATH": f"{Path(python).parent}:{os.environ['PATH']}", "METRICS_LOCATION": str(place)}
    command = [str(Path(python).with_name("torchserve")), "--start", "--foreground", "--disable-token-auth"]
    command += ["--model-store", str(place), "--ts-config", str(place / "ts.properties")]
    command += ["--models", f"model={place / 'model'}"]
    with process(command, log, **told) as started:
        until_answered(ports[0], started, log)
        yield ports[0], started.pid


def cpu_seconds(session: int) -> float:
    """Of all living processes that a server consists of: where other work takes turns on the cores, this counts."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12]) if int(fields[3]) == session else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def load(port: int, concurrency: int, count: int, bodies: list[Path]) -> Load:
    """By a process of its own, so that measuring takes nothing from this one."""
    command = [sys.executable, str(SERVERS / "load.py"), str(port), str(concurrency), str(count), *map(str, bodies)]
    found = Load(**json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
    assert set(found.statuses) == {"200"}, found.statuses
    return found


Timed = Callable[[int], list[float]]


@contextlib.contextmanager
def direct(model: Path, bodies: list[Path]) -> Iterator[Timed]:
    """Answers so many requests, and says how long each took."""
    command = [sys.executable, str(SERVERS / "direct.py"), str(model), *map(str, bodies)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdin and started.stdout

        def answered(count: int) -> list[float]:
            print(count, file=started.stdin, flush=True)
            assert started.stdout
            return list(json.loads(started.stdout.readline()))

        answered(5)  # the first ones are slower
        yield answered


def one_by_one(port: int, bodies: list[Path]) -> Timed:
    return lambda count: load(port, 1, count, bodies).times


def servers(stack: contextlib.ExitStack, folder: Path, model: Path, peers: str | None) -> dict[str, tuple[int, int]]:
    """Port and session of each."""
    found = {"darkroom": stack.enter_context(ours(model, folder / "darkroom.log"))}
    plain = ours(model, folder / "plain.log", DARKROOM_NETWORK="plain")
    found["darkroom, the network as torch has it"] = stack.enter_context(plain)
    if not peers:
        return found
    cores = os.cpu_count() or 1
    for batch, workers in ((1, 1), (8, 1), (1, cores)):
        name = f"LitServe, {workers} worker{'s' * (workers > 1)}, batches of {batch}"
        log = folder / f"lit{batch}-{workers}.log"
        found[name] = stack.enter_context(litserve(peers, model, log, batch, workers))
    for threads in ("1", str(cores)):
        name = f"TorchServe, {cores} workers, {threads} thread{'s' * (threads != '1')} each"
        found[name] = stack.enter_context(torchserve(peers, model, folder / f"ts{threads}.log", threads))
    return found


def compare(folder: Path, args: argparse.Namespace) -> None:
    model, bodies = archive_of(folder / "224", 224, 133), photos(folder, 8)
    alone: dict[str, list[list[float]]] = {}
    crowd: dict[str, list[tuple[Load, float]]] = {}
    with contextlib.ExitStack() as stack:
        asked = {"direct": stack.enter_context(direct(model, bodies))}
        running = servers(stack, folder, model, args.peers)
        asked |= {name: one_by_one(port, bodies) for name, (port, _) in running.items()}
        for port, _ in running.values():
            load(port, 8, 16, bodies)
        for number in range(args.rounds):
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
            for name in turned(list(asked), number):
                alone.setdefault(name, []).append(asked[name](args.count // 4))
            for name in turned(list(running), number):
                port, session = running[name]
                before = cpu_seconds(session)
                found = load(port, 8, args.count, bodies)
                crowd.setdefault(name, []).append((found, cpu_seconds(session) - before))
    _print_comparison(alone, crowd, args)
    _print_overhead(folder, args)


def turned(names: list[str], number: int) -> list[str]:
    at = number % len(names)
    return names[at:] + names[:at]


def _print_comparison(
    alone: dict[str, list[list[float]]], crowd: dict[str, list[tuple[Load, float]]], args: argparse.Namespace
) -> None:
    """Rates are of all requests over all seconds; in brackets the lowest and the highest round."""
    middles = {name: 1000 * statistics.median(sum(rounds, [])) for name, rounds in alone.items()}
    spans = {name: [found.seconds for found, _ in rounds] for name, rounds in crowd.items()}
    print("| server | ms at concurrency 1 | to direct | requests/s at 8 | darkroom to it | p50, p99 ms at 8 |", end="")
    print(" p99 / p50 | CPU ms a request |\n|---|---|---|---|---|---|---|---|")
    for name, middle in middles.items():
        row = f"| {name} | {middle:.1f} | {middle / middles['direct']:.2f} |"
        if name not in crowd:
            print(row + " | | | | |")
            continue
        each = [theirs / our for theirs, our in zip(spans[name], spans["darkroom"], strict=True)]
        ratio = sum(spans[name]) / sum(spans["darkroom"])
        row += f" {args.rounds * args.count / sum(spans[name]):.1f} |"
        row += f" {ratio:.2f} ({min(each):.2f} to {max(each):.2f}) |"
        times = sorted(1000 * second for found, _ in crowd[name] for second in found.times)
        p50, p99 = (times[int(len(times) * share)] for share in (0.5, 0.99))
        cpu = 1000 * sum(seconds for _, seconds in crowd[name]) / args.count / args.rounds
        print(row + f" {p50:.0f}, {p99:.0f} | {p99 / p50:.2f} | {cpu:.0f} |")
    print(
        f"\n{args.rounds} rounds of {args.count} and {args.count // 4}, load after: {os.getloadavg()[0]:.2f}\n",
        flush=True,
    )


def _print_overhead(folder: Path, args: argparse.Namespace) -> None:
    model, body = archive_of(folder / "32", 32, 10), folder / "cifar.npy"
    np.save(body, np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8))
    times: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        asked = {"direct": stack.enter_context(direct(model, [body]))}
        port, _ = stack.enter_context(ours(model, folder / "small.log"))
        asked["darkroom"] = one_by_one(port, [body])
        for number in range(3 * args.rounds):
            for name in turned(list(asked), number):
                times.setdefault(name, []).extend(asked[name](args.count))
    served, alone = (1000 * statistics.median(times[name]) for name in ("darkroom", "direct"))
    print(f"CIFAR-size arrays at concurrency 1 (n = {len(times['direct'])}): {served:.2f} ms,", end=" ")
    print(f"direct {alone:.2f} ms, overhead {served - alone:.2f} ms")


if __name__ == "__main__":
    main()
