"""notebooks/new_lab.ipynb runs from top to bottom on drawn fields."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from malaria_detect.inference.model_files import read_metadata
from tests.annotated import write_boxes
from tests.drawn_fields import Drawn
from tests.parents import write_parent

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "new_lab.ipynb"


@pytest.mark.slow
def test_the_notebook_adapts_a_model_to_the_cells_of_drawn_fields(
    shipped_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "fields").mkdir()
    write_boxes(tmp_path / "fields", range(7), Drawn(parasitized=10))
    write_parent(shipped_model, tmp_path / "parent.pkl")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    values = {
        "FIELDS": "fields",
        "MODEL": "parent.pkl",
        "LABELLED": (12, 12),
        "CURVE": ((12, 12), (20, 20)),
        "DRAWS": 2,
        "UNINFECTED": 80,
        "OUTPUT": "mylab.pkl",
    }
    assert list(values) == [line.split(" = ")[0] for line in parameters.source.splitlines()]
    parameters.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    parent = read_metadata(tmp_path / "mylab.pkl").parent
    assert parent is not None
    assert (parent.parasitized, parent.uninfected) == (12, 12)
