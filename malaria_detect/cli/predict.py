"""``malaria-detect predict`` and ``info``."""

import argparse
import glob
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.metrics.formatting import format_megabytes

_PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"}


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser."""
    predict = commands.add_parser("predict", help="classify pictures of cells")
    predict.add_argument(
        "paths", nargs="+", metavar="PATH", help="pictures, folders of pictures, or patterns like 'a/*.png'"
    )
    predict.add_argument("--model", default="export.pkl", help="exported learner (default: %(default)s)")
    output = predict.add_mutually_exclusive_group()
    output.add_argument("--csv", metavar="FILE", help="write the table to FILE instead of printing it")
    output.add_argument("--json", action="store_true", help="print JSON instead of a table")
    predict.add_argument(
        "--report",
        metavar="FILE",
        help="also write a report to look at or print: one HTML file, pictures inside",
    )
    predict.add_argument(
        "--operating-point",
        metavar="NAME",
        help="screening, balanced or counting: how readily a cell is called parasitized (default: the metadata's)",
    )
    predict.set_defaults(run=_predict)

    info = commands.add_parser("info", help="show the model's metadata")
    info.add_argument("--model", default="export.pkl", help="exported learner (default: %(default)s)")
    info.set_defaults(run=_info)


def _predict(options: argparse.Namespace) -> int:
    # torch takes seconds to import: only when it is needed.
    from malaria_detect.app.html_report import write_visit_report
    from malaria_detect.app.results_table import row, write_csv
    from malaria_detect.inference.detector import load_detector
    from malaria_detect.inference.metadata import RESEARCH_USE

    for file in (options.csv, options.report):
        if file and not os.access(Path(file).absolute().parent, os.W_OK):
            raise MalariaDetectError(f"{file} cannot be written: {Path(file).parent} is no folder for it.")
    paths = list(_expand(options.paths))
    if not paths:
        raise MalariaDetectError(
            f"No pictures in {', '.join(options.paths)}: looked for {', '.join(sorted(_PICTURES))}."
        )
    detector = load_detector(options.model, options.operating_point)
    answers = list(detector.predict_many(paths, progress=sys.stderr.isatty()))
    # A name that is no UTF-8 is shown with escapes: it must not cost the other rows.
    rows = [
        row(os.fsencode(path).decode(errors="backslashreplace"), answer)
        for path, answer in zip(paths, answers, strict=True)
    ]
    if options.json:
        json.dump(rows, sys.stdout, indent=1, ensure_ascii=False)
        print()
    elif options.csv:
        _write_file(rows, Path(options.csv))
    else:
        write_csv(rows, sys.stdout)
    if options.report:
        write_visit_report(
            options.report, zip(paths, answers, strict=True), detector.metadata, detector.point
        )
    refused = sum(bool(one["error"]) for one in rows)
    parasitized = sum(one["label"] == "Parasitized" for one in rows)
    print(
        f"{parasitized} parasitized of {len(rows) - refused} cells, {refused} refused; operating point "
        f"{detector.point.name}, threshold {detector.point.threshold:.4g}. {RESEARCH_USE}",
        file=sys.stderr,
    )
    return 1 if refused else 0


def _write_file(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the table beside its place and move it there, so that an old one is never lost to half a new one."""
    from malaria_detect.app.results_table import write_csv

    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            write_csv(rows, file)
        part.replace(path)
    except OSError as error:
        raise MalariaDetectError(f"{path} cannot be written: {error.strerror}.") from error


def _info(options: argparse.Namespace) -> int:
    from malaria_detect.inference.metadata import read_metadata

    metadata = read_metadata(options.model)
    print(
        f"{metadata.file_name}: {metadata.architecture}, {' or '.join(metadata.classes)}, made {metadata.created}"
    )
    print(f"  SHA-256          {metadata.sha256} ({format_megabytes(metadata.size_bytes)})")
    print(f"  input            padded to {metadata.resize} px, scaled to {metadata.input_size} px")
    print(f"  started from     {metadata.weights}")
    print(f"  cells            {metadata.split}, seed {metadata.seed}")
    if metadata.preprocess:
        print(f"  pictures first   {', '.join(metadata.preprocess)}")
    print(f"  temperature      {metadata.temperature:.3f} (logits are divided by it)")
    for name, side in (("training", metadata.train), ("validation", metadata.valid), ("test", metadata.test)):
        print(
            f"  {name:<16} {side.cells} cells ({side.parasitized} parasitized) of {len(side.groups)} patient groups"
        )
    for point in metadata.operating_points:
        default = " (default)" if point.name == metadata.default_point else ""
        print(f"  {point.name}{default}: parasitized from probability {point.threshold:.4g}. {point.rule}")
        for name, scores in (("validation", point.validation), ("test", point.test)):
            print(f"    on {scores.patients} {name} patients (95 % interval over patients)")
            for key, estimate in scores.estimates.items():
                counts = "" if estimate.hits is None else f"  {estimate.hits} of {estimate.total}"
                print(
                    f"      {key:<17} {estimate.value:.4f}  ({estimate.low:.4f} to {estimate.high:.4f}){counts}"
                )
    print(f"  licence          {metadata.licence}")
    print(f"  {metadata.intended_use}")
    return 0


def _expand(paths: Sequence[str]) -> Iterator[Path]:
    """Files as they are (also those that cannot be read: they are refused later), pictures of folders, patterns."""
    for given in paths:
        path = Path(given)
        if path.is_dir():
            yield from sorted(inner for inner in path.rglob("*") if inner.suffix.lower() in _PICTURES)
        elif path.exists() or not glob.has_magic(given):
            yield path
        else:
            # Path.glob knows no absolute patterns, and a shell that expands none may hand us one.
            matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207
            if matches:
                yield from _expand(matches)
            else:
                yield path
