"""What the job runs on: one instance, its threads, its device."""

from __future__ import annotations

import json
from collections.abc import Mapping

import model
import torch
from refusal import Refusal


def device(env: Mapping[str, str]) -> torch.device:
    """torch reads OMP_NUM_THREADS itself; in a container without it, SM_NUM_CPUS counts what the job may use."""
    _refuse_several_hosts(env.get("SM_HOSTS", ""))
    if not env.get("OMP_NUM_THREADS") and env.get("SM_NUM_CPUS", "").isdecimal():
        torch.set_num_threads(max(1, int(env["SM_NUM_CPUS"])))
    device = model.device()
    if device.type == "cpu" and env.get("SM_NUM_GPUS", "0") not in ("", "0"):
        raise Refusal(
            f"the instance has {env['SM_NUM_GPUS']} GPUs and torch {torch.__version__} sees none: its image is "
            "for CPUs; set training.instance_type in pipeline.yaml to a GPU type, or take an instance without GPU"
        )
    return device


def _refuse_several_hosts(hosts: str) -> None:
    """Each would train a model of its own, and SageMaker would pack the files of all of them into one archive."""
    names = json.loads(hosts) if hosts else []
    if len(names) > 1:
        raise Refusal(
            f"{len(names)} instances ({', '.join(names)}): this version trains on one instance: set "
            "TrainingInstanceCount=1 (training.instance_count in pipeline.yaml)"
        )
