"""Many requests, good and bad, to the server: is an answer lost or wrong, does its memory grow, does anything break it?

    python benchmarks/soaking.py --soak 200000 [--concurrency 32] --fuzz 10000

--soak: a ResNet18 at 32 px, random weights; every answer is compared with what it has to be, and memory is read after
each tenth: the first one is for warming up. --fuzz: mutated bodies; nothing may be a 5xx, and the process has to be the
same one at the end. Ends with exit code 1 where it is otherwise.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "servers"))

import numpy as np  # noqa: E402  # what is above says where our own modules lie
from load import request, run  # noqa: E402
from PIL import Image  # noqa: E402
from running import archive_of, ours  # noqa: E402

GROWTH = 5.0  # percent
WARM = 1000  # requests, after which memory counts


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--fuzz", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darkroom-soak-") as folder:
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}", flush=True)
        model = archive_of(Path(folder) / "32", 32, 10)
        failed = bool(args.soak) and soak(model, args.soak, args.concurrency)
        failed |= bool(args.fuzz) and fuzz(model, args.fuzz)
    sys.exit(failed)


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


def soak(model: Path, count: int, concurrency: int) -> bool:
    """Whether an answer was wrong or lost, or memory grew."""
    expected = mixed(model)
    wrong: Counter[str] = Counter()

    def check(which: int, status: int, answer: bytes) -> None:
        _, wanted, begin = expected[which]
        if status != wanted or not answer.startswith(begin):
            wrong[f"{status} for {wanted}: {answer[:80]!r}"] += 1

    messages = [message for message, _, _ in expected]
    with ours(model, model.with_name("soak.log"), DARKROOM_LOG="errors") as (port, pid):
        memory, found = [], []
        for _ in range(10):
            found.append(run(port, concurrency, messages, count // 10, check))
            memory.append(_memory(pid))
    answered, seconds = sum(sum(each.statuses.values()) for each in found), sum(each.seconds for each in found)
    statuses = dict(sorted(sum((each.statuses for each in found), Counter()).items()))
    print(
        f"{answered:,} answers at concurrency {concurrency} in {seconds:.0f} s ({answered / seconds:.0f}/s):", end=" "
    )
    print(f"{statuses}, wrong: {dict(wrong) or 'none'};", end=" ")
    print(f"MiB after each tenth: {' '.join(f'{each:.0f}' for each in memory)}", end=" ")
    growth = 100 * (max(memory) / memory[0] - 1)
    print(f"(growth {growth:+.1f} %)", flush=True)
    return bool(wrong) or answered != count // 10 * 10 or (count // 10 >= WARM and growth >= GROWTH)


def _memory(pid: int) -> float:
    """MiB that are the process's own."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private", "Anon"))) / 2 / 1024


def fuzz(model: Path, count: int) -> bool:
    """Whether an answer was a 5xx or held a traceback, or the server was another one in the end."""
    chance = random.Random(1)
    seeds = [message.partition(b"\r\n\r\n")[2] for message, _, _ in mixed(model)]
    messages = [request(mutated(chance, seeds), "image/png") for _ in range(count)]
    broken: list[bytes] = []

    def check(_: int, status: int, answer: bytes) -> None:
        if status >= 500 or b"Traceback" in answer:
            broken.append(answer)

    log = model.with_name("fuzz.log")
    with ours(model, log, DARKROOM_LOG="errors") as (port, pid):
        found = run(port, 8, messages, count, check)
        alive = Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"serve\0")
    statuses = dict(sorted(found.statuses.items()))
    print(f"{count:,} mutated bodies: {statuses}, 5xx or tracebacks: {broken or 'none'},", end=" ")
    print(f"same process at the end: {alive}, log: {log.read_text().count('Traceback')} tracebacks")
    return bool(broken) or not alive


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
