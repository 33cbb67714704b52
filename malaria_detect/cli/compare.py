"""``malaria-detect compare``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from malaria_detect.cli.cells import CELLS_HELP, report_cells
from malaria_detect.cli.training_options import (
    add_weights,
    parse_fields,
    parse_sizes,
    parse_weights,
    scores_in_words,
)

_SIZES = "sizes="


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
        help="names of designs, separated by commas; an unknown name lists all (default: all but "
        "feature-fusion-mobilenetv2)",
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
        help="settings that differ from those of a design's author, such as --change keras-cnn-128 epochs=8; "
        "sizes=112x4,224x2 are image sizes in px and their epochs",
    )
    compare.add_argument(
        "--model",
        help="trained resnet34, used if it has the same cells and the same split (default: export.pkl, or the model "
        "that comes with the package)",
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
    from malaria_detect.data.field_annotations import read_field_sets
    from malaria_detect.data.nlm_cells import find_cells
    from malaria_detect.designs.comparison import PROTOCOL_GROUPED, on_authors_split
    from malaria_detect.designs.run_comparison import ComparisonPlan, compare_designs
    from malaria_detect.inference.metadata import RESEARCH_USE
    from malaria_detect.inference.model_files import default_model, read_metadata

    shipped = Path(options.model or default_model())
    if options.model:
        read_metadata(shipped)  # a mistyped name is an error
    plan = ComparisonPlan(
        work=Path(options.work),
        shipped=shipped,
        names=None if options.networks is None else [name.strip() for name in options.networks.split(",")],
        protocol=options.protocol,
        changed=_changed(options.change),
        weights=parse_weights(options.weights or "imagenet"),
        laboratories=[one for folder in options.laboratories for one in read_field_sets(Path(folder))],
    )
    names = [design.name for design in plan.designs]
    folder = find_cells(options.cells)
    report_cells(folder)
    found, problems = compare_designs(folder, plan, Path(options.output))
    for row in found.rows:
        if row.network not in names or row.network in problems:
            continue
        if options.protocol == PROTOCOL_GROUPED and row.trained is not None:
            print(f"{row.network}: {scores_in_words(row.trained.scores, 'held-out')}")
        elif row.author is not None:
            print(f"{row.network}, {row.author.split}: {on_authors_split(row)}")
    for name, problem in problems.items():
        print(f"{name}: not run. {problem}", file=sys.stderr)
    print(f"{options.output} written. {RESEARCH_USE}")
    return 0


def _changed(given: Sequence[Sequence[str]]) -> dict[str, dict[str, Any]]:
    from malaria_detect.training.settings import TrainingError

    changed: dict[str, dict[str, Any]] = {}
    for name, *words in given:
        if not words:
            raise TrainingError(f"--change needs a setting, such as --change {name} epochs=8.", "no_setting")
        found = changed.setdefault(name, {})
        for word in words:
            if word.startswith(_SIZES):
                found["sizes"] = parse_sizes(word.removeprefix(_SIZES))
            else:
                found.update(parse_fields([word]))
    return changed
