"""A network's convolutions with their weights laid out once, as the processor wants them.

Called plainly, torch's convolutions lay all weights out anew for every picture, which takes a third of a single
prediction. The operations used here are those that :func:`torch.compile` calls; it would need a compiler wherever the
model runs, and starts later.
"""

import copy

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

# The first blocks keep float32, as the stem does: what they round is carried through all that follows, and changes the
# answer more than what later blocks round. They take longer for it.
EXACT_BLOCKS = 2


class PackedConvolution(nn.Module):
    """A convolution without gradients, with what follows it done in the same pass.

    Parameters
    ----------
    convolution : torch.nn.Conv2d
        Its padding is of zeros.
    kind : torch.dtype
        The number format that it computes in.
    then : str
        ``relu`` or ``none``.
    """

    def __init__(self, convolution: nn.Conv2d, kind: torch.dtype, then: str) -> None:
        super().__init__()
        assert isinstance(convolution.padding, tuple)
        self._how = (
            list(convolution.padding),
            list(convolution.stride),
            list(convolution.dilation),
            convolution.groups,
        )
        weight = convolution.weight.detach().to(kind)
        # Not a buffer: such a tensor knows neither its strides nor how to be copied.
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._how)
        self._bias = None if convolution.bias is None else convolution.bias.detach().to(kind)
        self._then = then

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Convolve maps (N, channels, height, width) of the number format."""
        found: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            maps, self._weight, self._bias, *self._how, self._then, [], ""
        )
        return found

    def added_to(self, other: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Convolve and add to other maps, which are overwritten, then cut off what is below 0."""
        found: torch.Tensor = torch.ops.mkldnn._convolution_pointwise_(
            other, maps, self._weight, self._bias, *self._how, "add", 1.0, "relu", [], ""
        )
        return found


class PackedBlock(nn.Module):
    """A residual block of two convolutions whose batch norms are folded.

    Parameters
    ----------
    block : torchvision.models.resnet.BasicBlock
    kind, gives : torch.dtype
        The number formats that it computes in and answers in.
    """

    def __init__(self, block: BasicBlock, kind: torch.dtype, gives: torch.dtype) -> None:
        super().__init__()
        self._kind, self._gives = kind, gives
        self._first = PackedConvolution(block.conv1, kind, "relu")
        self._second = PackedConvolution(block.conv2, kind, "none")
        self._shortcut = block.downsample and PackedConvolution(block.downsample[0], kind, "none")

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps of this block, from those of the one before, which are overwritten."""
        maps = maps.to(self._kind)
        other = self._shortcut(maps) if self._shortcut else maps
        return self._second.added_to(other, self._first(maps)).to(self._gives)


def packed(network: nn.Module, kind: torch.dtype) -> nn.Module | None:
    """A copy of a network in which stem and residual blocks are packed; all else is shared with it.

    Parameters
    ----------
    network : torch.nn.Module
        As :func:`malaria_detect.inference.network.prepared` makes it; it stays as it is.
    kind : torch.dtype
        The number format of all blocks after the first `EXACT_BLOCKS`.

    Returns
    -------
    torch.nn.Module or None
        It takes and gives float32. None where the network is not made of such blocks, or torch cannot pack them.

    Examples
    --------
    >>> packed(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), torch.float32) is None
    True
    """
    blocks = [part for part in network.modules() if isinstance(part, BasicBlock)]
    if not blocks or not all(map(_can_be_packed, blocks)) or not _torch_packs():
        return None
    # Copied by reference: the tensors of what is not packed, which are the head's.
    known: dict[int, object] = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    for number, block in enumerate(blocks):
        own = torch.float32 if number < EXACT_BLOCKS else kind
        known[id(block)] = PackedBlock(block, own, torch.float32 if block is blocks[-1] else own)
    for part in network.modules():
        match list(part.children()) if isinstance(part, nn.Sequential) else ():
            case [nn.Conv2d() as stem, nn.Identity(), nn.ReLU() as relu, *_] if _is_plain(stem):
                known[id(stem)], known[id(relu)] = (
                    PackedConvolution(stem, torch.float32, "relu"),
                    nn.Identity(),
                )
    return copy.deepcopy(network, known)


def _torch_packs() -> bool:
    # The operations are not part of torch's public interface: without them the network is used as it is.
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name)
        for name in ("_reorder_convolution_weight", "_convolution_pointwise", "_convolution_pointwise_")
    )


def _can_be_packed(block: BasicBlock) -> bool:
    if not all(isinstance(norm, nn.Identity) for norm in (block.bn1, block.bn2)):
        return False
    convolutions = [block.conv1, block.conv2]
    if block.downsample is not None:
        convolution, *rest = block.downsample
        if not all(isinstance(part, nn.Identity) for part in rest):
            return False
        convolutions.append(convolution)
    return type(block) is BasicBlock and all(map(_is_plain, convolutions))


def _is_plain(convolution: nn.Module) -> bool:
    return (
        type(convolution) is nn.Conv2d
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
    )
