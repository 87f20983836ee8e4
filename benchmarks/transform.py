"""A batch transform beside the bare network: pictures a second, one after the other, in an order that turns.

    python benchmarks/transform.py [--rounds 5] [--objects 12] [--pictures 16] [--side 224] [--concurrent 4]

ResNet18 with random weights; each object is an .npy array of PICTURES pictures of SIDE px, below S3's folders on this
machine. `bare` is the archive's network in this process, on tensors that lie ready, at the best of several batch sizes
with all cores. The transform is CreateTransformJob of the local service with the archive's own server; its time is that
between the first object's answer and the last one's, so that loading the model is not counted. The ratio is a round's.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent / "servers"), str(Path(__file__).resolve().parent.parent)]

import numpy as np  # noqa: E402  # what is above says where our own modules lie
import torch  # noqa: E402
from running import archive_of  # noqa: E402

from pipeline.local.images import register_image  # noqa: E402
from pipeline.local.service import LocalSageMaker, connect  # noqa: E402

SIZES = (4, 8, 16, 32, 64)
IMAGE, ARCHIVE = "benchmark:1", "s3://bucket/model.tar.gz"


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option, default in {"rounds": 5, "objects": 12, "pictures": 16, "side": 224, "concurrent": 4}.items():
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
    batch = torch.rand(size, 3, side, side)
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
    """Pictures a second, between the first answer and the last one."""
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
    answers = sorted(os.stat(entry.path).st_mtime_ns for entry in sagemaker.storage.list(f"s3://bucket/{name}/"))
    return (len(answers) - 1) * args.pictures / ((answers[-1] - answers[0]) / 1e9)


if __name__ == "__main__":
    main()
