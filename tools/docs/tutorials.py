"""Write the tutorials of the documentation site: run the notebooks on drawn cells and convert them to Markdown.

python -m tools.docs.tutorials
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.evaluation.cross_validation import HeldOut, write_held_out
from tests.drawn import draw_cells
from tests.drawn_fields import draw_fields

PROJECT = Path(__file__).resolve().parents[2]
TUTORIALS = PROJECT / "docs" / "tutorials"
RUN_NOTE = """
!!! note
    This page was made from `{notebook}`, which ran on **drawn images**, because real ones are not
    redistributed. The numbers and figures show the output format, not the performance of the model.
"""
NOT_RUN_NOTE = """
!!! note
    This page was made from `{notebook}`. The notebook is interactive: open it in JupyterLab to use it.
"""


def main() -> None:
    """Write all tutorials to docs/tutorials."""
    shutil.rmtree(TUTORIALS, ignore_errors=True)
    TUTORIALS.mkdir()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        cells = draw_cells(folder / "cells")
        write_predictions(cells, folder / "held-out.csv")
        train = {"CELLS": str(cells), "WEIGHTS": "none", "SIZES": {32: 1, 48: 1}, "BATCH_SIZE": 8}
        train |= {"AVERAGE_EPOCHS": 1}
        explore = {"CELLS": str(cells), "PREDICTIONS": "held-out.csv", "MODEL": str(PROJECT / "export.pkl")}
        convert("notebooks/explore.ipynb", explore, folder)
        convert("train.ipynb", train, folder)
        draw_fields(folder / "fields", range(3))
        convert("notebooks/fields.ipynb", {"MODEL": explore["MODEL"]}, folder)
    convert("notebooks/labels.ipynb", {}, None)


def convert(name: str, parameters: dict[str, Any], folder: Path | None) -> None:
    """Write one notebook as Markdown with its figures as PNG files.

    Parameters
    ----------
    name : str
        Path of the notebook in the repository.
    parameters : dict
        Values of the parameters cell for this run; the page shows the notebook's own values.
    folder : Path or None
        Working directory of the run; None to leave the notebook unexecuted.
    """
    notebook = nbformat.read(PROJECT / name, as_version=4)
    note = NOT_RUN_NOTE
    if folder is not None:
        note = RUN_NOTE
        (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        shown = cell.source
        cell.source += "\n" + "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
        cell.source = shown
        for cell in (one for one in notebook.cells if one.cell_type == "code"):
            # Warnings of other packages contain paths of this machine.
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    title, *rest = notebook.cells[0].source.splitlines()
    # Badges are images of other hosts, from which the site loads nothing.
    text = "\n".join(line for line in rest if not line.startswith("[!["))
    notebook.cells[0].source = title + "\n" + note.format(notebook=name) + text
    stem = Path(name).stem
    resources = {"output_files_dir": f"{stem}-figures", "unique_key": stem}
    text, made = MarkdownExporter().from_notebook_node(notebook, resources)
    (TUTORIALS / f"{stem}.md").write_text(text, encoding="utf-8")
    for path, content in made["outputs"].items():
        (TUTORIALS / path).parent.mkdir(exist_ok=True)
        (TUTORIALS / path).write_bytes(content)


def write_predictions(cells: Path, path: Path) -> None:
    """Write invented cross-validation predictions of the drawn cells: one cell in ten has a doubtful label."""
    found = find_cells(cells).cells
    labels = tuple(cell.label for cell in found)
    parasitized = (label == "Parasitized" for label in labels)
    probabilities = tuple(
        (0.97 if one else 0.02) if place % 10 else (0.2 if one else 0.7)
        for place, one in enumerate(parasitized)
    )
    files = tuple(cell.path.name for cell in found)
    groups = tuple(cell.group for cell in found)
    write_held_out(HeldOut(files, groups, (1,) * len(found), labels, probabilities, labels), path)


if __name__ == "__main__":
    main()
