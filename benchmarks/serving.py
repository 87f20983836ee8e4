"""The server beside TorchServe under AWS's toolkit and beside LitServe: the same archive, requests and cores.

    python benchmarks/serving.py [--peers PYTHON] [--rounds 5] [--count 200]
    python benchmarks/serving.py --soak 200000 [--concurrency 32]
    python benchmarks/serving.py --fuzz 10000

ResNet18 at 224 px with random weights, JPEGs of 500 x 375. In each round every server answers COUNT requests at
concurrency 8, and a quarter of them at concurrency 1, one server after the other, in an order that turns; `direct`
calls the handlers without a server. Then CIFAR-size arrays at 32 px at concurrency 1, of which a request's time beyond
that of the handlers counts. PYTHON is an environment with litserve, torchserve, sagemaker-inference and
sagemaker-pytorch-inference beside torch; TorchServe needs java.

--soak: a 32 px model, good and bad requests mixed; every answer is compared with what it has to be, and memory is read
all along. --fuzz: mutated bodies; nothing may be a 5xx, and the process has to be the same one at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SERVERS = ROOT / "benchmarks/servers"
sys.path[:0] = [str(ROOT / "entrypoints"), str(SERVERS)]

import numpy as np  # noqa: E402  # what is above says where our own modules lie
import torch  # noqa: E402
from load import exchange, request, run  # noqa: E402
from PIL import Image  # noqa: E402

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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--fuzz", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()},", end=" ")
        print(f"torch {torch.__version__}, load {os.getloadavg()[0]:.2f}\n", flush=True)
        if args.soak:
            soak(Path(folder), args.soak, args.concurrency)
        elif args.fuzz:
            fuzz(Path(folder), args.fuzz)
        else:
            compare(Path(folder), args)


def archive_of(folder: Path, side: int, classes: int) -> Path:
    """As train.py leaves it, but for what the weights have learnt."""
    import archive
    import model
    from training import packing

    torch.manual_seed(0)
    folder.mkdir()
    model.save_weights(model.build("resnet18", classes), folder / archive.WEIGHTS)
    card = {
        "format": archive.FORMAT,
        "architecture": {"name": "resnet18", "stem": "torchvision", "num_classes": classes},
        "classes": [f"class_{number:03d}" for number in range(classes)],
        "preprocessing": {
            "image_size": side,
            "stored_size": side * 8 // 7,
            "square": "crop",
            "mean": [0.485, 0.456, 0.406],
            "deviation": [0.229, 0.224, 0.225],
        },
        "weights": {"file": archive.WEIGHTS, "sha256": archive.sha256(folder / archive.WEIGHTS)},
    }
    (folder / archive.CARD).write_text(json.dumps(card))
    packing.copy_code(folder)
    return folder


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


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def process(command: list[str], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        started = subprocess.Popen(
            command, env={**os.environ, **variables}, stdout=file, stderr=file, start_new_session=True, cwd=log.parent
        )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, 15)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, 9)


@contextlib.contextmanager
def ours(model: Path, log: Path, **variables: str) -> Iterator[tuple[int, int]]:
    """Port and process id of the archive's own program."""
    (port,) = free_ports(1)
    told = {"SM_MODEL_DIR": str(model), "DARKROOM_BIND": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": str(port), **variables}
    with process([sys.executable, str(model / "code/serve.py"), "serve"], log, **told) as started:
        _until_answered(port, started, log)
        yield port, started.pid


@contextlib.contextmanager
def litserve(python: str, model: Path, log: Path, batch: int) -> Iterator[tuple[int, int]]:
    (port,) = free_ports(1)
    with process([python, str(SERVERS / "lit.py"), str(model), str(port), str(batch)], log) as started:
        _until_answered(port, started, log)
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
        _until_answered(ports[0], started, log)
        yield ports[0], started.pid


def _until_answered(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    pixels = io.BytesIO()
    np.save(pixels, np.zeros((32, 32, 3), np.uint8))
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", pixels.getvalue())
    asked.add_header("Content-Type", "application/x-npy")
    end = time.monotonic() + 300
    while time.monotonic() < end and started.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=60):
            return
        time.sleep(0.3)
    sys.exit(f"{log.name} does not answer:\n{log.read_text(errors='replace')[-3000:]}")


def cpu_seconds(session: int) -> float:
    """Of all living processes that a server consists of: where other work takes turns on the cores, this counts."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12]) if int(fields[3]) == session else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def load(port: int, concurrency: int, count: int, bodies: list[Path]) -> dict[str, Any]:
    """By a process of its own, so that measuring takes nothing from this one."""
    command = [sys.executable, str(SERVERS / "load.py"), str(port), str(concurrency), str(count), *map(str, bodies)]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    assert set(found["statuses"]) == {"200"}, found["statuses"]
    return found


def direct(model: Path, count: int, bodies: list[Path]) -> list[float]:
    command = [sys.executable, str(SERVERS / "direct.py"), str(model), str(count), *map(str, bodies)]
    return list(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["times"])


def compare(folder: Path, args: argparse.Namespace) -> None:
    model, bodies = archive_of(folder / "224", 224, 133), photos(folder, 8)
    alone: dict[str, list[float]] = {}
    crowd: dict[str, list[dict[str, Any]]] = {}
    with contextlib.ExitStack() as stack:
        ports = {"darkroom": stack.enter_context(ours(model, folder / "darkroom.log"))}
        if args.peers:
            for batch in (1, 8):
                log = folder / f"lit{batch}.log"
                ports[f"LitServe, batches of {batch}"] = stack.enter_context(litserve(args.peers, model, log, batch))
            for threads in ("1", str(os.cpu_count())):
                name = f"TorchServe, {threads} thread{'s' * (threads != '1')} a worker"
                log = folder / f"ts{threads}.log"
                ports[name] = stack.enter_context(torchserve(args.peers, model, log, threads))
        names = list(ports)
        for name in names:
            load(ports[name][0], 2, 10, bodies)
        for number in range(args.rounds):
            alone.setdefault("direct", []).extend(direct(model, args.count // 4, bodies))
            for name in names[number % len(names) :] + names[: number % len(names)]:
                port, pid = ports[name]
                alone.setdefault(name, []).extend(load(port, 1, args.count // 4, bodies)["times"])
                before = cpu_seconds(pid)
                crowd.setdefault(name, []).append(load(port, 8, args.count, bodies))
                crowd[name][-1]["cpu"] = cpu_seconds(pid) - before
    _print_comparison(alone, crowd, args)
    _print_overhead(folder, args)


def _print_comparison(alone: dict[str, list[float]], crowd: dict[str, list[dict[str, Any]]], args: Any) -> None:
    rates = {name: statistics.median(args.count / each["seconds"] for each in found) for name, found in crowd.items()}
    print("| server | ms at concurrency 1 | to direct | requests/s at 8 | darkroom to it | p50, p99 ms at 8 |", end="")
    print(" p99 / p50 | CPU ms a request |\n|---|---|---|---|---|---|---|---|")
    for name, times in alone.items():
        middle = 1000 * statistics.median(times)
        ratio = middle / 1000 / statistics.median(alone["direct"])
        row = f"| {name} | {middle:.1f} | {ratio:.2f} |"
        if name in crowd:
            all_times = sorted(1000 * each for found in crowd[name] for each in found["times"])
            p50, p99 = (all_times[int(len(all_times) * share)] for share in (0.5, 0.99))
            row += f" {rates[name]:.1f} | {rates['darkroom'] / rates[name]:.2f} | {p50:.0f}, {p99:.0f} |"
            cpu = 1000 * statistics.median(each["cpu"] for each in crowd[name]) / args.count
            row += f" {p99 / p50:.2f} | {cpu:.0f} |"
        print(row)
    print(f"\nn = {args.rounds} rounds of {args.count} and {args.count // 4}, load after: {os.getloadavg()[0]:.2f}\n")


def _print_overhead(folder: Path, args: argparse.Namespace) -> None:
    model = archive_of(folder / "32", 32, 10)
    body = folder / "cifar.npy"
    np.save(body, np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8))
    with ours(model, folder / "small.log") as (port, _):
        served, bare = [], []
        for _ in range(args.rounds):
            bare += direct(model, args.count, [body])
            served += load(port, 1, args.count, [body])["times"]
    over = 1000 * (statistics.median(served) - statistics.median(bare))
    print(f"CIFAR-size arrays at concurrency 1: {1000 * statistics.median(served):.2f} ms, handlers alone", end=" ")
    print(f"{1000 * statistics.median(bare):.2f} ms, overhead {over:.2f} ms (n = {len(served)})")


def mixed(model: Path) -> list[tuple[bytes, int, bytes]]:
    """Messages, their status, and what the answer has to be: exactly, or for bad ones how it begins."""
    import inference

    predictor = inference.model_fn(model)
    found = []
    for seed in range(24):
        file = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        match seed % 3:
            case 0:
                np.save(file, pixels)
            case 1:
                Image.fromarray(pixels).save(file, "PNG")
            case _:
                file.write(json.dumps(pixels.transpose(2, 0, 1).tolist()).encode())
        best = inference.predict_fn(file.getvalue(), predictor).rows.argmax()
        name = json.dumps({"class": predictor.classes[best]})[:-1].encode()
        found.append((request(file.getvalue(), "x/y"), 200, b'{"predictions": [' + name))
    bad = {b"": 400, b"hello": 415, b"[[[1, 2": 400, b"\xff\xd8\xff": 400, b"[" * 9000: 400, b"PK\x05\x06": 400}
    found += [(request(body, "x/y"), status, b'{"error": "') for body, status in bad.items()]
    random.Random(0).shuffle(found)
    return found


def soak(folder: Path, count: int, concurrency: int) -> None:
    model = archive_of(folder / "32", 32, 10)
    expected = mixed(model)
    wrong: Counter[str] = Counter()

    def check(which: int, status: int, answer: bytes) -> None:
        _, wanted, begin = expected[which]
        if status != wanted or not answer.startswith(begin):
            wrong[f"{status} for {wanted}: {answer[:80]!r}"] += 1

    messages = [message for message, _, _ in expected]
    with ours(model, folder / "log", DARKROOM_LOG="errors") as (port, pid):
        warm = asyncio.run(run(port, concurrency, messages, max(count // 10, 1000), check))
        memory, seconds, answered = [_memory(pid)], warm["seconds"], sum(warm["statuses"].values())
        for _ in range(9):
            found = asyncio.run(run(port, concurrency, messages, count // 10, check))
            answered, seconds = answered + sum(found["statuses"].values()), seconds + found["seconds"]
            memory.append(_memory(pid))
    growth = 100 * (max(memory) / memory[0] - 1)
    print(
        f"{answered:,} answers at concurrency {concurrency} in {seconds:.0f} s ({answered / seconds:.0f}/s),", end=" "
    )
    print(
        f"wrong: {dict(wrong) or 'none'}; MiB after each tenth: {' '.join(f'{each:.0f}' for each in memory)}", end=" "
    )
    print(f"(growth {growth:+.1f} %)")


def _memory(pid: int) -> float:
    """MiB that are the process's own."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private", "Anon"))) / 2 / 1024


def fuzz(folder: Path, count: int) -> None:
    model = archive_of(folder / "32", 32, 10)
    chance = random.Random(1)
    seeds = [message.partition(b"\r\n\r\n")[2] for message, _, _ in mixed(model)]
    statuses: Counter[int] = Counter()

    async def all_of_them(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            status, answer = await exchange(reader, writer, request(mutated(chance, seeds), "image/png"))
            statuses[status] += 1
            if status >= 500 or b"Traceback" in answer:
                sys.exit(f"{status}: {answer!r}")
        writer.close()

    with ours(model, folder / "log", DARKROOM_LOG="errors") as (port, pid):
        asyncio.run(all_of_them(port))
        alive = Path(f"/proc/{pid}").exists()
    print(f"{count:,} mutated bodies: {dict(sorted(statuses.items()))}, same process at the end: {alive}")


def mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    """Bytes set, cut out or put in, two bodies glued, or nothing but noise."""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(300))
    body = bytearray(chance.choice(seeds))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(body) + 1) if chance.random() < 0.5 else chance.randrange(min(len(body), 80) + 1)
        match chance.randrange(4):
            case 0:
                body[at : at + 1] = chance.randbytes(1)
            case 1:
                del body[at : at + chance.randrange(60)]
            case 2:
                body[at:at] = chance.randbytes(chance.randrange(20))
            case _:
                body[at:] = chance.choice(seeds)[at:]
    return bytes(body)


if __name__ == "__main__":
    main()
