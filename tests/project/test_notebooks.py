"""train.ipynb and explore.ipynb run from top to bottom. See test_setup for what notebooks may contain."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.evaluation.cross_validation import HeldOut, write_held_out
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.training.settings import TrainSettings, parse_sizes

PROJECT = Path(__file__).resolve().parents[2]
TINY: dict[str, object] = {
    "CORRECTIONS": None,
    "WEIGHTS": "none",
    "SIZES": "32x1,48x1",
    "FREEZE_EPOCHS": 1,
    "AVERAGE_EPOCHS": 1,
    "BATCH_SIZE": 16,
    "SEED": 13,
    "WORK": "work",
    "RESUME": True,
    "OUTPUT": "export.pkl",
}


def with_picture(notebook: nbformat.NotebookNode) -> set[str]:
    """Ids of the cells whose output has a figure."""
    return {
        cell.id
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    }


def drawing(notebook: nbformat.NotebookNode) -> set[str]:
    """Ids of the cells that draw a figure."""
    return {cell.id for cell in notebook.cells if cell.cell_type == "code" and "plots." in cell.source}


def parameters(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    (found,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    return found


def set_parameters(notebook: nbformat.NotebookNode, values: dict[str, object]) -> None:
    """Replace all parameters, which must be those that the notebook has."""
    cell = parameters(notebook)
    assert list(values) == [line.split(" = ")[0] for line in cell.source.splitlines()]
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())


@pytest.fixture(scope="module")
def executed(few_cells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[nbformat.NotebookNode, Path]:
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(PROJECT / "train.ipynb", as_version=4)
    set_parameters(notebook, {"CELLS": str(few_cells), **TINY})
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


@pytest.mark.slow
def test_train_notebook_writes_a_new_model_with_its_metadata(
    executed: tuple[nbformat.NotebookNode, Path],
) -> None:
    metadata = read_metadata(executed[1] / "export.pkl")
    assert [epoch.size for epoch in metadata.history] == [32, 32, 48, 48]
    assert metadata.weights.source == "none"
    assert metadata.point().test.cells == metadata.test.cells > 0


def test_train_notebook_begins_with_the_settings_that_the_command_has() -> None:
    notebook = nbformat.read(PROJECT / "train.ipynb", as_version=4)
    given = {
        target.id: ast.literal_eval(line.value)
        for line in ast.parse(parameters(notebook).source).body
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    }
    settings = TrainSettings()
    assert parse_sizes(given["SIZES"]) == settings.sizes
    for name in ("weights", "freeze_epochs", "average_epochs", "batch_size", "seed"):
        assert given[name.upper()] == getattr(settings, name), name


@pytest.mark.slow
def test_train_notebook_shows_every_figure(executed: tuple[nbformat.NotebookNode, Path]) -> None:
    notebook, _ = executed
    assert with_picture(notebook) == drawing(notebook)
    assert len(drawing(notebook)) >= 15


@pytest.mark.slow
def test_explore_notebook_shows_every_figure(few_cells: Path, shipped_model: Path, tmp_path: Path) -> None:
    cells = find_cells(few_cells).cells
    labels = tuple(cell.label for cell in cells)
    # The predictions may include cells that are not in the folder.
    files = ("elsewhere.png", *(cell.path.name for cell in cells[1:]))
    groups = tuple(cell.group for cell in cells)
    held_out = HeldOut(files, groups, (1,) * len(cells), labels, (0.3,) * len(cells), labels)
    write_held_out(held_out, tmp_path / "held-out.csv")
    notebook = nbformat.read(PROJECT / "notebooks" / "explore.ipynb", as_version=4)
    set_parameters(
        notebook,
        {
            "CELLS": str(few_cells),
            "AT_MOST": 60,
            "PREDICTIONS": "held-out.csv",
            "MODEL": str(shipped_model),
            "SEED": 5,
        },
    )
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert with_picture(notebook) == drawing(notebook)
    assert len(drawing(notebook)) >= 15
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "60 cells of" in printed
