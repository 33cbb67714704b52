"""How much each place of the last map contributes to the answer."""

import numpy as np
from numpy.typing import NDArray

from malaria_detect.inference.classifier import Seen
from malaria_detect.inference.head import Head


def evidence(seen: Seen, head: Head) -> NDArray[np.float64]:
    """Contribution of each place of the last map to the log-odds of ``Parasitized``, for one picture.

    HiResCAM [1]_: gradient times activation, summed over channels. Unlike Grad-CAM [2]_, which averages the gradient
    over the map first, it never marks a place that the rest of the network ignores. The gradient is that of fastai's
    head: the maximum of a channel passes it to one place, the mean to all.

    Parameters
    ----------
    seen : Seen
        Of one picture.
    head : Head

    Returns
    -------
    numpy.ndarray
        float64, (rows, columns) of the map; above 0 if the place speaks for ``Parasitized``.

    References
    ----------
    .. [1] R. L. Draelos and L. Carin, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
       neural networks, 2020, arXiv:2011.08891.
    .. [2] R. R. Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based localization,
       ICCV 2017, arXiv:1610.02391.
    """
    (places,) = seen.map.reshape(1, seen.map.shape[1], -1)
    of_maximum, of_mean = np.split(head.gradient(seen.features)[0], 2)
    heat = of_mean @ places / places.shape[1]
    np.add.at(heat, places.argmax(axis=1), of_maximum * places.max(axis=1))
    return heat.reshape(seen.map.shape[2:])
