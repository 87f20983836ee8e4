"""The recorder: what a step of training costs with it, against the same step without.

    python benchmarks/recorder.py [--rounds 40] [--batches 64,128] [--threads 1,2] [--precision bfloat16]
                                  [--wall] [--smdebug]

ResNet18 at 32 px with convolutions.prepare, SGD, on pictures made up here; one process for each batch size and count of
threads. In each round all cases run one after the other, in an order that turns: a step without, a step that writes its
loss, a step that is recorded. What a step costs at an interval follows from the medians of what the other two take
more than the first in their round; ± is the standard error of that. CPU time of the process, as other work on the
machine does not count in it; --wall: the time that passes, for a quiet machine. --smdebug: a step as well in which
SageMaker Debugger's hook saves weights, gradients, inputs and outputs of ReLU and the loss, 100 MB a round on disk.
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
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "entrypoints"))

INTERVALS = (1, 6, 10, 100)
ASKED = {6: "1.03 (the shipped TrainModel's default)", 10: "1.15", 100: "1.03 (default of long jobs)"}
TIMES = ("data_wait", "transfer", "forward", "backward", "optimizer", "checkpoint", "logging", "evaluation", "other")


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batches", default="64,128")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--precision", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--wall", action="store_true")
    parser.add_argument("--smdebug", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # a batch size: measured in this process
    args = parser.parse_args()
    if args.one:
        measure(args.one, args)
        return
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, n={args.rounds}")
    print(f"{'wall' if args.wall else 'CPU'} time, {args.precision}, load {os.getloadavg()[0]:.2f}\n")
    print("| batch | threads | step | case | to the step without | to reach |\n|---|---|---|---|---|---|", flush=True)
    for batch in args.batches.split(","):
        for threads in args.threads.split(","):
            environment = {**os.environ, "OMP_NUM_THREADS": threads}
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--one", batch], env=environment, check=True)


def measure(batch: int, args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        cases = Steps(batch, args.precision, Path(folder), args.smdebug)
        clock = time.perf_counter if args.wall else time.process_time
        runs: dict[str, list[float]] = {name: [] for name in cases.kinds}
        names = list(cases.kinds)
        for turn in range(args.rounds + 3):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                began = clock()
                cases.kinds[name]()
                if turn >= 3:
                    runs[name].append(clock() - began)
    tell(batch, runs)


def tell(batch: int, runs: dict[str, list[float]]) -> None:
    start = f"| {batch} | {os.environ['OMP_NUM_THREADS']} | {1000 * statistics.median(runs['plain']):.1f} ms |"
    added = {name: f"({1000 * surplus(runs['plain'], times):+.2f} ms)" for name, times in runs.items()}
    print(f"{start} losses only {added['losses']} | {ratio(runs, 'recorded', 0)} | |")
    for every in INTERVALS:
        case = f"{start} every {every} {added['recorded']}"
        print(f"{case} | {ratio(runs, 'recorded', 1 / every)} | {ASKED.get(every, '')} |")
    for every in INTERVALS[2:] if "saved" in runs else ():
        print(f"{start} smdebug, every {every} {added['saved']} | {ratio(runs, 'saved', 1 / every)} | |")
    sys.stdout.flush()


def ratio(runs: dict[str, list[float]], kind: str, share: float) -> str:
    """To the step without, where this share of the steps is of that kind; its standard error by drawing rounds anew."""
    rounds, random = range(len(runs["plain"])), Random(0)
    drawn = [cost(runs, kind, share, random.choices(rounds, k=len(rounds))) for _ in range(400)]
    return f"{cost(runs, kind, share, rounds):.4f} ± {statistics.stdev(drawn):.4f}"


def cost(runs: dict[str, list[float]], kind: str, share: float, rounds: Sequence[int]) -> float:
    """The other steps write their losses, unless smdebug saves tensors: then we record nothing."""
    plain, others, those = ([runs[name][number] for number in rounds] for name in ("plain", "losses", kind))
    rest = surplus(plain, others) if kind == "recorded" else 0.0
    return 1 + (rest * (1 - share) + surplus(plain, those) * share) / statistics.median(plain)


def surplus(plain: list[float], other: list[float]) -> float:
    """Within each round, so that a machine that grows slower does not show."""
    return statistics.median(late - early for early, late in zip(plain, other, strict=True))


class Steps:
    def __init__(self, batch: int, precision: str, folder: Path, smdebug: bool) -> None:
        import torch
        from health.recording.recorder import Recorder
        from torchvision.models import resnet18
        from training import convolutions, machine

        machine.keep_memory()
        torch.manual_seed(0)
        device = torch.device("cpu")
        self.network = resnet18(num_classes=10).to(memory_format=torch.channels_last)
        convolutions.prepare(self.network, device)
        self.optimizer = torch.optim.SGD(self.network.parameters(), 1e-3, 0.9, weight_decay=5e-4, fused=True)
        self.pictures = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 10, (batch,))
        self.autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
        self.recorders = {every: Recorder(folder / str(every), self.network, 10, every) for every in (0, 1)}
        self.done = 0
        self.kinds: dict[str, Callable[[], None]] = {
            "plain": self.plain, "losses": lambda: self.recorded(0), "recorded": lambda: self.recorded(1)
        }  # fmt: skip
        if smdebug:
            self.debugger = registered(self.network, folder)
            self.kinds["saved"] = self.saved

    def plain(self) -> None:
        from torch.nn import functional as F

        with self.autocast:
            scores = self.network(self.pictures)
        F.cross_entropy(scores.float(), self.labels).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def recorded(self, every: int) -> None:
        """train.py's lines of it, in the same step."""
        from torch.nn import functional as F

        recorder = self.recorders[every]
        self.done += 1
        recorder.begins(self.done)
        with self.autocast:
            scores = self.network(self.pictures)
        loss = F.cross_entropy(scores.float(), self.labels)
        loss.backward()
        recorder.shown(self.labels)
        recorder.gradients()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        recorder.stepped()
        recorder.step(1, loss, 1e-3, len(self.labels), dict.fromkeys(TIMES, 0.01))

    def saved(self) -> None:
        """Everything that the hook is asked for, in this step."""
        import torch
        from torch.nn import functional as F

        self.done += 1
        self.debugger.begins(self.done)
        with self.autocast:
            scores = self.network(self.pictures)
        loss = F.cross_entropy(scores.float(), self.labels)
        loss.backward()
        self.debugger.gradients(torch.amp.GradScaler("cpu", enabled=False))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.debugger.stepped(loss, 1e-3)


def registered(network: Any, folder: Path) -> Any:
    """SageMaker Debugger's hook, which saves at each step; it has proved that it can."""
    from health.debugger import hook
    from health.rules.scaling import Job

    names = ("weights", "biases", "gradients", "losses", "relu_input", "relu_output")
    rows = [
        {"CollectionName": name, "CollectionParameters": {"include_regex": f".*{name}"} if "relu" in name else {}}
        for name in names
    ]
    body = {"LocalPath": str(folder / "tensors"), "HookParameters": {"save_interval": "1"}}
    config = folder / "debughookconfig.json"
    config.write_text(json.dumps({"S3OutputPath": "s3://bucket/debug", **body, "CollectionConfigurations": rows}))
    found = hook.registered({hook.VARIABLE: str(config)}, folder, network, Job(1000, 1, 1, 10, 1000), 0, (0, 0))
    if found.saver is None:
        raise SystemExit(f"smdebug saves nothing: {(folder / hook.FILE).read_text()}")
    return found


if __name__ == "__main__":
    main()
