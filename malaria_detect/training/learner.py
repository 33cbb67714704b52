"""The learner in ``export.pkl``: opened only to train, to convert and to compare, with torch and fastai."""

import importlib
import io
import pickle
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from malaria_detect.core.extras import from_extra

if TYPE_CHECKING:
    from fastai.learner import Learner

# Where pickles of November 2026 and before look for what they name, and where it is now.
_MOVED = {
    "malaria_detect.recipe": "malaria_detect.training.datablock",
    "malaria_detect.networks.frozen": "malaria_detect.designs.frozen",
    "malaria_detect.networks.keras_cnn": "malaria_detect.designs.keras_cnn",
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(_MOVED.get(module, module), name)


def import_fastai() -> None:
    """Import fastai for the first time.

    fastai 2.8 decorates functions with torch.jit.script, which torch 2.9 and later report as deprecated. Users can do
    nothing about this one warning, so it is left out, here and nowhere else.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.script` is", FutureWarning)
        importlib.import_module("fastai.learner")


def open_learner(data: bytes) -> "Learner":
    """Unpickle an exported learner. This runs the code in it: check its SHA-256 first.

    Raises
    ------
    MissingExtra
        If the learner's network is of a library that is not installed.
    """
    import_fastai()
    pickle_module = SimpleNamespace(__name__="pickle", Unpickler=_Unpickler, load=pickle.load)
    with from_extra("train"):
        return torch.load(
            io.BytesIO(data), map_location="cpu", weights_only=False, pickle_module=pickle_module
        )
