"""Write the trunk of an exported resnet34 as a state dict that training can start from.

The shipped model starts from its predecessor: ``git show 28a72ba:export.pkl > former.pkl``, then
``python -m tools.trunk former.pkl trunk.pth`` and ``malaria-detect train --weights trunk.pth``. An exported learner is
a pickle: open only your own.
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet34

from malaria_detect.training.learner import open_learner


def trunk_of(model: nn.Sequential) -> dict[str, torch.Tensor]:
    """Tensors of a fastai resnet34 without its head, float32, with torchvision's names."""
    network = resnet34()
    nn.Sequential(*list(network.children())[:-2]).load_state_dict(model[0].float().state_dict())
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("fc.")}


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(prog="python -m tools.trunk", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    torch.save(trunk_of(open_learner(options.model.read_bytes()).model), options.output)
    print(f"{options.output} written.")


if __name__ == "__main__":
    main()
