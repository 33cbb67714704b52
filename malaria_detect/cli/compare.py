"""``malaria-detect compare``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from malaria_detect.cli.cells import CELLS_HELP, report_cells
from malaria_detect.cli.training_options import add_weights, parse_fields, parse_weights, scores_in_words
from malaria_detect.core.shipped import MODEL

if TYPE_CHECKING:
    from malaria_detect.designs.elsewhere import LaboratoryCells


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    compare = commands.add_parser(
        "compare",
        help="train and score the designs of other published systems on the same cells and patients",
        description="Train the designs of other published systems on the same cells and patients as ours, score them "
        "on the same test patients, and write the result as JSON.",
    )
    compare.add_argument(
        "--networks",
        metavar="NAMES",
        help="names of designs, separated by commas; an unknown name lists all",
    )
    compare.add_argument(
        "--protocol",
        choices=("grouped", "author"),
        default="grouped",
        help="grouped: all on the same split by patient (default); author: each on the split of its author, in which "
        "patients are in both parts",
    )
    compare.add_argument("--cells", help=CELLS_HELP)
    compare.add_argument(
        "--work", default="runs/compare", help="folder for models and checkpoints (default: %(default)s)"
    )
    add_weights(compare)
    compare.add_argument(
        "--change",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "FIELD=VALUE"),
        help="settings that differ from those of a design's author, such as --change keras-cnn-128 epochs=8",
    )
    compare.add_argument(
        "--model",
        default=MODEL,
        help="trained resnet34, used if it has the same cells and the same split (default: %(default)s)",
    )
    compare.add_argument(
        "--laboratories",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="annotated fields of other laboratories, to score the designs on their cells, too",
    )
    compare.add_argument(
        "--output",
        default="reports/compare.json",
        help="result to write; what it says of other designs is kept (default: %(default)s)",
    )
    compare.set_defaults(
        run=_compare,
        extra="train",
        after_interrupt="Finished networks and epochs are kept. Continue with the same command.",
    )


def _compare(options: argparse.Namespace) -> int:
    from malaria_detect.training.learner import import_fastai

    import_fastai()
    from malaria_detect.data.nlm_cells import find_cells
    from malaria_detect.designs.comparison import on_authors_split
    from malaria_detect.designs.run_comparison import ComparisonPlan, compare_designs
    from malaria_detect.inference.metadata import RESEARCH_USE

    shipped = Path(options.model)
    plan = ComparisonPlan(
        work=Path(options.work),
        names=None if options.networks is None else [name.strip() for name in options.networks.split(",")],
        protocol=options.protocol,
        changed=_changed(options.change),
        weights=parse_weights(options.weights or "imagenet"),
        shipped=shipped if shipped.is_file() else None,
        laboratories=_laboratories(options.laboratories, shipped),
    )
    folder = find_cells(options.cells)
    report_cells(folder)
    for row in compare_designs(folder, plan, Path(options.output)).rows:
        if row.trained is not None:
            print(f"{row.network}: {scores_in_words(row.trained.scores, 'held-out')}")
        if row.author is not None:
            print(f"{row.network}, {row.author.split}: {on_authors_split(row)}")
        if row.not_run:
            print(f"{row.network}: not run. {row.not_run}")
    print(f"{options.output} written. {RESEARCH_USE}")
    return 0


def _laboratories(folders: Sequence[str], shipped: Path) -> "list[LaboratoryCells]":
    from malaria_detect.data.field_annotations import read_field_sets
    from malaria_detect.designs.elsewhere import cells_elsewhere
    from malaria_detect.fields.finder import load_finder
    from malaria_detect.inference.model_files import read_metadata

    if not folders:
        return []
    sets = [one for folder in folders for one in read_field_sets(Path(folder))]
    return cells_elsewhere(sets, load_finder(), read_metadata(shipped))


def _changed(given: Sequence[Sequence[str]]) -> dict[str, dict[str, Any]]:
    from malaria_detect.training.settings import TrainingError

    changed: dict[str, dict[str, Any]] = {}
    for name, *words in given:
        if not words:
            raise TrainingError(f"--change needs a setting, such as --change {name} epochs=8.", "no_setting")
        changed.setdefault(name, {}).update(parse_fields(words))
    return changed
