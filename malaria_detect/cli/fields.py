"""``malaria-detect fields``: draw synthetic fields, and train the cell finder on them."""

import argparse
from pathlib import Path

from malaria_detect.cli.cells import CELLS_HELP

_TRAINING = {
    "epochs": "epochs of the training",
    "batches": "batches in an epoch",
    "batch_size": "pictures in a batch",
    "lr": "highest learning rate",
    "seed": "seed of the fields",
}


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser."""
    fields = commands.add_parser(
        "fields",
        help="draw synthetic fields, or train the cell finder on them",
        description="Put cells together to synthetic fields with known outlines, or train the cell finder on such "
        "fields. `malaria-detect field` analyses photographs.",
    )
    actions = fields.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_synthesize(actions)
    train = actions.add_parser(
        "train",
        help="train a cell finder and write its weights and metadata",
        description="Train a cell finder on synthetic fields made of NIH/NLM cells, split by patient as in "
        "`malaria-detect train`.",
    )
    train.add_argument("--cells", help=CELLS_HELP)
    train.add_argument(
        "--weights",
        required=True,
        metavar="FILE",
        help="state dict of torchvision's resnet18 to start from; layer4 and fc are not needed",
    )
    train.add_argument("--output", default="finder.pt", help="weights to write (default: %(default)s)")
    train.add_argument(
        "--work", default="runs/finder", help="folder for the checkpoint (default: %(default)s)"
    )
    for name, text in _TRAINING.items():
        train.add_argument(f"--{name.replace('_', '-')}", type=float if name == "lr" else int, help=text)
    train.add_argument(
        "--resume", action="store_true", help="continue after the last finished epoch in --work"
    )
    train.set_defaults(
        run=_train,
        extra="train",
        after_interrupt="Finished epochs are kept. Continue with the same command and --resume.",
    )


def _add_synthesize(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    synthesize = actions.add_parser(
        "synthesize",
        help="write synthetic fields with label masks and counts",
        description="Write synthetic fields as PNG images, with a label mask of 16 bits for each (the pixels of a cell "
        "have its number) and a table of counts. The same seed and cells give the same files.",
    )
    synthesize.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    synthesize.add_argument("--cells", help=CELLS_HELP)
    synthesize.add_argument("--fields", type=int, default=10, help="number of fields (default: %(default)s)")
    synthesize.add_argument(
        "--seed", type=int, default=0, help="seed of the first field (default: %(default)s)"
    )
    synthesize.add_argument(
        "--size", default="960x720", metavar="WIDTHxHEIGHT", help="in px (default: %(default)s)"
    )
    synthesize.add_argument(
        "--cell-diameter", type=float, metavar="PX", help="default: 3 to 18 %% of the width"
    )
    synthesize.add_argument(
        "--coverage", type=float, help="area of the cells over that of the field, 0.02 to 1.2"
    )
    synthesize.add_argument(
        "--eyepiece",
        action=argparse.BooleanOptionalAction,
        help="a round view on black, or none (default: some)",
    )
    synthesize.set_defaults(run=_synthesize)


def _synthesize(options: argparse.Namespace) -> int:
    from malaria_detect.data.nlm_cells import find_cells
    from malaria_detect.fields.cut_outs import SyntheticError, cut_outs_of
    from malaria_detect.fields.synthetic import FieldSettings
    from malaria_detect.fields.synthetic_files import parse_size, write_fields

    if options.fields < 1:
        raise SyntheticError(f"--fields must be 1 or more; got {options.fields}.", reason="setting")
    width, height = parse_size(options.size)
    settings = FieldSettings(width, height, options.cell_diameter, options.coverage, options.eyepiece)
    side = 64 if (options.cell_diameter or 0.1 * width) < 80 else 160
    cut_outs = cut_outs_of(find_cells(options.cells).cells, options.seed, side)
    written = write_fields(
        Path(options.out), cut_outs, range(options.seed, options.seed + options.fields), settings
    )
    print(f"{written.fields} fields with {written.cells:,} red cells in {options.out}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from malaria_detect.core.atomic import check_writable
    from malaria_detect.data.cell_check import check_cells
    from malaria_detect.data.nlm_cells import find_cells
    from malaria_detect.training.finder import train_finder
    from malaria_detect.training.finder_export import export_finder
    from malaria_detect.training.finder_settings import FinderSettings

    given = {name: value for name in _TRAINING if (value := getattr(options, name)) is not None}
    settings = FinderSettings(**given)
    output = Path(options.output)
    check_writable(output)
    folder, fingerprint = check_cells(find_cells(options.cells))
    trained = train_finder(folder.cells, Path(options.weights), settings, Path(options.work), options.resume)
    metadata = export_finder(output, trained, settings, fingerprint)
    print(
        f"{output} written ({metadata.size_bytes / 2**20:.1f} MB): threshold {metadata.threshold:.2f}, F1 "
        f"{metadata.threshold_f1:.3f} on synthetic fields of validation patients. {metadata.intended_use}"
    )
    return 0
