"""Export a learner with float16 weights that plain fastai opens as float32."""

import pickle
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import torch
from fastai.vision.all import Learner


def export_learner(learner: Learner, path: Path, opened: bool = False) -> None:
    """Write a learner that plain fastai opens, in half the bytes.

    float32 tensors are pickled as ``torch.Tensor.to(half, torch.float32)``. ``load_learner`` needs only fastai, and
    returns an ordinary float32 learner whose weights are rounded to float16; those of `learner` are rounded, too.
    One that was `opened` from a file needs no cloudpickle: all that it names was found when it was opened.
    """
    pickler: type = _HalfPickler
    if not opened:
        import cloudpickle

        pickler = type("_CloudPickler", (_HalfPickler, cloudpickle.Pickler), {})
    with torch.no_grad():
        for tensor in learner.model.state_dict().values():
            if tensor.dtype is torch.float32:
                tensor.copy_(tensor.half())
    learner.opt = None
    # What torch.save expects of a pickle module.
    module = SimpleNamespace(
        __name__="half_pickle",
        Pickler=pickler,
        Unpickler=pickle.Unpickler,
        dumps=pickle.dumps,
        loads=pickle.loads,
    )
    learner.export(path.absolute(), pickle_module=module)


class _HalfPickler(pickle.Pickler):
    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, MethodType) and isinstance(thing.__self__, type):
            # cloudpickle would write PILImage.create as bytecode, which other versions of Python cannot run.
            return getattr, (thing.__self__, thing.__name__)
        if type(thing) is torch.Tensor and thing.dtype is torch.float32:
            half = thing.detach().half()
            # Rounded weights lose nothing. The mean of Normalize would, and stays float32.
            if torch.equal(half.float(), thing):
                return torch.Tensor.to, (half, torch.float32)
        # cloudpickle has more to say; pickle itself does not define this method.
        more = getattr(super(), "reducer_override", None)
        return more(thing) if more else NotImplemented
