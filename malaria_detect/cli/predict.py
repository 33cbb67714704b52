"""``malaria-detect predict`` and ``info``."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from malaria_detect.cli.cells import check_output, pictures_of
from malaria_detect.cli.training_options import add_model
from malaria_detect.core.atomic import replaced
from malaria_detect.core.csv_io import growing_csv
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.picture_files import path_text
from malaria_detect.metrics.formatting import (
    format_estimate,
    format_megabytes,
    format_score,
    format_threshold,
)

if TYPE_CHECKING:
    from malaria_detect.inference.detector import Detector
    from malaria_detect.inference.prediction import Prediction, Record, Refusal

_REPORT_SIDE = 240  # px; a picture in the report is 4 cm wide on paper


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser."""
    predict = commands.add_parser(
        "predict",
        help="classify images of single cells",
        description="Classify images of single cells as parasitized or uninfected. Print the result of each image as "
        "CSV.",
    )
    predict.add_argument(
        "paths", nargs="+", metavar="PATH", help="images, folders of images, or patterns such as 'a/*.png'"
    )
    add_model(predict, operating_point=True)
    output = predict.add_mutually_exclusive_group()
    output.add_argument("--csv", metavar="FILE", help="write the table to FILE instead of printing it")
    output.add_argument("--json", action="store_true", help="print JSON instead of a table")
    predict.add_argument(
        "--report", metavar="FILE", help="also write a report with the images: one HTML file"
    )
    predict.set_defaults(run=_predict)

    info = commands.add_parser(
        "info",
        help="show the metadata of a model",
        description="Show how a model was trained, its operating points and its scores.",
    )
    add_model(info)
    info.set_defaults(run=_info)


def _predict(options: argparse.Namespace) -> int:
    # torch takes seconds to import, so only commands that need it import it.
    from malaria_detect.data.images import FORMATS
    from malaria_detect.inference.detector import load_detector
    from malaria_detect.inference.metadata import RESEARCH_USE

    paths = pictures_of(options.paths)
    files = [file for file in (options.csv, options.report) if file]
    for file in files:
        check_output(file, paths)
    if len(files) > len({os.path.realpath(file) for file in files}):
        raise MalariaDetectError("Name different files for --csv and --report.", reason="not_writable")
    if not paths:
        raise MalariaDetectError(
            f"{', '.join(options.paths)} has no images ({', '.join(FORMATS)}).", reason="no_images"
        )
    detector = load_detector(options.model, options.operating_point)
    written: list[tuple[Record, Prediction | Refusal]] = []
    _write_table(options, _answers(detector, paths, written), written, len(paths))
    if options.report:
        options.after_interrupt = "The report was not written."
        _write_report(options.report, written, paths, detector)
    refused = sum(record.error is not None for record, _ in written)
    parasitized = sum(record.decision == "Parasitized" for record, _ in written)
    print(
        f"{parasitized} parasitized of {len(written) - refused} cells, {refused} refused; operating point "
        f"{detector.point.name}, threshold {format_threshold(detector.point.threshold)}. {RESEARCH_USE}",
        file=sys.stderr,
    )
    return 1 if refused else 0


def _answers(
    detector: "Detector", paths: Sequence[Path], written: "list[tuple[Record, Prediction | Refusal]]"
) -> "Iterator[Record]":
    """Records of the images, as they become known; those that the caller has taken and used are `written`."""
    from malaria_detect.inference.prediction import Record

    answers = detector.predict_many(paths, progress=sys.stderr.isatty())
    for path, answer in zip(paths, answers, strict=True):
        record = Record.of(path_text(path), answer)
        yield record
        written.append((record, answer))


def _write_table(
    options: argparse.Namespace, records: "Iterator[Record]", written: Sequence[object], total: int
) -> None:
    from malaria_detect.app.results_table import write_csv, write_json

    place = "printed"
    try:
        if options.csv:
            with growing_csv(options.csv) as table:
                place = f"in {table.name if isinstance(table.name, Path) else options.csv}"
                write_csv(records, table)
        else:
            (write_json if options.json else write_csv)(records, sys.stdout)
    except BaseException as error:
        error.add_note(f"{len(written):,} of {total:,} results are {place}.")
        if options.report:
            error.add_note("The report was not written.")
        raise


def _write_report(
    path: str,
    written: "Sequence[tuple[Record, Prediction | Refusal]]",
    paths: Sequence[Path],
    detector: "Detector",
) -> None:
    from malaria_detect.app.html_report import html_report

    named = [(record.path, answer) for record, answer in written]
    with (
        replaced(path) as new,
        new.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.writelines(html_report(named, map(_picture, paths), detector.metadata, detector.point))


def _picture(path: Path) -> bytes:
    """The image in a file as PNG for the report; empty if it cannot be read."""
    from malaria_detect.data.images import ImageRefused, as_png, read_image

    try:
        return as_png(read_image(path), _REPORT_SIDE)
    except ImageRefused:
        return b""


def _info(options: argparse.Namespace) -> int:
    from malaria_detect.app.wording import tested_on
    from malaria_detect.inference.model_files import default_model, read_metadata, references_content

    model = options.model or default_model()
    metadata = read_metadata(model)
    references = references_content(model, metadata)
    print(f"{model}: {metadata.architecture}, {' or '.join(metadata.classes)}, made {metadata.created}")
    print(f"  SHA-256          {metadata.sha256} ({format_megabytes(metadata.size_bytes)})")
    print(f"  input            padded to {metadata.resize} px, scaled to {metadata.input_size} px")
    print(f"  initial weights  {metadata.weights}")
    print(
        f"  reference cells  {format_megabytes(len(references)) if references else 'none: nothing is foreign'}"
    )
    if metadata.parent:
        print(f"  adapted          {metadata.parent}")
    print(f"  cells            {metadata.split}, seed {metadata.seed}")
    if metadata.preprocess:
        print(f"  preprocessing    {', '.join(metadata.preprocess)}")
    print(f"  temperature      {metadata.temperature:.3f} (divides the logits)")
    for name, side in (("training", metadata.train), ("validation", metadata.valid), ("test", metadata.test)):
        print(
            f"  {name:<16} {side.cells} cells ({side.parasitized} parasitized) of {len(side.groups)} patient groups"
        )
    for point in metadata.operating_points:
        default = " (default)" if point.name == metadata.default_point else ""
        threshold = format_threshold(point.threshold)
        print(f"  {point.name}{default}: parasitized at probability {threshold} or more. {point.rule}")
        for name, scores in (("validation patients", point.validation), (tested_on(point), point.test)):
            print(f"    on {scores.cells} cells of {name} (95 % interval)")
            for key, estimate in scores.estimates.items():
                counts = "" if estimate.hits is None else f"  {estimate.hits} of {estimate.total}"
                written = format_estimate(estimate, partial(format_score, decimals=4))
                print(f"      {key:<17} {written.replace(' ', '  ', 1)}{counts}")
    print(f"  licence          {metadata.licence}")
    print(f"  {metadata.intended_use}")
    return 0
