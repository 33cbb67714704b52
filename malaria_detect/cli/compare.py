"""``malaria-detect compare``."""

import argparse
from pathlib import Path
from typing import Any

from malaria_detect.cli.cells import CELLS_HELP, report_ignored
from malaria_detect.cli.train import accuracy, add_weights


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    compare = commands.add_parser(
        "compare", help="train the designs of other systems on the same cells and patients, and score them"
    )
    compare.add_argument(
        "--networks",
        metavar="NAMES",
        help="names with commas between; a wrong one is answered with all",
    )
    compare.add_argument(
        "--protocol",
        choices=("grouped", "author"),
        default="grouped",
        help="all on the same split by patient (default), or each as its author split, with patients on both sides",
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
        help="train a network otherwise than its author, like --change keras-cnn-128 epochs=8",
    )
    compare.add_argument(
        "--model",
        default="export.pkl",
        help="resnet34 that stands in where it was trained on the same cells and split (default: %(default)s)",
    )
    compare.add_argument("--output", help="record to write (default: reports/compare.json or …-author.json)")
    compare.set_defaults(
        run=_compare, after_interrupt=" Finished networks and epochs are kept: the same command goes on."
    )


def _compare(options: argparse.Namespace) -> int:
    from malaria_detect.data.nlm_cells import find_cells
    from malaria_detect.designs.comparison import GROUPED
    from malaria_detect.designs.registry import find_network
    from malaria_detect.designs.run_comparison import compare
    from malaria_detect.inference.metadata import RESEARCH_USE
    from malaria_detect.training.settings import TrainingError, parse_fields

    names = None if options.networks is None else [name.strip() for name in options.networks.split(",")]
    changed: dict[str, dict[str, Any]] = {}
    for name, *words in options.change:
        if not words:
            raise TrainingError(f"--change {name} says not what: write it like --change {name} epochs=8.")
        changed.setdefault(name, {}).update(find_network(name).changes(parse_fields(words)))
    suffix = "" if options.protocol == GROUPED else f"-{options.protocol}"
    output = Path(options.output or f"reports/compare{suffix}.json")
    folder = find_cells(options.cells)
    report_ignored(folder.ignored)
    shipped = Path(options.model)
    found = compare(
        folder,
        names,
        Path(options.work),
        output,
        protocol=options.protocol,
        changed=changed,
        weights=options.weights or "imagenet",
        shipped=shipped if shipped.is_file() else None,
    )
    for row in found.rows:
        if row.trained is None:
            print(f"{row.network}: not run. {row.not_run}")
        else:
            print(f"{row.network}: {accuracy(row.trained.scores, 'held-out')}")
    print(f"{output} written. {RESEARCH_USE}")
    return 0
