"""``malaria-detect evaluate --laboratories`` and ``--foreign``: other laboratories, and pictures of other things."""

import argparse
import sys
from pathlib import Path

from malaria_detect.core.errors import MalariaDetectError

LABORATORY_SCORES, FOREIGN_SCORES = "reports/laboratories.json", "reports/foreign.json"


def evaluate_laboratories(options: argparse.Namespace) -> int:
    """Score the classifier in other laboratories, and record in its metadata what to expect there."""
    from malaria_detect.core.atomic import check_writable, write_text
    from malaria_detect.core.json_io import to_json
    from malaria_detect.data.field_annotations import read_field_sets
    from malaria_detect.evaluation.laboratories import Laboratories, expectation
    from malaria_detect.evaluation.score_laboratories import score_laboratories
    from malaria_detect.fields.finder import load_finder
    from malaria_detect.inference.adapt import Adaptation
    from malaria_detect.inference.detector import load_detector
    from malaria_detect.inference.held_out import pooled_features
    from malaria_detect.inference.metadata import RESEARCH_USE
    from malaria_detect.inference.model_files import default_model, write_expectations
    from malaria_detect.inference.references import read_references

    output, model = Path(options.output or LABORATORY_SCORES), Path(options.model or default_model())
    check_writable(output)
    detector, finder = load_detector(model), load_finder()
    classifier, metadata = detector.classifier, detector.metadata
    assert classifier is not None  # this process computes it
    adaptation = Adaptation(classifier.head, metadata, read_references(model, metadata))
    sets = [one for folder in options.laboratories for one in read_field_sets(folder)]
    scores = []
    for score in score_laboratories(
        sets,
        finder,
        lambda images: (
            pooled_features(classifier, metadata.input_transform, images),
            list(detector.predict_many(images)),
        ),
        adaptation,
        progress=sys.stderr.isatty(),
    ):
        scores.append(score)
        print(expectation(score))
    folders = " ".join(Path(one).name for one in options.laboratories)
    command = f"malaria-detect evaluate --laboratories {folders}"
    found = Laboratories.of(scores, command, metadata.sha256, finder.metadata.sha256)
    write_text(output, to_json(found))
    # Cells cut out by box come last: none was lost by the finder.
    write_expectations(model, {score.name: expectation(score) for score in scores})
    print(f"{output} and the metadata of {model.name} written. {RESEARCH_USE}")
    return 0


def evaluate_foreign(options: argparse.Namespace) -> int:
    """Count how many pictures of each kind are refused."""
    from malaria_detect.core.atomic import check_writable, write_text
    from malaria_detect.core.json_io import to_json
    from malaria_detect.data.nlm_cells import find_cells
    from malaria_detect.evaluation.foreign_scores import score_foreign
    from malaria_detect.fields.cut_outs import cut_outs_of
    from malaria_detect.inference.detector import load_detector
    from malaria_detect.inference.metadata import RESEARCH_USE
    from malaria_detect.metrics.formatting import format_estimate, format_percent

    output = Path(options.output or FOREIGN_SCORES)
    check_writable(output)
    folders = [Path(folder) for folder in options.foreign]
    for folder in folders:
        if not folder.is_dir():
            raise MalariaDetectError(f"{folder} is not a folder. Name folders of images.", "no_folder")
    command = " ".join(["malaria-detect evaluate --foreign", *(folder.name for folder in folders)])
    detector = load_detector(options.model)
    fitted = {*detector.metadata.train.groups, *detector.metadata.valid.groups}
    cells = [cell for cell in find_cells(options.cells).cells if cell.group not in fitted]
    scores = score_foreign(detector, folders, cut_outs_of(cells, seed=3) if cells else (), command)
    write_text(output, to_json(scores))
    for score in (*scores.kinds, *scores.groups):
        shares = (
            f"{name} {format_estimate(getattr(score, name.replace(' ', '_')), format_percent)}"
            for name in ("refused", "site warned")
        )
        print(f"{score.name} ({score.basis or score.group}), {score.refused.total}: {', '.join(shares)}")
    print(f"{output} written. {RESEARCH_USE}")
    return 0
