"""Train and score designs on the same cells: ``malaria-detect compare``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from malaria_detect.core.atomic import check_writable, write_text
from malaria_detect.core.json_io import to_json
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.labelled_cells import LabelledCells, labelled_cells
from malaria_detect.data.nlm_cells import CellFolder
from malaria_detect.designs.authors_split import run_on_authors_split
from malaria_detect.designs.changed import NOT_THE_DESIGNS
from malaria_detect.designs.comparison import (
    OURS,
    PROTOCOL_AUTHOR,
    PROTOCOL_GROUPED,
    Comparison,
    ComparisonError,
    DesignRow,
    OnAuthorsSplit,
    Trained,
    read_comparison,
)
from malaria_detect.designs.elsewhere import LaboratoryCells
from malaria_detect.designs.handcrafted import FeatureDesign
from malaria_detect.designs.registry import all_designs, find_design, find_network
from malaria_detect.designs.scored_cells import ScoredCells
from malaria_detect.designs.scoring import ScoredDesign, score_features, score_network
from malaria_detect.designs.timing import cells_per_second
from malaria_detect.metrics import score
from malaria_detect.training.checkpoint import CHECKPOINT_FILE
from malaria_detect.training.design import Design
from malaria_detect.training.pretrained import WeightsError
from malaria_detect.training.reported import DescribedDesign
from malaria_detect.training.run import run_by_patient
from malaria_detect.training.settings import DivergedError, TrainSettings, Weights


@dataclass(frozen=True)
class ComparisonPlan:
    """What to compare, and how.

    Attributes
    ----------
    work : Path
        Folder for models and checkpoints. Finished models there are not trained again, unfinished runs are continued.
    names, protocol : sequence of str or None, str
        Designs, None for all that are listed. ``grouped``: all on the same split by patient. ``author``: each on the
        split of its author.
    changed : dict of str to dict
        Settings that differ from those of a design, by its name.
    weights : str or dict of str to str
        What designs start from that do not start at random.
    shipped : Path or None
        A trained model of the shipped design, used if it was trained on the same cells and the same split.
    laboratories : sequence of LaboratoryCells
        Cells of other laboratories to score the designs on.
    """

    work: Path
    names: Sequence[str] | None = None
    protocol: str = PROTOCOL_GROUPED
    changed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: Weights = "imagenet"
    shipped: Path | None = None
    laboratories: Sequence[LaboratoryCells] = ()
    progress: bool = True

    @property
    def designs(self) -> list[DescribedDesign]:
        """The designs in the order of the registry; unknown names and changes of shared settings are refused."""
        for name, fields in self.changed.items():
            find_network(name)
            if fixed := [setting for setting in fields if setting in NOT_THE_DESIGNS]:
                raise ComparisonError(
                    f"{', '.join(fixed)} of {name} cannot be changed: all designs use the same split.",
                    "fixed",
                )
        if self.names is None:
            return [design for design in all_designs().values() if design.listed]
        chosen = [find_design(name) for name in self.names]
        return [design for design in all_designs().values() if design in chosen]

    def settings(self, design: Design) -> TrainSettings:
        """The settings of a design's training."""
        weights = {} if "weights" in design.training else {"weights": self.weights}
        return design.settings(**weights, **self.changed.get(design.name, {}))


def compare_designs(folder: CellFolder, plan: ComparisonPlan, output: Path) -> Comparison:
    """Train designs, each as its author did, and score them on held-out cells.

    The result is written to `output`, ``.json``. What it already says of other designs, or of the other protocol, is
    kept. With the protocol ``grouped`` the log-odds of all test cells are written next to it, as ``...-cells.csv``.

    If weights are not available or training diverges, the row says so, or keeps what it had; any other problem raises
    MalariaDetectError.
    """
    designs = plan.designs  # unknown ones are refused before the cells are read
    _check_output(output)
    data = labelled_cells(folder)
    before = _earlier_rows(output, data.fingerprint)
    trained = {name: row.trained for name, row in before.items() if row.trained}
    authors = {name: row.author for name, row in before.items() if row.author}
    if plan.protocol == PROTOCOL_AUTHOR:
        on_splits, problems = _attempt(designs, lambda design: _on_authors_split(design, plan, data))
        authors |= on_splits
    else:
        scored, problems = _attempt(designs, lambda design: _score(design, plan, data))
        cells = ScoredCells.read(_cells_file(output), list(trained)).joined(scored.values())
        trained |= _trained(scored, plan, data)
        trained = {
            name: replace(one, minus_ours=cells.minus(name, OURS, trained)) for name, one in trained.items()
        }
        cells.write(_cells_file(output))
    known = all_designs()
    problems = {name: row.not_run for name, row in before.items()} | problems
    kept = [row for name, row in before.items() if name not in known]
    rows = [
        DesignRow(
            network=design.name,
            title=design.title,
            where=design.where,
            chosen=design.chosen,
            reported=design.reported,
            trained=trained.get(name),
            author=authors.get(name),
            not_run="" if name in trained or name in authors else problems[name],
        )
        for name, design in known.items()
        if design in designs or name in before
    ]
    found = Comparison(data.fingerprint, (*rows, *kept), library_versions(), today())
    write_text(output, to_json(found))
    return found


