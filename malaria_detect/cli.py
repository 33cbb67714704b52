"""The command ``malaria-detect``: arguments in, sentences out."""

import argparse
import glob
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from malaria_detect.errors import MalariaDetectError

_PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        Exit status: 0; 1 where some pictures were refused; 2 for wrong usage or an error that the user can mend;
        130 after Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except MalariaDetectError as error:
        print(f"malaria-detect: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Who read the output has gone, as head does; Python must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"malaria-detect: stopped.{options.after_interrupt}", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="malaria-detect",
        description="Tell parasitized from uninfected red blood cells. "
        "For Research Use Only. Not for use in diagnostic procedures.",
    )
    parser.set_defaults(after_interrupt="")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    predict = commands.add_parser("predict", help="classify pictures of cells")
    predict.add_argument(
        "paths", nargs="+", metavar="PATH", help="pictures, folders of pictures, or patterns like 'a/*.png'"
    )
    predict.add_argument("--model", default="export.pkl", help="exported learner (default: %(default)s)")
    output = predict.add_mutually_exclusive_group()
    output.add_argument("--csv", metavar="FILE", help="write the table to FILE instead of printing it")
    output.add_argument("--json", action="store_true", help="print JSON instead of a table")
    predict.set_defaults(run=_predict)

    info = commands.add_parser("info", help="show the model's passport")
    info.add_argument("--model", default="export.pkl", help="exported learner (default: %(default)s)")
    info.set_defaults(run=_info)

    train = commands.add_parser("train", help="train a model and write export.pkl with its passport")
    train.add_argument(
        "--cells", help="folder of cells (default: $MALARIA_DETECT_CELLS, else where `cells fetch` puts them)"
    )
    train.add_argument("--output", default="export.pkl", help="the model to write (default: %(default)s)")
    train.add_argument(
        "--work", default="runs/train", help="folder for checkpoints and scaled cells (default: %(default)s)"
    )
    train.add_argument("--weights", help="imagenet (default), none, or a file with a state dict")
    train.add_argument("--sizes", help="picture sizes in px and epochs, like 96x7,160x3,224x2")
    train.add_argument("--freeze-epochs", type=int, help="epochs before them in which only the head learns")
    train.add_argument("--batch-size", type=int)
    train.add_argument("--lr", type=float, dest="base_lr", help="base learning rate")
    train.add_argument("--seed", type=int)
    train.add_argument("--resume", action="store_true", help="go on from the last finished epoch in --work")
    train.set_defaults(
        run=_train,
        after_interrupt=" Finished epochs are kept: go on with the same command and --resume.",
    )

    cells = commands.add_parser("cells", help="fetch or check the NIH/NLM cells")
    actions = cells.add_subparsers(metavar="ACTION", required=True)
    fetch = actions.add_parser("fetch", help="download NLM's archive (353 MB), check it and unpack it")
    fetch.add_argument("--to", metavar="DIR", help="folder to unpack to")
    fetch.add_argument("--url", help="another address of the same archive")
    fetch.set_defaults(run=_cells_fetch)
    check = actions.add_parser("check", help="count cells and patients, and open every picture")
    check.add_argument(
        "--cells", help="folder of cells (default: $MALARIA_DETECT_CELLS, else where `cells fetch` puts them)"
    )
    check.set_defaults(run=_cells_check)
    return parser


def _predict(options: argparse.Namespace) -> int:
    # torch takes seconds to import: only when it is needed.
    from malaria_detect.detector import load_detector
    from malaria_detect.table import row, write_csv

    if options.csv and not os.access(Path(options.csv).absolute().parent, os.W_OK):
        raise MalariaDetectError(
            f"{options.csv} cannot be written: {Path(options.csv).parent} is no folder for it."
        )
    paths = list(_expand(options.paths))
    if not paths:
        raise MalariaDetectError(
            f"No pictures in {', '.join(options.paths)}: looked for {', '.join(sorted(_PICTURES))}."
        )
    detector = load_detector(options.model)
    results = zip(paths, detector.predict_many(paths, progress=sys.stderr.isatty()), strict=True)
    # A name that is no UTF-8 is shown with escapes: it must not cost the other rows.
    rows = [row(os.fsencode(path).decode(errors="backslashreplace"), answer) for path, answer in results]
    if options.json:
        json.dump(rows, sys.stdout, indent=1, ensure_ascii=False)
        print()
    elif options.csv:
        _write_file(rows, Path(options.csv))
    else:
        write_csv(rows, sys.stdout)
    refused = sum(bool(one["error"]) for one in rows)
    parasitized = sum(one["label"] == "Parasitized" for one in rows)
    print(
        f"{parasitized} parasitized of {len(rows) - refused} cells, {refused} refused; "
        f"threshold {detector.passport.threshold:.2f}. {_research_use()}",
        file=sys.stderr,
    )
    return 1 if refused else 0


