"""``malaria-detect train`` and ``calibrate``."""

import argparse
from dataclasses import replace
from pathlib import Path

from malaria_detect.cli.cells import CELLS_HELP
from malaria_detect.cli.training_options import (
    add_settings,
    design_and_settings,
    read_labelled_cells,
    scores_in_words,
)
from malaria_detect.core.shipped import MODEL


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser."""
    train = commands.add_parser(
        "train",
        help="train a model and write export.pkl with its metadata",
        description="Train a model on the NIH/NLM cells, split by patient. Write the model, its metadata "
        "(export.json), its reference cells (export.npz) and its logits for validation and test patients "
        "(reports/export-cells.csv).",
    )
    train.add_argument("--output", default=MODEL, help="the model to write (default: %(default)s)")
    train.add_argument("--sizes", help="image sizes in px and epochs, such as 96x7,160x3,224x2")
    add_settings(train, work="runs/train")
    train.add_argument(
        "--looks",
        choices=("own", "random"),
        help="random: each time a cell is shown, it has another stain, background and camera, as in other laboratories "
        "(default, except for designs with a frozen trunk); own: as in its image",
    )
    train.add_argument(
        "--believed",
        metavar="FILE",
        help="learn the mean of label and cross-validated probability; from reports/crossval-grouped.csv, which "
        "`malaria-detect evaluate` writes",
    )
    train.add_argument(
        "--borrow",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="also train on uninfected cells in annotated fields of healthy people from other laboratories; needs "
        "random looks",
    )
    train.set_defaults(
        run=_train,
        extra="train",
        default_sizes=None,
        after_interrupt="Finished epochs are kept. Continue with the same command and --resume.",
    )

    calibrate = commands.add_parser(
        "calibrate",
        help="choose temperature and operating points again, from the logits that train wrote",
        description="Choose the temperature and the operating points of a model again and write them to its metadata. "
        "The logits that `malaria-detect train` wrote are used, so the cells are not needed. With --cells, write the "
        "model's reference cells again, and fit again what it refuses as foreign.",
    )
    calibrate.add_argument("--cells", help=f"write the references again: {CELLS_HELP}")
    for name, what in (("red-cells", "red cells of other laboratories"), ("foreign", "what is no red cell")):
        calibrate.add_argument(
            f"--{name}", nargs="+", default=[], metavar="DIR", help=f"with --cells: folders with {what}"
        )
    calibrate.add_argument("--model", default=MODEL, help="exported learner (default: %(default)s)")
    calibrate.set_defaults(run=_calibrate, extra="train")


def _train(options: argparse.Namespace) -> int:
    from malaria_detect.training.learner import import_fastai

    import_fastai()
    from malaria_detect.app.wording import FLATTERED, NOT_CALIBRATED
    from malaria_detect.evaluation.cross_validation import read_held_out
    from malaria_detect.inference.metadata import RESEARCH_USE
    from malaria_detect.training.borrowed import borrowed_cells
    from malaria_detect.training.export import check_output, train
    from malaria_detect.training.run import believing, run_by_patient

    design, settings = design_and_settings(options)
    settings = replace(settings, looks=options.looks or ("own" if design.frozen else "random"))
    output, work = Path(options.output), Path(options.work)
    check_output(output)
    data = read_labelled_cells(options)
    if options.believed:
        held_out = read_held_out(options.believed)
        data = believing(data, dict(zip(held_out.files, held_out.probability, strict=True)))
    borrowed = borrowed_cells([Path(folder) for folder in options.borrow], work)
    run = run_by_patient(design, settings, data, work, resume=options.resume, borrowed=borrowed)
    metadata = train(run, output)
    print(f"{output} written: {scores_in_words(metadata.point().test, 'test')}. {RESEARCH_USE}")
    if not metadata.calibrated:
        print(NOT_CALIBRATED)
    if metadata.corrected_test:
        print(f"On corrected labels: {scores_in_words(metadata.corrected_test, 'test')}; {FLATTERED}.")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from malaria_detect.inference.model_files import metadata_path, references_path
    from malaria_detect.metrics.formatting import format_threshold
    from malaria_detect.training.recalibrate import recalibrate

    if options.cells:
        from malaria_detect.data.nlm_cells import find_cells
        from malaria_detect.training.screen import FurtherPictures, renew_references

        further = FurtherPictures(
            *(tuple(map(Path, given)) for given in (options.red_cells, options.foreign))
        )
        renew_references(Path(options.model), find_cells(options.cells).cells, further)
        print(f"{references_path(options.model)} written.")
    metadata = recalibrate(Path(options.model))
    thresholds = ", ".join(
        f"{point.name} {format_threshold(point.threshold)}" for point in metadata.operating_points
    )
    print(f"{metadata_path(options.model)} written: temperature {metadata.temperature:.3f}; {thresholds}")
    return 0
