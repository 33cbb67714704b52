"""``malaria-detect explain``."""

import argparse
from pathlib import Path

from malaria_detect.cli.cells import check_output, pictures_of
from malaria_detect.cli.training_options import add_model
from malaria_detect.core.atomic import replaced
from malaria_detect.core.errors import MalariaDetectError


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    explain = commands.add_parser(
        "explain",
        help="show which part of a cell the model used",
        description="Mark the part of a cell that made the model call it parasitized, and check it by hiding that "
        "part. If no reliable explanation is found, the command says so and writes no image.",
    )
    explain.add_argument("path", metavar="IMAGE", help="an image of one cell")
    explain.add_argument("--out", metavar="FILE", help="write the cell with the marked part to FILE, as PNG")
    explain.add_argument(
        "--even-unreliable",
        action="store_true",
        help="write the image even if the marked part did not pass the check",
    )
    add_model(explain, operating_point=True)
    explain.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> int:
    # torch takes seconds to import, so only commands that need it import it.
    from malaria_detect.app.wording import COMMAND, VERDICTS, explanation_sentence, notes
    from malaria_detect.data.images import read_image
    from malaria_detect.explain import explain, overlay
    from malaria_detect.inference.detector import load_detector
    from malaria_detect.inference.metadata import RESEARCH_USE

    out = Path(options.out) if options.out else None
    paths = pictures_of([options.path])
    if out is not None:
        check_output(out, paths)
    if len(paths) != 1:
        raise MalariaDetectError(
            f"{options.path} has {len(paths)} images. Name one image of one cell.", reason="not_one_image"
        )
    image = read_image(paths[0])
    detector = load_detector(options.model, options.operating_point)
    prediction = detector.predict(image)
    explanation = explain(detector, image, prediction)
    found = f"{VERDICTS[explanation.decision]}. {explanation_sentence(explanation)}"
    print(" ".join([found, *notes(prediction, COMMAND), RESEARCH_USE]))
    if out is None or not (explanation.reliable or (options.even_unreliable and explanation.marked.any())):
        if out is not None:
            print(f"{out} was not written.")
        return 0
    with replaced(out) as new:
        overlay(image, explanation).save(new, "PNG")
    return 0
