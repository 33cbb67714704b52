"""Measure the target values of stain normalisation and write them to ``malaria_detect/data/stain_targets.json``.

::

    python -m tools.measure_stain_targets CELLS
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence

import numpy as np

from malaria_detect.core.atomic import write_text
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import to_json
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell, find_cells
from malaria_detect.data.splits import grouped_split
from malaria_detect.data.stain import TARGETS_FILE, StainTargets, cell_mask, lab_statistics, two_stains
from malaria_detect.training.settings import TrainSettings

CELLS_PER_PATIENT = 40


def measure_targets(cells: Sequence[Cell], seed: int) -> StainTargets:
    """Target values measured on at most `CELLS_PER_PATIENT` random cells of each patient.

    Lightness and colours are the means over patients of the medians over their cells. The stains are those of the
    parasitized cells of one patient, taken together as one image: the infected patient whose lightness and colours are
    closest to those of the others (smallest sum of distances). Averaged over patients, two stains would be closer
    together than in any smear.

    Parameters
    ----------
    cells : sequence of Cell
        Training cells, see :func:`malaria_detect.data.splits.grouped_split`.
    seed : int
        Seed of the random choice of cells.

    Raises
    ------
    MalariaDetectError
        If there is no parasitized cell, or those of the chosen patient do not show two stains.
    """
    random = np.random.default_rng(seed)
    names: list[str] = []
    labs: dict[str, np.ndarray] = {}
    infected: dict[str, list[np.ndarray]] = {}
    for group, of_patient in _by_patient(cells).items():
        measured = []
        for index in random.permutation(len(of_patient))[:CELLS_PER_PATIENT]:
            cell = of_patient[index]
            pixels = np.asarray(read_image(cell.path))
            colours = pixels[cell_mask(pixels)]
            statistics = lab_statistics(colours)
            if statistics is not None:
                names.append(cell.path.name)
                measured.append(statistics)
                if cell.label == CLASSES[0]:
                    infected.setdefault(group, []).append(colours)
        if measured:
            labs[group] = np.median(measured, axis=0)
    middle = _middle_patient({group: labs[group][0] for group in infected})
    stains = two_stains(np.concatenate(infected[middle]))
    if stains is None:
        raise MalariaDetectError(
            f"The parasitized cells of {middle} do not show two stains.", reason="no_stains"
        )
    mean, spread = np.mean(list(labs.values()), axis=0)
    listed = "".join(f"{name}\n" for name in sorted(names))
    return StainTargets(
        lab_mean=_three(mean),
        lab_std=_three(spread),
        stains=(_three(stains[0][:, 0]), _three(stains[0][:, 1])),
        strength=(round(float(stains[1][0]), 4), round(float(stains[1][1]), 4)),
        stain_patient=middle,
        cells=len(names),
        patients=len(labs),
        seed=seed,
        names_sha256=hashlib.sha256(listed.encode()).hexdigest(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the training cells of the default split and write `TARGETS_FILE`."""
    parser = argparse.ArgumentParser(prog="python -m tools.measure_stain_targets", description=main.__doc__)
    parser.add_argument("cells", nargs="?", help="folder of the NIH/NLM cells")
    options, settings = parser.parse_args(arguments), TrainSettings()
    try:
        cells = find_cells(options.cells).cells
        split = grouped_split(cells, settings.valid, settings.test, settings.seed)
        targets = measure_targets([cells[index] for index in split.train], settings.seed)
    except MalariaDetectError as error:
        print(error, file=sys.stderr)
        return 2
    write_text(TARGETS_FILE, to_json(targets))
    print(f"{TARGETS_FILE.name}: {targets.cells:,} cells of {targets.patients:,} training patients")
    return 0


def _by_patient(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells of each patient, all in the order of their names."""
    found: dict[str, list[Cell]] = {group: [] for group in sorted({cell.group for cell in cells})}
    for cell in sorted(cells, key=lambda cell: cell.path.name):
        found[cell.group].append(cell)
    return found


def _middle_patient(lab_means: dict[str, np.ndarray]) -> str:
    """Patient with the smallest sum of distances to the others."""
    if not lab_means:
        raise MalariaDetectError("There are no parasitized cells to measure stains on.", reason="no_stains")
    points = np.array(list(lab_means.values()))
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    return list(lab_means)[distances.sum(axis=1).argmin()]


def _three(numbers: np.ndarray) -> tuple[float, float, float]:
    first, second, third = (round(float(number), 4) for number in numbers)
    return first, second, third


if __name__ == "__main__":
    sys.exit(main())
