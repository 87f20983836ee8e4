"""A batch transform beside the bare network: pictures a second, one after the other, in an order that turns.

    python benchmarks/transform.py [--rounds 5] [--objects 48] [--pictures 16] [--side 224] [--concurrent 4]

ResNet18 with random weights; each object is an .npy array of PICTURES pictures of SIDE px, below S3's folders on this
machine. `bare` is the archive's network in this process as torch has it, with all cores, on tensors that lie ready in
the order that the server gives it (channels last), at the best of several batch sizes. The transform is
CreateTransformJob of the local service with the archive's own server; its time is that from the line of the server's
log that says ready to the last answer: loading the model does not count, the first requests' way and the last ones' do,
so that with few objects it looks slower than it is, and never faster. The ratio is a round's.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import os
import platform
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from servers.running import archive_of

from pipeline.local.images import register_image
from pipeline.local.service import LocalSageMaker, connect

SIZES = (1, 2, 4, 8, 16, 32, 64)
IMAGE, ARCHIVE = "benchmark:1", "s3://bucket/model.tar.gz"


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option, default in {"rounds": 5, "objects": 48, "pictures": 16, "side": 224, "concurrent": 4}.items():
        parser.add_argument(f"--{option}", type=int, default=default)
    args = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()},", end=" ")
    print(f"torch {torch.__version__}, load {os.getloadavg()[0]:.2f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        model = archive_of(Path(folder) / "model", args.side, 100)
        sagemaker = prepared(Path(folder) / "home", model, args)
        network = bare_network(model)
        size = max(SIZES, key=lambda each: bare(network, each, args.side, seconds=2.0))
        print(f"bare at its best with batches of {size}", flush=True)
        contestants = {
            "bare": lambda: bare(network, size, args.side, seconds=10.0),
            "transform": lambda: transform(sagemaker, args),
        }
        ratios = []
        for number in range(args.rounds):
            order = list(contestants) if number % 2 else list(reversed(contestants))
            found = {name: contestants[name]() for name in order}
            ratios.append(found["transform"] / found["bare"])
            words = ", ".join(f"{name} {found[name]:.1f} pictures/s" for name in contestants)
            print(f"round {number + 1}: {words}, ratio {ratios[-1]:.3f}", flush=True)
        print(f"median ratio {statistics.median(ratios):.3f} (n={len(ratios)}, {min(ratios):.3f} to {max(ratios):.3f})")


def bare_network(model: Path) -> torch.nn.Module:
    import inference

    return inference.model_fn(model).network


def bare(network: torch.nn.Module, size: int, side: int, seconds: float) -> float:
    """Pictures a second."""
    batch = torch.rand(size, 3, side, side).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        network(batch)
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            network(batch)
            count += size
    return count / (time.perf_counter() - began)


def prepared(home: Path, model: Path, args: argparse.Namespace) -> LocalSageMaker:
    sagemaker, packed = connect(str(home)), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        archive.add(model, arcname=".")
    sagemaker.storage.put_bytes(ARCHIVE, packed.getvalue())
    register_image(sagemaker.store, IMAGE, sys.executable)
    sagemaker.create_model(ModelName="net", PrimaryContainer={"Image": IMAGE, "ModelDataUrl": ARCHIVE})
    chance = np.random.default_rng(0)
    for number in range(args.objects):
        body = io.BytesIO()
        np.save(body, chance.integers(0, 256, (args.pictures, 3, args.side, args.side), dtype=np.uint8))
        sagemaker.storage.put_bytes(f"s3://bucket/in/{number:03}.npy", body.getvalue())
    return sagemaker


def transform(sagemaker: LocalSageMaker, args: argparse.Namespace) -> float:
    """Pictures a second, from the server's being ready to the last answer."""
    name = f"bench-{time.time_ns()}"
    request: dict[str, Any] = {
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}}},
        "TransformOutput": {"S3OutputPath": f"s3://bucket/{name}", "Accept": "application/x-npy"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "MaxConcurrentTransforms": args.concurrent,
    }
    sagemaker.create_transform_job(TransformJobName=name, ModelName="net", **request)
    while (job := sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] == "InProgress":
        time.sleep(0.2)
    if job["TransformJobStatus"] != "Completed":
        raise SystemExit(str(job.get("FailureReason")))
    answers = [os.stat(entry.path).st_mtime for entry in sagemaker.storage.list(f"s3://bucket/{name}/")]
    assert len(answers) == args.objects, f"{len(answers)} answers"
    return (
        args.objects * args.pictures / (max(answers) - ready(Path(sagemaker.store.home, f"logs/transforms/{name}.log")))
    )


def ready(log: Path) -> float:
    """Seconds since 1970, by the line in which the server says so."""
    line = next(line for line in log.read_text().splitlines() if '"ready after' in line)
    return datetime.datetime.fromisoformat(json.loads(line[line.index("{") :])["time"]).timestamp()


if __name__ == "__main__":
    main()
