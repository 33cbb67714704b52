"""``malaria-detect train``, ``calibrate`` and ``evaluate``."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from malaria_detect.cli.cells import CELLS_HELP, report_ignored

if TYPE_CHECKING:
    from malaria_detect.data.corrections import Corrections
    from malaria_detect.data.nlm_cells import CellFolder
    from malaria_detect.metrics import Scores
    from malaria_detect.training.settings import TrainSettings

# Six epochs and a frozen one at small sizes: minutes a fold on a GPU, ten on two cores with bfloat16.
_FOLD_SIZES = "64x3,96x3"


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser."""
    train = commands.add_parser("train", help="train a model and write export.pkl with its metadata")
    train.add_argument("--output", default="export.pkl", help="the model to write (default: %(default)s)")
    train.add_argument("--sizes", help="picture sizes in px and epochs, like 96x7,160x3,224x2")
    _add_settings(train, work="runs/train")
    train.set_defaults(
        run=_train,
        after_interrupt=" Finished epochs are kept: go on with the same command and --resume.",
    )

    calibrate = commands.add_parser(
        "calibrate",
        help="choose temperature and operating points anew from the logits that train wrote, and rewrite the metadata",
    )
    calibrate.add_argument("--model", default="export.pkl", help="exported learner (default: %(default)s)")
    calibrate.set_defaults(run=_calibrate)

    evaluate = commands.add_parser(
        "evaluate", help="cross-validate the recipe: predictions for cells that were not trained on"
    )
    evaluate.add_argument(
        "--split",
        choices=("grouped", "random"),
        default="grouped",
        help="hold out whole patients (default), or cells at random, which leaves patients on both sides",
    )
    evaluate.add_argument("--folds", type=int, help="default: 5; random: 1, a single cut of 80 to 20")
    evaluate.add_argument(
        "--output",
        help="table to write (default: reports/crossval-SPLIT.csv, with corrections …-SPLIT-corrected.csv)",
    )
    evaluate.add_argument(
        "--sizes", help=f"picture sizes in px and epochs (default: {_FOLD_SIZES}, or the network's one size)"
    )
    _add_settings(evaluate, work="runs/crossval")
    evaluate.set_defaults(
        run=_evaluate,
        average_epochs=0,  # they would take twice as long as all others together
        after_interrupt=" Finished folds and epochs are kept: go on with the same command and --resume.",
    )


def _add_settings(command: argparse.ArgumentParser, work: str) -> None:
    command.add_argument("--cells", help=CELLS_HELP)
    command.add_argument(
        "--work", default=work, help="folder for checkpoints and scaled cells (default: %(default)s)"
    )
    command.add_argument(
        "--network",
        metavar="NAME",
        default="resnet34",
        help="what to train, like small-cnn-64; a wrong name is answered with all (default: %(default)s)",
    )
    add_weights(command)
    command.add_argument(
        "--preprocess",
        metavar="NAMES",
        help="what is done to every picture first: hsv, blur:SIGMA, reinhard, macenko, or several like macenko,hsv",
    )
    command.add_argument(
        "--epochs", help="epochs at each size, like 3 or 3,4, instead of those written with --sizes"
    )
    command.add_argument("--freeze-epochs", type=int, help="epochs before them in which only the head learns")
    command.add_argument(
        "--average-epochs",
        type=int,
        help="epochs after them whose weights are averaged (default: train as the shipped model, evaluate none)",
    )
    command.add_argument("--batch-size", type=int)
    command.add_argument("--lr", type=float, dest="base_lr", help="base learning rate")
    command.add_argument("--seed", type=int)
    command.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="any other setting, like schedule=constant patience=5; see malaria_detect.training.settings",
    )
    command.add_argument(
        "--corrections", metavar="FILE", help="learn labels as corrected there; see `malaria-detect labels`"
    )
    command.add_argument("--resume", action="store_true", help="go on from the last finished epoch in --work")


def add_weights(command: argparse.ArgumentParser) -> None:
    """Add the option for what networks start from."""
    command.add_argument(
        "--weights",
        "--weights-file",
        metavar="FILE",
        help="a file with a state dict, imagenet (downloaded; the default) or none; for several trunks "
        "resnet50v2=FILE,mobilenetv2=FILE",
    )


