"""The engine that runs the network."""


def use_threads(count: int) -> None:
    """Use this many threads for the network in this process.

    Parameters
    ----------
    count : int
        1 or more.
    """
    import torch

    torch.set_num_threads(count)
