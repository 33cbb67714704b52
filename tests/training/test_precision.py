"""Where training computes in bfloat16."""

import pytest
import torch

from malaria_detect.training.precision import bfloat16_is_fast


def test_a_gpu_that_only_emulates_bfloat16_is_not_fast_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # As PyTorch answers for a T4.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not bfloat16_is_fast(torch.device("cuda"))