def settings_of(options: argparse.Namespace) -> "TrainSettings":
    """The settings that somebody asked for; what was not named is the default's."""
    from malaria_detect.data.preprocessing import parse_preprocess
    from malaria_detect.designs.registry import find_network
    from malaria_detect.training.settings import parse_fields, parse_sizes

    design = find_network(options.network)
    names = ("weights", "freeze_epochs", "average_epochs", "batch_size", "base_lr", "seed")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.sizes is None and design.any_size and options.run is _evaluate:
        options.sizes = _FOLD_SIZES
    if options.sizes is not None or options.epochs is not None:
        # Sizes that nobody named are the design's, each once.
        default = ",".join(map(str, dict.fromkeys(design.settings().sizes)))
        given["sizes"] = parse_sizes(options.sizes or default, options.epochs)
    if options.preprocess is not None:
        given["preprocess"] = parse_preprocess(options.preprocess)
    return design.settings(**{**given, **design.changes(parse_fields(options.set))})


def _corrections(options: argparse.Namespace) -> "Corrections | None":
    from malaria_detect.data.corrections import read_corrections

    return read_corrections(options.corrections) if options.corrections else None


def _train(options: argparse.Namespace) -> int:
    from malaria_detect.app.wording import FLATTERED, NOT_CALIBRATED
    from malaria_detect.data.nlm_cells import find_cells
    from malaria_detect.inference.metadata import RESEARCH_USE
    from malaria_detect.training.export import train

    settings, corrections = settings_of(options), _corrections(options)
    folder = find_cells(options.cells)
    report_ignored(folder.ignored)
    _report_corrections(folder, corrections)
    metadata = train(
        folder,
        settings,
        Path(options.work),
        Path(options.output),
        corrections=corrections,
        resume=options.resume,
    )
    print(f"{options.output} written: {accuracy(metadata.point().test, 'test')}. {RESEARCH_USE}")
    if not metadata.calibrated:
        print(NOT_CALIBRATED)
    if metadata.corrected_test:
        print(f"On corrected labels: {accuracy(metadata.corrected_test, 'test')}; {FLATTERED}.")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from malaria_detect.inference.model_files import metadata_path
    from malaria_detect.training.export import recalibrate

    metadata = recalibrate(Path(options.model))
    thresholds = ", ".join(f"{point.name} {point.threshold:.4g}" for point in metadata.operating_points)
    print(f"{metadata_path(options.model)} written: temperature {metadata.temperature:.3f}; {thresholds}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from malaria_detect.app.wording import FLATTERED
    from malaria_detect.data.nlm_cells import find_cells
    from malaria_detect.data.splits import GROUPED
    from malaria_detect.evaluation.cross_validation import summarise
    from malaria_detect.evaluation.run_cross_validation import evaluate
    from malaria_detect.inference.metadata import RESEARCH_USE

    settings, corrections = settings_of(options), _corrections(options)
    folder = find_cells(options.cells)
    report_ignored(folder.ignored)
    _report_corrections(folder, corrections)
    corrected = "-corrected" if corrections else ""
    output = Path(options.output or f"reports/crossval-{options.split}{corrected}.csv")
    found = summarise(
        *evaluate(
            folder,
            options.split,
            options.folds if options.folds is not None else 5 if options.split == GROUPED else 1,
            settings,
            Path(options.work),
            output,
            corrections=corrections,
            resume=options.resume,
        )
    )
    print(f"{output} written: {accuracy(found.scores, 'held-out')}. {RESEARCH_USE}")
    if found.corrected_scores:
        print(f"On corrected labels: {accuracy(found.corrected_scores, 'held-out')}; {FLATTERED}.")
    if found.run.patients_on_both_sides:
        print("Patients stand on both sides of this split: its scores are too high for a new patient.")
    return 0


def _report_corrections(folder: "CellFolder", corrections: "Corrections | None") -> None:
    from malaria_detect.data.corrections import account

    if corrections is not None:
        print(account([cell.path.name for cell in folder.cells], corrections), file=sys.stderr)


def accuracy(scores: "Scores", who: str) -> str:
    """A sentence's part on accuracy, with its interval and the patients that it is over."""
    estimate = scores.estimates["accuracy"]
    return (
        f"accuracy {estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f}) "
        f"on {scores.patients} {who} patient groups"
    )
