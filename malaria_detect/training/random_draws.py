"""Random numbers for randomized images, from torch's global generator."""

import torch


def between(low: float, high: float, *shape: int) -> torch.Tensor:
    """Uniform numbers."""
    return torch.rand(shape) * (high - low) + low


def around(deviation: float, *shape: int) -> torch.Tensor:
    """Normal numbers with mean 0."""
    return torch.randn(shape) * deviation


def factor(deviation: float, *shape: int) -> torch.Tensor:
    """Log-normal numbers with median 1; `deviation` is that of their logarithm."""
    return torch.exp(around(deviation, *shape))


def chance(number: int, probability: float | torch.Tensor) -> torch.Tensor:
    """Booleans that are true with a probability, 0 to 1, shape (number,)."""
    return torch.rand(number) < probability


def wide(flags: torch.Tensor) -> torch.Tensor:
    """Booleans, shape (N,), as (N, 1, 1, 1), to choose between batches of images."""
    return flags[:, None, None, None]