_Result = TypeVar("_Result")


def _attempt(
    designs: Sequence[DescribedDesign], run: Callable[[DescribedDesign], _Result]
) -> tuple[dict[str, _Result], dict[str, str]]:
    """Results by the name of the design, and problems of those that have none."""
    found: dict[str, _Result] = {}
    problems: dict[str, str] = {}
    for design in designs:
        try:
            found[design.name] = run(design)
        except (WeightsError, DivergedError, _NoSplitError) as error:
            problems[design.name] = str(error)
    return found, problems


def _cells_file(output: Path) -> Path:
    return output.with_name(f"{output.stem}-cells.csv")


def _check_output(output: Path) -> None:
    """Check that the result can be written, before hours of training."""
    if output.suffix != ".json":
        raise ComparisonError(f"The name of the result must end in .json; got {output}.", "output")
    for file in (output, _cells_file(output)):
        check_writable(file)


def _earlier_rows(output: Path, fingerprint: str) -> dict[str, DesignRow]:
    """Rows that the result already has, by name; those of other cells raise ComparisonError."""
    if not output.is_file():
        return {}
    before = read_comparison(output)
    if before.cells != fingerprint:
        raise ComparisonError(
            f"{output} is a comparison on other cells. Choose another --output.", "other_cells"
        )
    return {row.network: row for row in before.rows}


def _score(design: DescribedDesign, plan: ComparisonPlan, data: LabelledCells) -> ScoredDesign:
    if plan.progress:
        tqdm.write(design.name)
    if isinstance(design, FeatureDesign):
        # The split is that of a network with the usual settings.
        ours = find_network(OURS)
        return score_features(design, run_by_patient(ours, ours.settings(), data, plan.work))
    network = find_network(design.name)
    work = plan.work / design.name
    run = run_by_patient(
        network,
        plan.settings(network),
        data,
        work,
        resume=(work / CHECKPOINT_FILE).is_file(),
        progress=plan.progress,
    )
    return score_network(run, None if plan.changed.get(design.name) else plan.shipped)


class _NoSplitError(ComparisonError):
    """The split of a design's author is not known, or is the one that all designs share."""


def _on_authors_split(design: DescribedDesign, plan: ComparisonPlan, data: LabelledCells) -> OnAuthorsSplit:
    if design.split is None:
        raise _NoSplitError(
            "The split of its author is not known, or is a single one by patient.", "no_split"
        )
    if plan.progress:
        tqdm.write(f"{design.name}, as its author split the cells")
    network = find_network(design.name)
    return run_on_authors_split(network, plan.settings(network), data, plan.work, plan.progress)


def _trained(
    scored: Mapping[str, ScoredDesign], plan: ComparisonPlan, data: LabelledCells
) -> dict[str, Trained]:
    speeds = cells_per_second({name: one.log_odds for name, one in scored.items()}, data.cells, plan.progress)
    machine = f"{torch.get_num_threads()} processor threads, {today()}"
    return {
        name: Trained(
            scores=score(
                one.held_out.parasitized,
                one.held_out.probability(one.temperature),
                one.held_out.groups,
                one.threshold,
            ),
            minus_ours={},
            laboratories=tuple(
                laboratory.called(one.probability, one.threshold) for laboratory in plan.laboratories
            ),
            parameters=one.parameters,
            input_size=one.input_size,
            training_seconds=one.training_seconds,
            cells_per_second=speeds[name],
            machine=machine,
            rounding=one.rounding,
            created=one.created,
            settings=one.settings,
            start=one.start,
            history=one.history,
            changed=one.changed,
        )
        for name, one in scored.items()
    }
