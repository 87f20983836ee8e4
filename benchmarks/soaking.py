"""Many requests, good and bad, to the server: is an answer lost or wrong, does its memory grow, does anything break it?

    python benchmarks/soaking.py --soak 200000 [--concurrency 32] --fuzz 10000

--soak: a ResNet18 at 32 px, random weights; classes and probabilities of every answer are compared with the handlers'
own, and memory is read after each tenth: the first one is for warming up. --fuzz: mutated bodies; nothing may be a 5xx,
and the process has to be the same one at the end. Ends with exit code 1 where it is otherwise, and where the server's
log has a traceback.
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

import numpy as np
from PIL import Image
from servers.judging import Expected, is_right, private_mib, tracebacks
from servers.load import request, run
from servers.running import archive_of, ours

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


def mixed(model: Path) -> list[tuple[bytes, Expected]]:
    """Messages, and what their answers have to be."""
    import inference

    predictor = inference.model_fn(model)
    good, answers = [], []
    for seed in range(24):
        body = encoded(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8), seed % 3)
        predictions = inference.predict_fn(body, predictor)
        chances = dict(zip(predictor.classes, predictions.rows[0].tolist(), strict=True))
        good.append((body, Expected(200, chances)))
        answers.append(inference.output_fn(predictions)[0])
    passed = [sum(is_right(answer, 200, expected) for answer in answers) for _, expected in good]
    assert passed == [1] * len(good), "an answer would pass for another one's"
    bad = {b"": 400, b"hello": 415, b"[[[1, 2": 400, b"\xff\xd8\xff": 400, b"[" * 9000: 400, b"PK\x05\x06": 400}
    bodies = good + [(body, Expected(status)) for body, status in bad.items()]
    random.Random(0).shuffle(bodies)
    return [(request(body, "x/y"), expected) for body, expected in bodies]


def encoded(pixels: np.ndarray, form: int) -> bytes:
    file = io.BytesIO()
    match form:
        case 0:
            np.save(file, pixels)
        case 1:
            Image.fromarray(pixels).save(file, "PNG")
        case _:
            file.write(json.dumps(pixels.transpose(2, 0, 1).tolist()).encode())
    return file.getvalue()


def soak(model: Path, count: int, concurrency: int) -> bool:
    """Whether an answer was wrong or lost, memory grew, or the log has a traceback."""
    expected = mixed(model)
    wrong: Counter[str] = Counter()

    def check(which: int, status: int, answer: bytes) -> None:
        wanted = expected[which][1]
        if not is_right(answer, status, wanted):
            wrong[f"{status} for {wanted.status}: {answer[:80]!r}"] += 1

    messages, log = [message for message, _ in expected], model.with_name("soak.log")
    with ours(model, log, DARKROOM_LOG="errors") as (port, pid):
        memory, found = [], []
        for _ in range(10):
            found.append(run(port, concurrency, messages, count // 10, check))
            memory.append(private_mib(Path(f"/proc/{pid}/smaps_rollup").read_text()))
    answered, seconds = sum(sum(each.statuses.values()) for each in found), sum(each.seconds for each in found)
    statuses = dict(sorted(sum((each.statuses for each in found), Counter()).items()))
    growth, failed = 100 * (max(memory) / memory[0] - 1), tracebacks(log.read_text())
    print(
        f"{answered:,} answers at concurrency {concurrency} in {seconds:.0f} s ({answered / seconds:.0f}/s):", end=" "
    )
    print(f"{statuses}, wrong: {dict(wrong) or 'none'}, log: {failed} tracebacks;", end=" ")
    print(f"MiB after each tenth: {' '.join(f'{each:.0f}' for each in memory)} (growth {growth:+.1f} %)", flush=True)
    grown = count // 10 >= WARM and growth >= GROWTH
    return bool(wrong or failed or grown) or answered != count // 10 * 10


def fuzz(model: Path, count: int) -> bool:
    """Whether an answer was a 5xx, it or the log held a traceback, or the server was another one in the end."""
    chance = random.Random(1)
    seeds = [message.partition(b"\r\n\r\n")[2] for message, _ in mixed(model)]
    messages = [request(mutated(chance, seeds), "image/png") for _ in range(count)]
    broken: list[bytes] = []

    def check(_: int, status: int, answer: bytes) -> None:
        if status >= 500 or b"Traceback" in answer:
            broken.append(answer)

    log = model.with_name("fuzz.log")
    with ours(model, log, DARKROOM_LOG="errors") as (port, pid):
        found = run(port, 8, messages, count, check)
        alive = Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"serve\0")
    statuses, failed = dict(sorted(found.statuses.items())), tracebacks(log.read_text())
    print(f"{count:,} mutated bodies: {statuses}, 5xx or tracebacks: {broken or 'none'},", end=" ")
    print(f"same process at the end: {alive}, log: {failed} tracebacks")
    return bool(broken or failed) or not alive


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
