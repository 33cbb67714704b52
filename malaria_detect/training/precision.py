"""Bfloat16: where it is fast, and training in it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def in_bfloat16(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Let a network compute in bfloat16 inside the block if the device is fast at it; its outputs are float32.

    fastai's MixedPrecision supports CUDA only, and a callback would leave autocast on after Ctrl-C.
    """
    if not bfloat16_is_fast(device):
        yield
        return
    plain = network.forward

    def forward(pictures: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            answers: torch.Tensor = plain(pictures)
        return answers.float()

    network.forward = forward
    try:
        yield
    finally:
        del network.forward  # restores the method of the class


def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 natively; other processors emulate it, which is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
