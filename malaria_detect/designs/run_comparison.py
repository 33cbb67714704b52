"""Train and score designs on the same cells: ``malaria-detect compare``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.core.atomic import check_writable, write_text
from malaria_detect.core.csv_io import write_rows
from malaria_detect.core.json_io import to_json
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.labelled_cells import LabelledCells, labelled_cells
from malaria_detect.data.nlm_cells import CellFolder
from malaria_detect.designs.comparison import (
    COMPARED,
    OURS,
    PROTOCOL_AUTHOR,
    PROTOCOL_GROUPED,
    Comparison,
    ComparisonError,
    DesignRow,
    Trained,
    read_comparison,
)
from malaria_detect.designs.registry import DESIGNS, find_design
from malaria_detect.designs.resnet50v2 import STAGES
from malaria_detect.designs.scoring import ScoredNetwork, score_network, scoring_run
from malaria_detect.designs.timing import images_per_second
from malaria_detect.inference.model_files import read_model
from malaria_detect.metrics import difference, score
from malaria_detect.training.design import Design
from malaria_detect.training.learner import open_learner
from malaria_detect.training.pretrained import WeightsError
from malaria_detect.training.settings import DivergedError, TrainSettings, Weights, recorded

# Settings that are not part of a design's own training.
_NOT_THE_DESIGNS = ("weights", "network", "seed", "valid", "test")


@dataclass(frozen=True)
class ComparisonPlan:
    """What to compare, and how.

    Attributes
    ----------
    work : Path
        Folder for models and checkpoints. Finished models there are not trained again, unfinished runs are continued.
    names, protocol : sequence of str or None, str
        Designs, None for all; see :class:`malaria_detect.designs.comparison.Comparison`.
    changed : dict of str to dict
        Settings that differ from those of a design, by its name.
    weights : str or dict of str to str
        What designs start from that do not start at random.
    shipped : Path or None
        A trained model of the shipped design, used if it was trained on the same cells and the same split.
    """

    work: Path
    names: Sequence[str] | None = None
    protocol: str = PROTOCOL_GROUPED
    changed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: Weights = "imagenet"
    shipped: Path | None = None
    progress: bool = True

    @property
    def designs(self) -> list[Design]:
        """The designs in the order of the registry; unknown names and changes of shared settings are refused."""
        for name, fields in self.changed.items():
            find_design(name)
            if fixed := [setting for setting in fields if setting in _NOT_THE_DESIGNS]:
                raise ComparisonError(
                    f"{', '.join(fixed)} of {name} cannot be changed: all designs use the same split.",
                    "fixed",
                )
        if self.names is None:
            return list(DESIGNS.values())
        chosen = [find_design(name) for name in self.names]
        return [design for design in DESIGNS.values() if design in chosen]

    def settings(self, design: Design) -> TrainSettings:
        """The settings of a design's training."""
        weights = {} if "weights" in design.training else {"weights": self.weights}
        return design.settings(**weights, **self.changed.get(design.name, {}))


def compare_designs(folder: CellFolder, plan: ComparisonPlan, output: Path) -> Comparison:
    """Train designs, each as its author did, and score them on held-out cells.

    The result is written to `output`, ``.json``. With the protocol ``grouped`` the probabilities of all test cells are
    written next to it, as ``...-cells.csv``.

    If weights are not available or training diverges, the row says so; any other problem raises MalariaDetectError.
    """
    _check_output(output, plan.designs)
    data = labelled_cells(folder)
    scored: dict[str, ScoredNetwork] = {}
    not_run: dict[str, str] = {}
    for design in plan.designs:
        if plan.protocol == PROTOCOL_AUTHOR and design.split is None:
            not_run[design.name] = "The split of its author is not known, or is by patient."
            continue
        try:
            scored[design.name] = _score(design, plan, data)
        except (WeightsError, DivergedError) as error:
            not_run[design.name] = str(error)
    _check_same_cells(scored, plan.protocol)
    rows = _rows(plan, scored, not_run, data)
    threads = f"{torch.get_num_threads()} processor threads"
    found = Comparison(plan.protocol, data.fingerprint, rows, threads, library_versions(), today())
    if plan.protocol == PROTOCOL_GROUPED:
        _write_cells(list(scored.values()), _cells_file(output))
    write_text(output, to_json(found))
    return found


def _cells_file(output: Path) -> Path:
    return output.with_name(f"{output.stem}-cells.csv")


