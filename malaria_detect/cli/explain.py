"""``malaria-detect explain``."""

import argparse
import os
from pathlib import Path

from malaria_detect.core.errors import MalariaDetectError


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    explain = commands.add_parser(
        "explain",
        help="show where the model looked, where that can be told",
        description="Mark the part of a cell that made the model call it parasitized, and check that by hiding it. "
        "Where no reliable explanation is found, that is said and no picture is written.",
    )
    explain.add_argument("path", metavar="PICTURE", help="a picture of one cell")
    explain.add_argument("--out", metavar="FILE", help="write the cell with the marked part to FILE, as PNG")
    explain.add_argument(
        "--even-unreliable",
        action="store_true",
        help="write the picture even where the mark did not stand the check",
    )
    explain.add_argument("--model", default="export.pkl", help="exported learner (default: %(default)s)")
    explain.add_argument(
        "--operating-point",
        metavar="NAME",
        help="screening, balanced or counting: how readily a cell is called parasitized (default: the metadata's)",
    )
    explain.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> int:
    # torch takes seconds to import: only when it is needed.
    from malaria_detect.app.wording import VERDICTS
    from malaria_detect.data.images import read_image
    from malaria_detect.explain import explain, overlay
    from malaria_detect.inference.detector import load_detector
    from malaria_detect.inference.metadata import RESEARCH_USE

    out = Path(options.out) if options.out else None
    if out is not None and (out.is_dir() or not os.access(out.absolute().parent, os.W_OK)):
        raise MalariaDetectError(f"{out} cannot be written: name a file in a folder that can be written to.")
    picture = read_image(options.path)
    explanation = explain(load_detector(options.model, options.operating_point), picture)
    print(f"{VERDICTS[explanation.called]}. {explanation.sentence} {RESEARCH_USE}")
    if out is None or not (explanation.reliable or (options.even_unreliable and explanation.marked.any())):
        if out is not None:
            print(f"{out} was not written.")
        return 0
    part = out.with_name(f"{out.name}.part")
    try:
        # Beside its place and moved there, so that an old one is never lost to half a new one.
        overlay(picture, explanation).save(part, "PNG")
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MalariaDetectError(f"{out} cannot be written: {error.strerror}.") from error
    return 0
