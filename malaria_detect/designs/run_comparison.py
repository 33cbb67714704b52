"""Train and score networks on the same cells, and write what came out: ``malaria-detect compare``."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.core.csv_io import write_rows
from malaria_detect.core.json_io import to_json
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.nlm_cells import CellFolder, check_cells
from malaria_detect.designs.comparison import (
    AUTHOR,
    COMPARED,
    GROUPED,
    OURS,
    Comparison,
    ComparisonError,
    Row,
    Trained,
    read_comparison,
)
from malaria_detect.designs.registry import NETWORKS, find_network
from malaria_detect.designs.resnet50v2_frozen import STAGES
from malaria_detect.designs.scoring import Entry, as_in_json, entry_of
from malaria_detect.designs.timing import pictures_per_second
from malaria_detect.inference.model_files import read_model
from malaria_detect.inference.network import open_learner
from malaria_detect.metrics import difference, score
from malaria_detect.training.design import Design
from malaria_detect.training.pretrained import WeightsError
from malaria_detect.training.settings import DivergedError, recorded

# Fields of the settings that are no part of a design's own training.
_NOT_THE_DESIGNS = ("weights", "network", "seed", "valid", "test")


def compare(
    folder: CellFolder,
    networks: Sequence[str] | None,
    work: Path,
    output: Path,
    *,
    protocol: str = GROUPED,
    changed: Mapping[str, Mapping[str, Any]] | None = None,
    weights: str = "imagenet",
    shipped: Path | None = None,
    progress: bool = True,
) -> Comparison:
    """Train networks, each as its author did, and score them on cells that they were not trained on.

    A run that was stopped is gone on with, and a network whose model lies in ``work`` is not trained again.

    Parameters
    ----------
    folder : CellFolder
        From :func:`malaria_detect.data.nlm_cells.find_cells`; unreadable cells are left out.
    networks : sequence of str, optional
        Names from :data:`malaria_detect.designs.registry.NETWORKS`; without them all.
    work : Path
        Folder for models and checkpoints.
    output : Path
        The record to write, ``.json``. Beside it, with the grouped protocol, what every network said of every test cell
        is written as ``…-cells.csv``.
    protocol : str
        ``grouped`` or ``author``, see :class:`malaria_detect.designs.comparison.Comparison`.
    changed : dict of network to dict, optional
        Fields of the settings that are to differ from the design's own, as its epochs.
    weights : str
        What networks start from that do not start at random.
    shipped : Path, optional
        A resnet34 that was trained before, which stands in where it was trained on the same cells and the same split.
    progress : bool
        Show bars, and a line for every epoch.

    Returns
    -------
    Comparison

    Raises
    ------
    MalariaDetectError
        Where a name is unknown, cells or settings do not serve, or a model in ``work`` is of other settings. Where
        only weights cannot be had, the row says so.
    """
    changed = changed or {}
    designs = _designs(networks, changed)
    _check_output(output, designs)
    folder, fingerprint = check_cells(folder)
    entries: dict[str, Entry] = {}
    not_run: dict[str, str] = {}
    for design in designs:
        more = {} if "weights" in design.training else {"weights": weights}
        settings = design.settings(**more, **changed.get(design.name, {}))
        if protocol == AUTHOR and design.split is None:
            not_run[design.name] = "Its author's split is not known, or was grouped by patient as ours."
            continue
        if progress:
            tqdm.write(design.name)
        stand_in = None if changed.get(design.name) else shipped
        try:
            entries[design.name] = entry_of(
                design, settings, folder.cells, fingerprint, work, protocol, stand_in, progress
            )
        except (WeightsError, DivergedError) as error:
            not_run[design.name] = str(error)
    _check_same_cells(entries, protocol)
    speeds = pictures_per_second(
        {name: entry.model for name, entry in entries.items()}, folder.cells, progress
    )
    ours = entries.get(OURS) if protocol == GROUPED else None
    rows = [
        Row(
            network=design.name,
            title=design.title,
            where=design.where,
            chosen=design.chosen,
            reported=design.reported,
            trained=_trained(entries[design.name], protocol, ours, speeds[design.name])
            if design.name in entries
            else None,
            not_run=not_run.get(design.name, ""),
        )
        for design in designs
    ]
    found = Comparison(protocol, fingerprint, tuple(rows), _machine(), library_versions(), today())
    if protocol == GROUPED:
        _write_cells(list(entries.values()), output.with_name(f"{output.stem}-cells.csv"))
    part = output.with_suffix(".part")
    part.write_text(to_json(found), encoding="utf-8")
    part.replace(output)
    return found


def _designs(networks: Sequence[str] | None, changed: Mapping[str, Mapping[str, Any]]) -> list[Design]:
    for name in (*(networks or ()), *changed):
        find_network(name)
    for name, fields in changed.items():
        if fixed := [field for field in fields if field in _NOT_THE_DESIGNS]:
            raise ComparisonError(
                f"{', '.join(fixed)} of {name} cannot be changed: all networks are compared on the same split."
            )
    return [design for name, design in NETWORKS.items() if networks is None or name in networks]


def _check_output(output: Path, designs: Sequence[Design]) -> None:
    """Refuse a place that cannot be written to, before hours are spent, and one that holds other rows."""
    if output.suffix != ".json" or not os.access(output.absolute().parent, os.W_OK):
        raise ComparisonError(f"{output} must end in .json, in a folder that can be written to.")
    if not output.is_file():
        return
    wanted = [design.name for design in designs]
    lost = [row.network for row in read_comparison(output).rows if row.network not in wanted]
    if lost:
        raise ComparisonError(
            f"{output} holds other networks, too, which would be lost ({', '.join(lost)}): name another --output."
        )


def _check_same_cells(entries: Mapping[str, Entry], protocol: str) -> None:
    """Refuse to lay side by side what was scored on different cells."""
    first = next(iter(entries.values()), None)
    for entry in entries.values():
        if first is None or protocol != GROUPED:
            return
        if (entry.held_out.files, entry.held_out.labels) != (first.held_out.files, first.held_out.labels):
            raise ComparisonError(f"{entry.model} and {first.model} were not scored on the same cells.")


def _trained(entry: Entry, protocol: str, ours: Entry | None, speed: float) -> Trained:
    cells, metadata = entry.held_out, entry.metadata
    minus_ours = {}
    if ours is not None and entry is not ours:
        both = difference(cells.parasitized, entry.shifted, ours.shifted, cells.groups)
        minus_ours = {name: both[name] for name in COMPARED}
    network = open_learner(read_model(entry.model)[1]).model
    return Trained(
        scores=metadata.point().test
        if protocol == GROUPED
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
        changed=(*_changed(entry.design, metadata.settings), *_cut_off(network)),
    )


def _cut_off(network: nn.Module) -> tuple[str, ...]:
    """What a trunk lacks because the file of its weights ends early, as sentences' parts."""
    stages = [part for name, part in network.named_modules() if name.endswith(".stages")]
    return tuple(
        f"a trunk that ends after stage {count} of {STAGES}"
        for count in (len(list(part.children())) for part in stages)
        if count < STAGES
    )


