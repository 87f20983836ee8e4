"""A network as torch has it beside those that the server makes of it: CPU milliseconds a picture.

    python benchmarks/rewritten.py [--side 224] [--rounds 9]

ResNet18 with random weights, passes over one picture and over four by one thread, over one by two. The weights of the
rewritten networks (entrypoints/serving/networks.py) are ordered for passes of one thread over four pictures, as a busy
server has them, and of two threads over one, as a lone request has them. CPU time of the whole process, least of the
rounds, the cases in turns: what else the machine does counts little, threads that wait for each other count as work.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from servers.running import archive_of
from torch import Tensor, nn

PASSES = ((1, 1), (1, 4), (2, 1))  # threads, pictures


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    pictures = torch.randn(4, args.side, args.side, 3).permute(0, 3, 1, 2)
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        found = dict(networks(archive_of(Path(folder) / "model", args.side, 133), pictures))
    cases = {(name, threads, count): network for name, network in found.items() for threads, count in PASSES}
    took: dict[tuple[str, int, int], list[float]] = {case: [] for case in cases}
    with torch.inference_mode():
        for _ in range(args.rounds + 1):  # the first is slower
            for case, network in cases.items():
                took[case].append(seconds(network, case[1], pictures[: case[2]]))
    print(f"{platform.platform()}, {os.cpu_count()} cores, torch {torch.__version__}, load {os.getloadavg()[0]:.2f}\n")
    print("| network |" + "".join(f" {threads} thread{'s' * (threads > 1)}, batch of {n} |" for threads, n in PASSES))
    print("|---" * (len(PASSES) + 1) + "|")
    for name in found:
        least = (1000 * min(took[name, threads, count][1:]) / count for threads, count in PASSES)
        print(f"| {name} |" + "".join(f" {each:.1f} |" for each in least))


def networks(model: Path, pictures: Tensor) -> Iterator[tuple[str, nn.Module]]:
    import inference
    from serving import onednn

    network = inference.model_fn(model).network
    yield "as torch has it", network
    for threads, count in ((1, 4), (2, 1)):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            said = f"rewritten, ordered for {threads} thread{'s' * (threads > 1)} and a batch of {count}"
            yield said, onednn.rewritten(network, pictures[:count])


def seconds(network: nn.Module, threads: int, pictures: Tensor) -> float:
    torch.set_num_threads(threads)
    began = time.process_time()
    network(pictures)
    return time.process_time() - began


if __name__ == "__main__":
    main()
