"""Outputs of a network's layers."""

import numpy as np
import pytest
import torch
from torch import nn

from malaria_detect.designs.activations import activations


def test_activations_are_those_of_every_convolution_and_pooling_and_are_not_changed_later() -> None:
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)
    network = nn.Sequential(*layers)
    picture = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = activations(network, picture)
    kinds = [("0", "Conv2d"), ("2", "MaxPool2d"), ("3", "AdaptiveAvgPool2d")]
    assert [(one.layer, one.kind) for one in found] == kinds
    with torch.no_grad():
        np.testing.assert_allclose(found[0].maps, network[0](picture)[0].numpy(), rtol=1e-5)
    assert found[0].maps.min() < 0
    assert found[2].maps.shape == (4, 1, 1)
    assert network.training
    activations(network, picture)  # another run does not add to the first
    assert len(found) == 3
    with pytest.raises(ValueError, match="one image"):
        activations(network, torch.zeros(2, 3, 12, 12))