def _changed(design: Design, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """How settings differ from the design's own, each as a sentence's part."""
    own = as_in_json(recorded(design.settings()))
    parts = []
    if "sizes" in settings and settings["sizes"] != own["sizes"]:
        epochs, wanted = len(settings["sizes"]), len(own["sizes"])
        parts.append(
            f"{epochs} {'epoch' if epochs == 1 else 'epochs'} instead of {wanted}"
            if set(settings["sizes"]) == set(own["sizes"])
            else "pictures of other sizes"
        )
    parts += [
        f"{name.replace('_', ' ')} {settings[name]} instead of {own[name]}"
        for name in own
        if name not in ("sizes", *_NOT_THE_DESIGNS) and settings.get(name, own[name]) != own[name]
    ]
    return tuple(parts)


def _machine() -> str:
    return f"{torch.get_num_threads()} processor threads"


def _write_cells(entries: Sequence[Entry], path: Path) -> None:
    """Every network's calibrated probability of every test cell."""
    if not entries:
        return
    first = entries[0].held_out
    # Digits enough that the scores can be computed anew: rounded ones would tie.
    columns = [[f"{p:.9g}" for p in entry.probability] for entry in entries]
    rows = zip(first.files, first.groups, first.labels, *columns, strict=True)
    write_rows(
        path, ("file", "patient_group", "label", *(entry.design.name for entry in entries)), list(rows)
    )
