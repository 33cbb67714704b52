"""``malaria-detect adapt``."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from malaria_detect.cli.cells import report_cells
from malaria_detect.cli.training_options import add_model
from malaria_detect.core.errors import MalariaDetectError

if TYPE_CHECKING:
    from malaria_detect.data.labelled_cells import LabelledCells


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    adapt = commands.add_parser(
        "adapt",
        help="adapt the model to your laboratory, from ten labelled cells of each class or more",
        description="Adapt a model to a laboratory from its own labelled cells. What this gains is estimated by "
        "cross-validation over patients or fields; a model that is not better is not written.",
    )
    adapt.add_argument(
        "--cells",
        metavar="DIR",
        help="folder with Parasitized and Uninfected, or a CSV file with path,label,patient; a name such as "
        "FIELD__12.png tells the field of a cell",
    )
    adapt.add_argument(
        "--corrections",
        metavar="FILE",
        help="review of whole fields as COCO JSON from the page, with its photographs in the same folder; or "
        "corrections (CSV) of the labels in --cells",
    )
    adapt.add_argument(
        "--output", metavar="FILE", required=True, help="the model to write, such as mylab.pkl"
    )
    add_model(adapt)
    adapt.add_argument(
        "--anyway", action="store_true", help="write the model even if it is not better than its parent"
    )
    adapt.set_defaults(run=_adapt)


def _adapt(options: argparse.Namespace) -> int:
    from malaria_detect.app.teach_wording import judgement_lines
    from malaria_detect.inference.adapt import Adaptation, AdaptError
    from malaria_detect.inference.detector import load_detector
    from malaria_detect.inference.judge import judge
    from malaria_detect.inference.metadata import RESEARCH_USE
    from malaria_detect.inference.model_files import default_model
    from malaria_detect.inference.references import read_references
    from malaria_detect.inference.write_adapted import (
        check_new_model,
        site_cells,
        usable_cells,
        write_adapted,
    )

    model, output = Path(options.model or default_model()), Path(options.output)
    check_new_model(model, output)
    detector = load_detector(model)
    classifier, metadata = detector.classifier, detector.metadata
    assert classifier is not None  # this process computes it
    adaptation = Adaptation(classifier.head, metadata, read_references(model, metadata))
    with _folder(options) as (folder, corrections):
        labelled = _labelled(folder, corrections)
        chosen, left_out = usable_cells(labelled)
        for sentence in left_out:
            print(f"left out: {sentence}", file=sys.stderr)
        cells = site_cells(adaptation, classifier, chosen).without_names()
    judgement = judge(adaptation, cells)
    print("\n".join(judgement_lines(judgement)))
    if not options.anyway:
        try:
            judgement.check()
        except AdaptError as error:
            error.add_note("Nothing was written; --anyway writes it all the same.")
            raise
    adapted = write_adapted(model, adaptation, cells, judgement, output)
    print(f"{output} written: adapted {adapted.parent}. {RESEARCH_USE}")
    return 0


@contextmanager
def _folder(options: argparse.Namespace) -> Iterator[tuple[str, str | None]]:
    """The folder of the cells and the corrections of its labels; cells of a review are cut out into a new folder."""
    from malaria_detect.fields.reviewed import cut_reviewed

    corrections = options.corrections
    if corrections and Path(corrections).suffix.casefold() == ".json":
        if options.cells:
            raise MalariaDetectError("Give --cells or a review (JSON), not both.", "usage")
        with TemporaryDirectory() as folder:
            cut_reviewed(Path(corrections), Path(folder))
            yield folder, None
    elif options.cells:
        yield options.cells, corrections
    else:
        raise MalariaDetectError("Name the folder of your labelled cells with --cells.", "usage")


def _labelled(folder: str, corrections: str | None) -> "LabelledCells":
    from malaria_detect.data.corrections import account, read_corrections
    from malaria_detect.data.labelled_cells import labelled_cells
    from malaria_detect.data.nlm_cells import find_cells

    verdicts = read_corrections(corrections) if corrections else None
    data = labelled_cells(find_cells(folder, patients=False), verdicts)
    report_cells(data)
    if verdicts is not None:
        print(account([cell.name for cell in data.cells], verdicts), file=sys.stderr)
    return data
