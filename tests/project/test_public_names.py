"""The names that the package and its metrics offer at the top level."""

import importlib

import pytest


@pytest.mark.parametrize("package", ["malaria_detect", "malaria_detect.metrics", "malaria_detect.plots"])
def test_every_public_name_can_be_imported(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
