"""Train and score designs on the same cells: ``malaria-detect compare``."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tqdm.auto import tqdm

from malaria_detect.core.atomic import check_writable, write_text
from malaria_detect.core.json_io import to_json
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.field_truth import FieldSet
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
from malaria_detect.designs.elsewhere import LaboratoryCells, cells_elsewhere
from malaria_detect.designs.handcrafted import FeatureDesign
from malaria_detect.designs.registry import all_designs, find_design, find_network
from malaria_detect.designs.scored_cells import ScoredCells
from malaria_detect.designs.scoring import ScoredDesign, score_features, score_network
from malaria_detect.designs.timing import cells_per_second
from malaria_detect.fields.finder import load_finder
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.metrics import score
from malaria_detect.training.checkpoint import CHECKPOINT_FILE
from malaria_detect.training.described import DescribedDesign
from malaria_detect.training.design import Design
from malaria_detect.training.pretrained import WeightsError
from malaria_detect.training.run import run_by_patient
from malaria_detect.training.settings import DivergedError, TrainSettings, Weights


@dataclass(frozen=True)
class ComparisonPlan:
    """What to compare, and how.

    Attributes
    ----------
    work : Path
        Folder for models and checkpoints. Finished models there are not trained again, unfinished runs are continued.
    shipped : Path
        A trained model of the shipped design, used if it was trained on the same cells and the same split.
    names, protocol : sequence of str or None, str
        Designs, None for all that are listed. ``grouped``: all on the same split by patient. ``author``: each on the
        split of its author.
    changed : dict of str to dict
        Settings that differ from those of a design, by its name.
    weights : str or dict of str to str
        What designs start from that do not start at random.
    laboratories : sequence of FieldSet
        Annotated fields of other laboratories, to score the designs on their cells, too.
    """

    work: Path
    shipped: Path
    names: Sequence[str] | None = None
    protocol: str = PROTOCOL_GROUPED
    changed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: Weights = "imagenet"
    laboratories: Sequence[FieldSet] = ()
    progress: bool = True

    @property
    def designs(self) -> list[DescribedDesign]:
        """The designs; unknown names, changes of shared settings and unfit image sizes are refused."""
        for name, fields in self.changed.items():
            network = find_network(name)
            if fixed := [setting for setting in fields if setting in NOT_THE_DESIGNS]:
                raise ComparisonError(
                    f"{', '.join(fixed)} of {name} cannot be changed: all designs use the same split.",
                    "fixed",
                )
            network.check_sizes(self.settings(network).epochs)
        if self.names is None:
            return [design for design in all_designs().values() if design.listed]
        return [find_design(name) for name in dict.fromkeys(self.names)]

    def settings(self, design: Design) -> TrainSettings:
        """The settings of a design's training."""
        weights = {} if "weights" in design.training else {"weights": self.weights}
        return design.settings(**weights, **self.changed.get(design.name, {}))


class Compared(NamedTuple):
    """A comparison with all its rows, and by name why designs of this run have no new result."""

    comparison: Comparison
    problems: dict[str, str]


