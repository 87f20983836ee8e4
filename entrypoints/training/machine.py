"""What the job runs on: its hosts, how many processes each of them has, the threads and the device of this one."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Mapping

import model
import torch
from refusal import Refusal

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
KEPT = 2**31 - 1  # bytes at the heap's end


def hosts(env: Mapping[str, str]) -> list[str]:
    """As SageMaker names them, in its order: the first one leads. A machine without such names is one host."""
    return list(json.loads(env.get("SM_HOSTS") or "[]")) or ["localhost"]


def host(env: Mapping[str, str]) -> str:
    return env.get("SM_CURRENT_HOST") or hosts(env)[0]


def processes(env: Mapping[str, str]) -> int:
    """One for each GPU of each host."""
    return len(hosts(env)) * max(1, int(env.get("SM_NUM_GPUS") or 0))


def is_launcher(env: Mapping[str, str]) -> bool:
    """Several processes are wanted, and torchrun has not numbered this one."""
    return processes(env) > 1 and "RANK" not in env


def device(env: Mapping[str, str]) -> torch.device:
    """torch reads OMP_NUM_THREADS itself; in a container without it, SM_NUM_CPUS counts what the job may use."""
    if not env.get("OMP_NUM_THREADS") and env.get("SM_NUM_CPUS", "").isdecimal():
        torch.set_num_threads(max(1, int(env["SM_NUM_CPUS"]) // int(env.get("LOCAL_WORLD_SIZE") or 1)))
    device = model.device()
    if device.type == "cpu" and env.get("SM_NUM_GPUS", "0") not in ("", "0"):
        raise Refusal(
            f"the instance has {env['SM_NUM_GPUS']} GPUs and torch {torch.__version__} sees none: its image is "
            "for CPUs; set training.instance_type in pipeline.yaml to a GPU type, or take an instance without GPU"
        )
    return _own(device, int(env.get("LOCAL_RANK") or 0)) if "RANK" in env else device


def keep_memory() -> None:
    """glibc gives a step's tensors back to the system and asks for them again in the next: 10,000 page faults, a tenth
    of a step of small pictures. With this it keeps them. Elsewhere nothing changes.
    """
    if sys.platform == "linux" and hasattr(malloc := ctypes.CDLL(None), "mallopt"):
        malloc.mallopt(M_TRIM_THRESHOLD, KEPT)
        malloc.mallopt(M_MMAP_MAX, 0)


def _own(device: torch.device, number: int) -> torch.device:
    if device.type == "cpu":
        return device
    if number >= torch.cuda.device_count():
        raise Refusal(f"process {number} of this host has no GPU: torch sees {torch.cuda.device_count()}; start fewer")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)
