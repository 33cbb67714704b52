"""Exported learners of older versions."""

import io
import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from malaria_detect.designs.frozen import Trunks
from malaria_detect.designs.keras_cnn import sheared
from malaria_detect.training.datablock import Preprocess
from malaria_detect.training.learner import open_learner


@pytest.mark.parametrize(
    ("named", "then"),
    [
        (Preprocess, "malaria_detect.recipe"),
        (Trunks, "malaria_detect.networks.frozen"),
        (sheared, "malaria_detect.networks.keras_cnn"),
    ],
)
def test_learners_exported_before_their_modules_moved_are_opened(
    named: Any, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    with monkeypatch.context() as old:
        module = ModuleType(then)
        setattr(module, named.__name__, named)
        for parent in ("malaria_detect.networks", then):
            old.setitem(sys.modules, parent, module)
        old.setattr(named, "__module__", then)
        torch.save(named, file)
    assert then.encode() in file.getvalue()
    assert open_learner(file.getvalue()) is named