def compare_designs(folder: CellFolder, plan: ComparisonPlan, output: Path) -> Compared:
    """Train designs, each as its author did, and score them on held-out cells.

    The result is written to `output`, ``.json``. Rows of other designs, and results of the other protocol, are kept.
    With the protocol ``grouped`` the log-odds of all test cells are written next to it, as ``...-cells.csv``.

    A design whose weights are not available, or whose training diverges, keeps the result that it had; any other
    problem raises MalariaDetectError.
    """
    designs = plan.designs  # unknown ones are refused before the cells are read
    _check(plan, output)
    data = labelled_cells(folder)
    before = _earlier_rows(output, data.fingerprint)
    trained = {name: row.trained for name, row in before.items() if row.trained}
    authors = {name: row.author for name, row in before.items() if row.author}
    cells = ScoredCells.read(_cells_file(output), trained)
    if plan.protocol == PROTOCOL_AUTHOR:
        on_splits, problems = _attempt(designs, lambda design: _on_authors_split(design, plan, data))
        authors |= on_splits
    else:
        laboratories = (
            cells_elsewhere(plan.laboratories, load_finder(), read_metadata(plan.shipped), plan.progress)
            if plan.laboratories
            else []
        )
        scored, problems = _attempt(designs, lambda design: _score(design, plan, data))
        cells = cells.joined(scored.values())
        trained |= _trained(scored, laboratories, trained, data, plan.progress)
        trained = {
            name: replace(one, minus_ours=cells.minus(name, OURS, trained)) for name, one in trained.items()
        }
    rows = {name: replace(row, trained=trained.get(name)) for name, row in before.items()}
    for design in designs:
        name, row = design.name, before.get(design.name)
        described = row if name in problems and row is not None else design
        rows[name] = DesignRow(
            network=name,
            title=described.title,
            where=described.where,
            chosen=described.chosen,
            reported=described.reported,
            trained=trained.get(name),
            author=authors.get(name),
            not_run="" if name in trained or name in authors else problems[name],
        )
    cells.write(_cells_file(output), [name for name, row in rows.items() if row.trained])
    found = Comparison(data.fingerprint, tuple(rows.values()), library_versions(), today())
    write_text(output, to_json(found))
    return Compared(found, problems)


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


def _check(plan: ComparisonPlan, output: Path) -> None:
    """Check what can be checked before hours of training."""
    if output.suffix != ".json":
        raise ComparisonError(f"The name of the result must end in .json; got {output}.", "output")
    for file in (output, _cells_file(output)):
        check_writable(file)
    if plan.laboratories and plan.protocol == PROTOCOL_AUTHOR:
        raise ComparisonError(
            "Cells of other laboratories are scored with the protocol grouped only. Leave --laboratories out.",
            "laboratories",
        )


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
        run = run_by_patient(ours, ours.settings(), data, plan.work, progress=plan.progress)
        return score_features(design, run)
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
    shipped = plan.shipped if plan.shipped.is_file() and not plan.changed.get(design.name) else None
    return score_network(run, shipped)


class _NoSplitError(ComparisonError):
    """The split of a design's author is not known, or is the one that all designs share."""


def _on_authors_split(design: DescribedDesign, plan: ComparisonPlan, data: LabelledCells) -> OnAuthorsSplit:
    if design.split is None or not isinstance(design, Design):
        raise _NoSplitError(
            "The split of its author is not known, or is a single one by patient.", "no_split"
        )
    if plan.progress:
        tqdm.write(f"{design.name}, as its author split the cells")
    return run_on_authors_split(design, plan.settings(design), data, plan.work, plan.progress)


def _trained(
    scored: Mapping[str, ScoredDesign],
    laboratories: Sequence[LaboratoryCells],
    before: Mapping[str, Trained],
    data: LabelledCells,
    progress: bool,
) -> dict[str, Trained]:
    speeds = cells_per_second({name: one.log_odds for name, one in scored.items()}, data.cells, progress)
    machine = f"{os.cpu_count()} processor cores, {today()}"
    found = {}
    for name, one in scored.items():
        earlier, called = before.get(name), tuple(cells.called(one) for cells in laboratories)
        if not called and earlier is not None and earlier.sha256 == one.sha256 is not None:
            called = earlier.laboratories  # of the same model
        found[name] = Trained(
            scores=score(
                one.held_out.parasitized,
                one.held_out.probability(one.temperature),
                one.held_out.groups,
                one.threshold,
            ),
            minus_ours={},
            laboratories=called,
            parameters=one.parameters,
            input_size=one.input_size,
            training_seconds=one.training_seconds,
            cells_per_second=speeds[name],
            machine=machine,
            rounding=one.rounding,
            sha256=one.sha256,
            created=one.created,
            settings=one.settings,
            start=one.start,
            history=one.history,
            changed=one.changed,
        )
    return found
