"""Training: train.py's own loop against torchvision's reference loop and Lightning's, and where its time goes.

    python benchmarks/training.py [--rounds 5] [--pictures 1280] [--lightning PYTHON] [--seconds 75]
                                  [--parts speed,waiting,operators,job]

PYTHON: an interpreter that has torch and torchvision as this one, and lightning; without it that row is left out.

speed      ResNet18, batch 128, random crops and mirror images, SGD; pictures in memory, made up here. In each round
           all loops, and the measurement of the machine's peak, run one after the other, each in a process of its own
           and with the same threads; of two epochs the second one counts. loops/ says what each does.
waiting    ResNet18 at 224 px, batch 32, from raw and from JPEG shards: the share of an epoch that the loop spends in
           its batches' iterator, with all that happens there.
operators  one epoch under torch's profiler, by groups.
job        train.py from the start of its process to the end, with the default 8 epochs, on so many pictures of 64 px
           that it takes SECONDS: what is neither training nor evaluation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(1, str(Path(__file__).resolve().parent / "loops"))

import drawn
import numpy as np
import torch
from pictures import split as write_split
from pictures_in_memory import CLASSES, DEVIATION, MEAN

HERE = Path(__file__).resolve().parent
ENTRYPOINTS = HERE.parent / "entrypoints"
EPOCHS = 8  # train.py's default
MARGIN = 4  # pixels on each side that a crop may move


class Case(NamedTuple):
    side: int
    threads: int
    batch: int = 128


class Peer(NamedTuple):
    name: str
    script: str
    python: str
    wanted: dict[Case, float]  # ours to it, from the issue


SMALL, LARGER = Case(32, 2), Case(64, 1)
WHOLE = Case(224, 2, 32)
JOB = Case(64, 2)
Figures = dict[str, Any]

SPEED = ("pictures", "threads", "loop", "precision", "pictures/s", "waiting", "ours to it (lowest to highest)")
SPEED = (*SPEED, "to reach")
LIMIT = ("pictures", "threads", "peak, GFLOP/s", "GFLOP a picture, as torch counts", "without the zeros around")
LIMIT = (*LIMIT, "pictures/s at most", "ours, share of it", "share without the zeros")


def main(argv: list[str] | None = None) -> None:
    args = parsed(argv)
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__},"
        f" ResNet18, n={args.rounds}, load {os.getloadavg()[0]:.2f}"
    )
    parts: dict[str, Callable[[argparse.Namespace], None]]
    parts = {"speed": speed, "waiting": waiting, "operators": operators, "job": job}
    for name in args.parts.split(","):
        parts[name](args)
    print(f"\nload at the end {os.getloadavg()[0]:.2f}")


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=1280)
    parser.add_argument("--lightning", default="", metavar="PYTHON")
    parser.add_argument("--seconds", type=float, default=75)
    parser.add_argument("--parts", default="speed,waiting,operators,job")
    return parser.parse_args(argv)


def speed(args: argparse.Namespace) -> None:
    peers = [Peer("torchvision's reference", "reference", sys.executable, {SMALL: 1.5, LARGER: 1.8})]
    if args.lightning:
        peers.append(Peer("Lightning, bfloat16", "lightning_loop", args.lightning, {SMALL: 1.2}))
    limits = []
    table(f"{args.pictures} pictures in memory, batch {SMALL.batch}", SPEED)
    for case in (SMALL, LARGER):
        contestants = [peer for peer in peers if case in peer.wanted]
        rounds = []
        with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
            in_memory(Path(folder), case.side, args.pictures)
            for _ in range(args.rounds):
                each = {peer.name: measured(peer.script, folder, case, peer.python) for peer in contestants}
                own = measured("own", folder, case)
                rounds.append({**each, "ours": own, "limit": limit(own["precision"], case)})
        for peer in contestants:
            ratios = [each["ours"]["speed"] / each[peer.name]["speed"] for each in rounds]
            row(*described(case, peer.name, rounds), spread(ratios), peer.wanted[case])
        row(*described(case, "ours", rounds), "", "waiting ≤ 3%")
        limits.append((case, rounds))
    table("What matrix products alone would allow", LIMIT)
    for case, rounds in limits:
        row(f"{case.side} px", case.threads, *shares(rounds))


def described(case: Case, name: str, rounds: list[dict[str, Figures]]) -> tuple[object, ...]:
    own = [each[name] for each in rounds]
    return (
        f"{case.side} px",
        case.threads,
        name,
        own[0]["precision"],
        f"{median(own, 'speed'):.0f}",
        f"{median(own, 'waiting'):.1%}",
    )


def shares(rounds: list[dict[str, Figures]]) -> tuple[str, ...]:
    """Of each round's own peak."""
    limits = [each["limit"] for each in rounds]
    whole, inside = (
        [each["ours"]["speed"] * each["limit"][key] / each["limit"]["peak"] for each in rounds]
        for key in ("picture", "inside")
    )
    peak, picture, rest = (median(limits, key) for key in ("peak", "picture", "inside"))
    return (
        f"{peak:.0f}",
        f"{picture:.3f}",
        f"{rest:.3f}",
        f"{peak / picture:.0f}",
        f"{statistics.median(whole):.0%}",
        f"{statistics.median(inside):.0%}",
    )