def _write_file(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the table beside its place and move it there, so that an old one is never lost to half a new one."""
    from malaria_detect.table import write_csv

    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            write_csv(rows, file)
        part.replace(path)
    except OSError as error:
        raise MalariaDetectError(f"{path} cannot be written: {error.strerror}.") from error


def _info(options: argparse.Namespace) -> int:
    from malaria_detect.passport import read_passport

    passport = read_passport(options.model)
    print(
        f"{passport.file_name}: {passport.architecture}, {' or '.join(passport.classes)}, made {passport.created}"
    )
    print(f"  SHA-256          {passport.sha256} ({passport.size_bytes / 1e6:.1f} MB)")
    print(f"  input            padded to {passport.resize} px, scaled to {passport.input_size} px")
    print(f"  started from     {passport.weights}")
    print(f"  threshold        parasitized from probability {passport.threshold:.2f}")
    for name, side in (("training", passport.train), ("validation", passport.valid), ("test", passport.test)):
        print(
            f"  {name:<16} {side.cells} cells ({side.parasitized} parasitized) of {len(side.groups)} patient groups"
        )
    for name, scores in (("validation", passport.validation_scores), ("test", passport.test_scores)):
        print(f"  scores on {name} patients (95 % interval over patients)")
        for key, estimate in scores.estimates.items():
            counts = "" if estimate.hits is None else f"  {estimate.hits} of {estimate.total}"
            print(f"    {key:<14} {estimate.value:.4f}  ({estimate.low:.4f} to {estimate.high:.4f}){counts}")
    print(f"  licence          {passport.licence}")
    print(f"  {passport.intended_use}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from malaria_detect.cells import find_cells
    from malaria_detect.release import train
    from malaria_detect.training import TrainSettings, parse_sizes

    given = {
        name: value
        for name in ("weights", "freeze_epochs", "batch_size", "base_lr", "seed")
        if (value := getattr(options, name)) is not None
    }
    if options.sizes is not None:
        given["sizes"] = parse_sizes(options.sizes)
    folder = find_cells(options.cells)
    _report_ignored(folder.ignored)
    passport = train(
        folder, TrainSettings(**given), Path(options.work), Path(options.output), resume=options.resume
    )
    accuracy = passport.test_scores.estimates["accuracy"]
    print(
        f"{options.output} written: accuracy {accuracy.value:.4f} ({accuracy.low:.4f} to {accuracy.high:.4f}) "
        f"on {passport.test_scores.patients} test patient groups. {_research_use()}"
    )
    return 0


def _cells_fetch(options: argparse.Namespace) -> int:
    from malaria_detect.cells import find_cells
    from malaria_detect.fetch import NLM_URL, fetch_cells

    root = fetch_cells(Path(options.to) if options.to else None, url=options.url or NLM_URL)
    folder = find_cells(root)
    print(
        f"{len(folder.cells)} cells of {len({cell.group for cell in folder.cells})} patient groups in {folder.root}"
    )
    return 0


def _cells_check(options: argparse.Namespace) -> int:
    from malaria_detect.cells import CLASSES, check_cells, find_cells

    folder, fingerprint = check_cells(find_cells(options.cells))
    _report_ignored(folder.ignored)
    for label in CLASSES:
        cells = [cell for cell in folder.cells if cell.label == label]
        print(f"{label}: {len(cells)} cells of {len({cell.group for cell in cells})} patient groups")
    print(f"fingerprint {fingerprint}")
    return 0


def _report_ignored(ignored: Sequence[str]) -> None:
    for sentence in ignored:
        print(f"left out: {sentence}", file=sys.stderr)


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


def _research_use() -> str:
    from malaria_detect.passport import RESEARCH_USE

    return RESEARCH_USE
