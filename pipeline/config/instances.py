"""Which machines SageMaker offers, and what is special about some of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

_GPU = re.compile(r"^ml\.(g\d|p\d)")
# Volta and older: CUDA 13, which the 2.12 images bring, no longer has code for them.
_OLD_GPU = re.compile(r"^ml\.(p2|p3|p3dn|g3|g3s)\.")
_NOT_X86 = re.compile(r"^ml\.([a-z]+\d+g[a-z]*|trn\d\w*|inf\d\w*|p6e-gb200)\.")
# Instances with local NVMe disks refuse VolumeKmsKeyId (they encrypt with a key of their own).
_NVME = re.compile(r"^ml\.(g4dn|g5|g6|g6e|g7|g7e|p3dn|p4d|p4de|p5\w*|p6\S*|[a-z]+\d+[a-z]*d[n]?)\.")


def offered(shape: str) -> Callable[[str], str]:
    """A check that SageMaker's `shape`, such as TrainingInstanceType, lists a machine that the images run on."""

    def check(name: str) -> str:
        known = service_enum(shape)
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.6)) or "ml.m5.xlarge"
            raise ValueError(f"is not a machine that SageMaker offers for this; there is {near}")
        if accelerator(name) == "other":
            raise ValueError("the images hold no code for its processor; allowed: x86 CPUs, or GPUs from g4dn on")
        return name

    return check


def accelerator(instance_type: str) -> str:
    """`gpu`, `cpu`, or `other` for processors that the images have no code for (Graviton, Trainium, old GPUs)."""
    if _NOT_X86.match(instance_type) or _OLD_GPU.match(instance_type):
        return "other"
    return "gpu" if _GPU.match(instance_type) else "cpu"


def has_nvme(instance_type: str) -> bool:
    """True where VolumeKmsKeyId is refused and VolumeSizeInGB ignored."""
    return _NVME.match(instance_type) is not None


def service_enum(shape: str) -> tuple[str, ...]:
    """The values that SageMaker's own API model lists for `shape`, such as TrainingInstanceType."""
    return tuple(_shapes()[shape]["enum"])


@cache
def _shapes() -> Mapping[str, Any]:
    import botocore.loaders  # with the model 0.2 s: only when a configuration names a machine

    return dict(botocore.loaders.Loader().load_service_model("sagemaker", "service-2")["shapes"])