def waiting(args: argparse.Namespace) -> None:
    count = max(WHOLE.batch, args.pictures * 3 // 20 // WHOLE.batch * WHOLE.batch)
    title = f"{count} pictures of {WHOLE.side} px, batch {WHOLE.batch}, {WHOLE.threads} threads"
    table(title, ("shards", "pictures/s", "waiting (lowest to highest)", "to reach"))
    encodings = ("raw", "jpeg")
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        for encoding in encodings:
            form = drawn.Form(encoding, WHOLE.side, 256)
            for name, number in (("train", count), ("validation", WHOLE.batch)):
                drawn.split(Path(folder, encoding, name), form, number, CLASSES)
        rounds = [
            {name: measured("own", str(Path(folder, name)), WHOLE) for name in encodings} for _ in range(args.rounds)
        ]
    for encoding in encodings:
        own = [each[encoding] for each in rounds]
        row(encoding, f"{median(own, 'speed'):.1f}", spread([each["waiting"] for each in own], ".1%"), "3%")


def operators(args: argparse.Namespace) -> None:
    """One epoch of each case; the shares of the two gradients are oneDNN's."""
    found = {}
    for case in (SMALL, LARGER):
        with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
            in_memory(Path(folder), case.side, args.pictures)
            plain = measured("own", folder, case)
            output = run("operators", folder, case)
        recorded = last(output)
        groups = divided(recorded["groups"], output)
        scale = 1000 / recorded["pictures"]
        found[case] = {name: seconds * scale for name, seconds in groups.items()}
        print(
            f"\n{case.side} px, {case.threads} threads: {recorded['seconds'] * scale:.3f} ms a picture while recorded, "
            f"{1000 / plain['speed']:.3f} otherwise"
        )
    names = sorted(set().union(*found.values()), key=lambda name: -found[SMALL].get(name, 0))
    table(
        "Where an epoch goes", ("operators", *(head for c in found for head in (f"{c.side} px, ms a picture", "share")))
    )
    for name in names:
        pairs = [(own.get(name, 0.0), own.get(name, 0.0) / sum(own.values())) for own in found.values()]
        row(name, *(cell for own, share in pairs for cell in (f"{own:.3f}", f"{share:.1%}")))


def divided(groups: dict[str, float], output: str) -> dict[str, float]:
    """With the sum of both gradients as oneDNN's own times divide it."""
    parts = {"backward_weights": 0.0, "backward_data": 0.0}
    for line in output.splitlines():
        words = line.split(",")
        if line.startswith("onednn_verbose") and words[5:6] == ["convolution"] and words[7] in parts:
            parts[words[7]] += float(words[-1])
    both = groups.pop("both gradients of convolutions", 0.0)
    whole = sum(parts.values()) or 1.0
    names = {"backward_weights": "weight gradients of convolutions", "backward_data": "input gradients of convolutions"}
    return {**groups, **{names[part]: both * own / whole for part, own in parts.items()}}


def job(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        in_memory(Path(folder, "trial"), JOB.side, args.pictures)
        pace = measured("own", str(Path(folder, "trial")), JOB)["speed"]
        count = max(2, round(args.seconds * pace / EPOCHS / JOB.batch)) * JOB.batch
        in_memory(Path(folder, "job"), JOB.side, count, check=count // 5)
        jobs = [whole_job(Path(folder, "job")) for _ in range(args.rounds)]
    title = f"A whole job: {count} pictures of {JOB.side} px, {EPOCHS} epochs, {count // 5} pictures for validation"
    table(f"{title}, {JOB.threads} threads", ("part", "s", "share of the job"))
    for name in jobs[0]:
        share = statistics.median(each[name] / each["from start to end of the process"] for each in jobs)
        row(name, f"{median(jobs, name):.2f}", f"{share:.1%}")


def whole_job(folder: Path) -> dict[str, float]:
    options = [f"--train-dir={folder / 'train'}", f"--validation-dir={folder / 'validation'}", "--augment=flip"]
    options += [f"--model-dir={folder / 'model'}", f"--output-data-dir={folder / 'output'}"]
    command = [sys.executable, str(ENTRYPOINTS / "train.py"), *options, f"--batch_size={JOB.batch}"]
    began = time.perf_counter()
    subprocess.run(command, env=environment(JOB.threads), stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - began
    told = json.loads((folder / "output/report/training.json").read_text(encoding="utf-8"))["seconds"]
    evaluation = told["validation"] + told["temperature"]
    return {
        "training": told["training"],
        "evaluation on validation": told["validation"],
        "temperature: validation once more": told["temperature"],
        "model archive": told["saving"],
        "other work of train.py": told["others"],
        "starting Python, importing torch, ending": wall - told["total"],
        "**neither training nor evaluation** (to reach: 5%)": wall - told["training"] - evaluation,
        "from start to end of the process": wall,
    }


def in_memory(folder: Path, side: int, count: int, check: int = SMALL.batch) -> None:
    """Noise as pixels.npy for the others, and stored with its margin as shards for ours."""
    stored = side + 2 * MARGIN
    pixels = np.random.default_rng(0).integers(0, 256, (count, stored, stored, 3), dtype=np.uint8)
    folder.mkdir(exist_ok=True)
    np.save(folder / "pixels.npy", pixels[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
    for name, part in (("train", pixels), ("validation", pixels[:check])):
        labels = [index % CLASSES for index in range(len(part))]
        scales = {"mean": list(MEAN), "deviation": list(DEVIATION)}
        write_split(folder / name, part, labels, [str(label) for label in range(CLASSES)], image_size=side, **scales)


def measured(script: str, folder: str, case: Case, python: str = sys.executable) -> Figures:
    return last(run(script, folder, case, python))


def limit(precision: str, case: Case) -> Figures:
    command = [sys.executable, str(HERE / "loops" / "limit.py"), precision, str(case.side)]
    return last(output_of(command, case.threads))


def run(script: str, folder: str, case: Case, python: str = sys.executable) -> str:
    """In a process of its own, with the threads of the case."""
    command = [python, str(HERE / "loops" / f"{script}.py"), folder, str(case.side), str(case.batch)]
    return output_of(command, case.threads)


def output_of(command: list[str], threads: int) -> str:
    done = subprocess.run(command, env=environment(threads), stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def environment(threads: int) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "DARKROOM_"))}
    return {**own, "OMP_NUM_THREADS": str(threads)}


def last(output: str) -> Figures:
    """oneDNN's lines may come after our own."""
    figures: Figures = json.loads([line for line in output.splitlines() if line.startswith("{")][-1])
    return figures


def median(runs: Sequence[Figures], key: str) -> float:
    return statistics.median(each[key] for each in runs)


def spread(values: list[float], form: str = ".2f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def table(title: str, heads: tuple[str, ...]) -> None:
    print(f"\n{title}:\n")
    row(*heads)
    print("|---" * len(heads) + "|", flush=True)


def row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
