"""train.ipynb, explore.ipynb and fields.ipynb run from top to bottom. See test_setup for what notebooks may contain."""

import ast
import sysconfig
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from malaria_detect.data.nlm_cells import CELLS_VARIABLE, find_cells
from malaria_detect.evaluation.cross_validation import HeldOut, write_held_out
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.training.settings import TrainSettings
from tests.drawn_fields import Drawn, draw_fields
from tests.environment import Environment, build_wheel

PROJECT = Path(__file__).resolve().parents[2]
TINY: dict[str, object] = {
    "CELLS": None,
    "CORRECTIONS": None,
    "WEIGHTS": "none",
    "SIZES": {32: 1, 48: 1},
    "FREEZE_EPOCHS": 1,
    "AVERAGE_EPOCHS": 1,
    "BATCH_SIZE": 16,
    "LOOKS": "random",
    "SEED": 13,
    "WORK": "work",
    "RESUME": True,
    "OUTPUT": "export.pkl",
}


def assert_every_figure_is_drawn(notebook: nbformat.NotebookNode) -> None:
    drawing = {cell.id for cell in notebook.cells if cell.cell_type == "code" and "plots." in cell.source}
    with_picture = {
        cell.id
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    }
    assert with_picture == drawing
    assert len(drawing) >= 15


def parameters(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    (found,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    return found


def set_parameters(notebook: nbformat.NotebookNode, values: dict[str, object]) -> None:
    """Replace all parameters, which must be those that the notebook has."""
    cell = parameters(notebook)
    assert list(values) == [line.split(" = ")[0] for line in cell.source.splitlines()]
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel in a new environment, which has all other packages of this one, but not the checkout."""
    root = tmp_path_factory.mktemp("wheel")
    environment = Environment.created(root / "environment")
    done = environment.install("--no-deps", "--offline", build_wheel(root))
    assert done.returncode == 0, done.stderr
    # Python does not read the .pth file of the editable installation in a folder that a .pth file names.
    (environment.packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return environment


@pytest.mark.slow
def test_train_notebook_needs_only_the_package_shows_every_figure_and_writes_a_model(
    installed: Environment, few_cells: Path, tmp_path: Path
) -> None:
    notebook = nbformat.read(PROJECT / "train.ipynb", as_version=4)
    set_parameters(notebook, TINY)
    notebook.cells.append(nbformat.v4.new_code_cell("import malaria_detect\nprint(malaria_detect.__file__)"))
    nbformat.write(notebook, tmp_path / "train.ipynb")
    command = (
        "python -m nbconvert --to notebook --inplace --execute --ExecutePreprocessor.timeout=600 train.ipynb"
    )
    installed.run(*command.split(), cwd=tmp_path, environment={CELLS_VARIABLE: str(few_cells)})
    *cells, last = nbformat.read(tmp_path / "train.ipynb", as_version=4).cells
    assert Path(last.outputs[0].text.strip()).is_relative_to(installed.folder)
    assert_every_figure_is_drawn(nbformat.from_dict({"cells": cells}))
    metadata = read_metadata(tmp_path / "export.pkl")
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
    sizes = tuple(size for size, epochs in given["SIZES"].items() for _ in range(epochs))
    assert sizes == settings.sizes
    for name in ("weights", "freeze_epochs", "average_epochs", "batch_size", "seed"):
        assert given[name.upper()] == getattr(settings, name), name


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
    execute(notebook, tmp_path)
    assert_every_figure_is_drawn(notebook)
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "60 cells of" in printed


@pytest.mark.slow
def test_fields_notebook_counts_the_cells_of_drawn_fields(shipped_model: Path, tmp_path: Path) -> None:
    drawn = Drawn()
    draw_fields(tmp_path / "fields", range(3), drawn)
    notebook = nbformat.read(PROJECT / "notebooks" / "fields.ipynb", as_version=4)
    set_parameters(
        notebook,
        {
            "FIELDS": "fields",
            "MODEL": str(shipped_model),
            "OPERATING_POINT": "balanced",
            "CELL_DIAMETER": drawn.diameter,
            "RED_CELLS_PER_MICROLITRE": 4.5e6,
        },
    )
    execute(notebook, tmp_path)
    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    assert [
        any("image/png" in one.get("data", {}) for one in outputs[name]) for name in ("outlines", "first")
    ] == [
        True,
        True,
    ]
    (record,) = (one["data"]["text/plain"] for one in outputs["slide"] if "data" in one)
    assert f"cells={3 * drawn.cells}, parasitized={3 * drawn.parasitized}" in record