def _check_output(output: Path, designs: Sequence[Design]) -> None:
    """Check that the result can be written, before hours of training, and that no other rows get lost."""
    if output.suffix != ".json":
        raise ComparisonError(f"The name of the result must end in .json; got {output}.", "output")
    for file in (output, _cells_file(output)):
        check_writable(file)
    if not output.is_file():
        return
    kept = [design.name for design in designs]
    if lost := [row.network for row in read_comparison(output).rows if row.network not in kept]:
        raise ComparisonError(
            f"{output} also contains other designs, which would be lost ({', '.join(lost)}). "
            "Choose another --output.",
            "rows_lost",
        )


def _score(design: Design, plan: ComparisonPlan, data: LabelledCells) -> ScoredNetwork:
    if plan.progress:
        tqdm.write(design.name)
    run = scoring_run(design, plan.settings(design), data, plan.work, plan.protocol, plan.progress)
    return score_network(run, None if plan.changed.get(design.name) else plan.shipped)


def _check_same_cells(scored: Mapping[str, ScoredNetwork], protocol: str) -> None:
    cells = {name: (one.held_out.files, one.held_out.labels) for name, one in scored.items()}
    if protocol == PROTOCOL_GROUPED and len(set(cells.values())) > 1:
        raise ComparisonError(
            f"The models of {', '.join(cells)} were not scored on the same cells. Choose another --work.",
            "other_cells",
        )


def _rows(
    plan: ComparisonPlan, scored: Mapping[str, ScoredNetwork], not_run: Mapping[str, str], data: LabelledCells
) -> tuple[DesignRow, ...]:
    speeds = images_per_second({name: one.model for name, one in scored.items()}, data.cells, plan.progress)
    ours = scored.get(OURS) if plan.protocol == PROTOCOL_GROUPED else None
    trained = {name: _trained(one, plan.protocol, ours, speeds[name]) for name, one in scored.items()}
    return tuple(
        DesignRow(
            network=design.name,
            title=design.title,
            where=design.where,
            chosen=design.chosen,
            reported=design.reported,
            trained=trained.get(design.name),
            not_run=not_run.get(design.name, ""),
        )
        for design in plan.designs
    )


def _trained(one: ScoredNetwork, protocol: str, ours: ScoredNetwork | None, speed: float) -> Trained:
    cells, metadata = one.held_out, one.metadata
    minus_ours = {}
    if ours is not None and one is not ours:
        both = difference(cells.parasitized, one.shifted, ours.shifted, cells.groups)
        minus_ours = {name: both[name] for name in COMPARED}
    network = open_learner(read_model(one.model)[1]).model
    return Trained(
        scores=metadata.point().test
        if protocol == PROTOCOL_GROUPED
        else score(cells.parasitized, cells.probability(1.0), cells.groups),
        minus_ours=minus_ours,
        parameters=sum(tensor.numel() for tensor in network.parameters()),
        file_bytes=metadata.size_bytes,
        training_seconds=sum(epoch.seconds for epoch in metadata.history),
        pictures_per_second=speed,
        input_size=metadata.input_size,
        created=metadata.created,
        settings=metadata.settings,
        start=metadata.weights,
        changed=(*_changed(one.design, metadata.settings), *cut_off(network)),
    )


def cut_off(network: nn.Module) -> tuple[str, ...]:
    """Phrases for trunks that lack stages, because the file of their weights ends early."""
    counts = (
        len(list(part.children())) for name, part in network.named_modules() if name.endswith(".stages")
    )
    return tuple(
        f"the pretrained network was cut after stage {count} of {STAGES}"
        for count in counts
        if count < STAGES
    )


def _changed(design: Design, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Phrases for the settings that differ from the design's own."""
    own = {"class_weights": "none", **recorded(design.settings())}
    parts = []
    if "sizes" in settings and settings["sizes"] != own["sizes"]:
        epochs, planned = len(settings["sizes"]), len(own["sizes"])
        parts.append(
            f"{epochs} {'epoch' if epochs == 1 else 'epochs'} instead of {planned}"
            if set(settings["sizes"]) == set(own["sizes"])
            else "other image sizes"
        )
    parts += [
        f"{name.replace('_', ' ')} {settings[name]} instead of {own[name]}"
        for name in own
        if name not in ("sizes", *_NOT_THE_DESIGNS) and settings.get(name, own[name]) != own[name]
    ]
    return tuple(parts)


def _write_cells(scored: Sequence[ScoredNetwork], path: Path) -> None:
    """Write the calibrated probability of every test cell, one column for each network."""
    if not scored:
        return
    first = scored[0].held_out
    # All digits, to compute the scores again: rounded probabilities close to 1 would be equal.
    columns = [[f"{p:.17g}" for p in one.probability] for one in scored]
    rows = zip(first.files, first.groups, first.labels, *columns, strict=True)
    write_rows(path, ("file", "patient_group", "label", *(one.design.name for one in scored)), list(rows))
