"""In which precision a network is trained: bfloat16 where it is faster and right, float16 where it is asked for."""

from __future__ import annotations

import torch
from refusal import Refusal
from torch import nn


def chosen(wanted: str, network: nn.Module, size: int, device: torch.device) -> torch.dtype:
    """`wanted` is auto, float32, bfloat16 or float16; float16 needs a GPU, and its gradients a scaler."""
    if wanted == "float16":
        if device.type == "cpu":
            raise Refusal("precision float16 needs a GPU, and this job has none: set precision to auto")
        return torch.float16
    return torch.bfloat16 if use_bfloat16(wanted, network, size, device) else torch.float32


def use_bfloat16(wanted: str, network: nn.Module, size: int, device: torch.device) -> bool:
    """`wanted` is auto, float32 or bfloat16. The network is run once on one blank picture of `size`."""
    if wanted == "float32" or (wanted == "auto" and not is_native(device)):
        return False
    stepped = oversteps(network, size, device) if device.type == "cpu" else None
    if stepped and wanted == "bfloat16":
        raise Refusal(
            f"layer {stepped} has a stride larger than its input at {size} px, and torch's CPU gradients are wrong "
            "there in bfloat16: set precision to float32, or take larger pictures"
        )
    return not stepped


def is_native(device: torch.device) -> bool:
    """ResNet18 at 32 px, batch 64, EPYC with avx512_bf16, torch 2.12, n=3: an epoch takes 0.83 of float32's time.

    Without such instructions bfloat16 is emulated, and slower than float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def oversteps(network: nn.Module, size: int, device: torch.device) -> str | None:
    """Name of the first convolution whose stride exceeds the side of its input.

    Found by our determinism test on torch 2.12.0 with avx512_bf16: for such shapes, and for no others among 160
    combinations of kernel, stride, side and groups, the weights' gradient holds uninitialised memory, up to 1e36.
    """
    found: list[str] = []

    def look(name: str, layer: nn.Conv2d, pictures: torch.Tensor) -> None:
        if any(step > side for step, side in zip(layer.stride, pictures.shape[-2:], strict=True)):
            found.append(name)

    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: look(name, layer, inputs[0]))
        for name, layer in layers
    ]
    training = network.training
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, size, size, device=device))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return found[0] if found else None
