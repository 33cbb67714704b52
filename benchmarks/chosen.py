"""Which cells are measured."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_Item = TypeVar("_Item")


def spread(items: Sequence[_Item], number: int) -> list[_Item]:
    """`number` items, evenly spread; all if there are fewer.

    Examples
    --------
    >>> spread("abcdefgh", 3), spread("abc", 5)
    (['a', 'e', 'h'], ['a', 'b', 'c'])
    """
    places = np.linspace(0, len(items) - 1, min(number, len(items))).round().astype(int)
    return [items[place] for place in places]
