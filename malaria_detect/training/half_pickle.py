"""Export a learner with float16 weights that plain fastai opens as float32."""

import pickle
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import torch
from fastai.vision.all import Learner

from malaria_detect.core.extras import from_extra

with from_extra("train"):
    import cloudpickle


def export_learner(learner: Learner, path: Path) -> None:
    """Write a learner that plain fastai opens, in half the bytes.

    float32 tensors are pickled as ``torch.Tensor.to(half, torch.float32)``. ``load_learner`` needs only fastai, and
    returns an ordinary float32 learner whose weights are rounded to float16; those of `learner` are rounded, too.
    """
    with torch.no_grad():
        for tensor in learner.model.state_dict().values():
            if tensor.dtype is torch.float32:
                tensor.copy_(tensor.half())
    learner.opt = None
    learner.export(path.absolute(), pickle_module=_HALF_PICKLE)


class _HalfPickler(cloudpickle.Pickler):
    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, MethodType) and isinstance(thing.__self__, type):
            # cloudpickle would write PILImage.create as bytecode, which other versions of Python cannot run.
            return getattr, (thing.__self__, thing.__name__)
        if type(thing) is torch.Tensor and thing.dtype is torch.float32:
            half = thing.detach().half()
            # Rounded weights lose nothing. The mean of Normalize would, and stays float32.
            if torch.equal(half.float(), thing):
                return torch.Tensor.to, (half, torch.float32)
        return super().reducer_override(thing)


# What torch.save expects of a pickle module.
_HALF_PICKLE = SimpleNamespace(
    __name__="half_pickle",
    Pickler=_HalfPickler,
    Unpickler=pickle.Unpickler,
    dumps=pickle.dumps,
    loads=pickle.loads,
)
