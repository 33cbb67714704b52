"""``malaria-detect evaluate``: cross-validation, parasitemia of patients, and annotated fields."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from malaria_detect.cli.elsewhere import LABORATORY_SCORES, evaluate_foreign, evaluate_laboratories
from malaria_detect.cli.training_options import (
    add_model,
    add_settings,
    design_and_settings,
    read_labelled_cells,
    scores_in_words,
)
from malaria_detect.core.shipped import MODEL
from malaria_detect.data.picture_files import first_of

if TYPE_CHECKING:
    from malaria_detect.evaluation.field_scores import SetScore
    from malaria_detect.metrics import Estimate

# Small sizes, so that all folds can be trained on a processor.
_FOLD_SIZES = "64x3,96x3"
FIELD_SCORES = "reports/fields.json"


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    evaluate = commands.add_parser(
        "evaluate",
        help="cross-validate: predict every cell with a network that was not trained on it",
        description="Cross-validate a design: predict every cell with a network that was not trained on this cell or, "
        "by default, on any cell of its patient. Write the predictions as CSV. With --parasitemia or --fields, train "
        "nothing, but compare estimated with true parasitemia, or what is found on whole fields with annotations.",
    )
    instead = evaluate.add_mutually_exclusive_group()
    instead.add_argument(
        "--parasitemia",
        action="store_true",
        help="read the predictions (--output) of an earlier run on all of NLM's cells, derive each patient's true "
        "parasitemia from the file names, and write parasitemia.json next to them",
    )
    instead.add_argument(
        "--fields",
        nargs="+",
        metavar="DIR",
        help="folders with annotated fields: NLM's folders GT and Img, annotations.json, or text files of cell "
        f"centres; writes {FIELD_SCORES}, and of all other options only --model and --output apply",
    )
    instead.add_argument(
        "--laboratories",
        nargs="+",
        metavar="DIR",
        help="score the classifier on annotated cells of these fields, as it is and adapted to a few of the cells; "
        f"writes {LABORATORY_SCORES} and, into the model's metadata, what to expect in each laboratory",
    )
    instead.add_argument(
        "--foreign",
        nargs="*",
        metavar="DIR",
        help="count how many pictures of each kind are refused: those that the software makes, and folders of others, "
        "each folder a kind; a folder named Parasitized or Uninfected holds red cells; writes reports/foreign.json",
    )
    add_model(evaluate)
    evaluate.add_argument(
        "--split",
        choices=("grouped", "random"),
        default="grouped",
        help="hold out whole patients (default), or random cells, so that patients are in both parts",
    )
    evaluate.add_argument("--folds", type=int, help="number of folds (default: 5; random: one 80/20 split)")
    evaluate.add_argument(
        "--output",
        help="file to write (default: reports/crossval-SPLIT.csv, or ...-SPLIT-corrected.csv with corrections)",
    )
    evaluate.add_argument(
        "--sizes", help=f"image sizes in px and epochs (default: {_FOLD_SIZES}, or the design's only size)"
    )
    add_settings(evaluate, work="runs/crossval")
    evaluate.set_defaults(
        run=_evaluate,
        extra="train",
        average_epochs=0,  # they would take twice as long as all others together
        default_sizes=_FOLD_SIZES,
        after_interrupt="Finished folds and epochs are kept. Continue with the same command and --resume.",
    )


def _evaluate(options: argparse.Namespace) -> int:
    if options.fields:
        return _evaluate_fields(options)
    if options.laboratories:
        return evaluate_laboratories(options)
    if options.foreign is not None:
        return evaluate_foreign(options)
    return _evaluate_parasitemia(options) if options.parasitemia else _cross_validate(options)


def _evaluate_fields(options: argparse.Namespace) -> int:
    from malaria_detect.core.atomic import check_writable, write_text
    from malaria_detect.core.json_io import to_json
    from malaria_detect.data.field_annotations import read_field_sets
    from malaria_detect.evaluation.field_benchmark import classified_by, score_field_sets
    from malaria_detect.evaluation.field_scores import FieldBenchmark
    from malaria_detect.fields.finder import load_finder
    from malaria_detect.inference.detector import load_detector
    from malaria_detect.inference.metadata import RESEARCH_USE

    output = Path(options.output or FIELD_SCORES)
    check_writable(output)
    command = f"malaria-detect evaluate --fields {' '.join(Path(one).name for one in options.fields)}"
    annotated = [one for folder in options.fields for one in read_field_sets(folder)]
    finder, detector = load_finder(), load_detector(options.model)
    points = detector.metadata.operating_points
    sets = score_field_sets(annotated, finder, classified_by(detector), points, progress=sys.stderr.isatty())
    benchmark = FieldBenchmark.of(sets, command, finder.metadata.sha256, detector.metadata.sha256)
    write_text(output, to_json(benchmark))
    for one in sets:
        print(_in_words(one))
    print(f"{output} written. {RESEARCH_USE}")
    return 0


def _in_words(score: "SetScore") -> str:
    """One line for each kind of result of a laboratory."""
    from malaria_detect.metrics.formatting import format_estimate, format_percent

    def words(name: str, estimate: "Estimate") -> str:
        counts = f", {estimate.hits} of {estimate.total}" if estimate.total and name != "f1" else ""
        return f"{name.replace('_', ' ')} {format_estimate(estimate, format_percent)}{counts}"

    refused = sum(score.refused.values())
    lines = [
        f"{score.name}: {len(score.fields)} fields, {refused} refused"
        + (
            f" ({', '.join(f'{reason} {number}' for reason, number in score.refused.items())})"
            if refused
            else ""
        )
    ]
    lines += [words(name, one) for name, one in score.estimates.items() if one.total != 0]
    for point, shares in score.called.items():
        called = ", ".join(words(name, one) for name, one in shares.items() if one.total)
        lines.append(f"called parasitized at {point}: {called}")
    missed = [f"{field.name} cell {name}" for field in score.fields for name in field.missed]
    if missed:
        lines.append(f"infected cells not found: {first_of(missed)}")
    return "\n  ".join(lines)


def _cross_validate(options: argparse.Namespace) -> int:
    from malaria_detect.training.learner import import_fastai

    import_fastai()
    from malaria_detect.app.wording import FLATTERED
    from malaria_detect.data.splits import GROUPED
    from malaria_detect.evaluation.cross_validation import summarise
    from malaria_detect.evaluation.run_cross_validation import CrossValidationPlan, cross_validate
    from malaria_detect.inference.metadata import RESEARCH_USE

    design, settings = design_and_settings(options)
    data = read_labelled_cells(options)
    if any(cell.part for cell in data.cells):
        print("The column split is not used: every cell is held out once.", file=sys.stderr)
    corrected = "-corrected" if options.corrections else ""
    output = Path(options.output or f"reports/crossval-{options.split}{corrected}.csv")
    folds = options.folds if options.folds is not None else 5 if options.split == GROUPED else 1
    plan = CrossValidationPlan(design, settings, Path(options.work), options.split, folds, options.resume)
    found = summarise(*cross_validate(data, plan, output))
    print(f"{output} written: {scores_in_words(found.scores, 'held-out')}. {RESEARCH_USE}")
    if found.corrected_scores:
        print(f"On corrected labels: {scores_in_words(found.corrected_scores, 'held-out')}; {FLATTERED}.")
    if found.run.patients_on_both_sides:
        print("Patients are in both parts of this split, so its scores are too high for a new patient.")
    return 0


def _evaluate_parasitemia(options: argparse.Namespace) -> int:
    from malaria_detect.core.atomic import check_writable, write_text
    from malaria_detect.core.json_io import to_json
    from malaria_detect.evaluation.cross_validation import read_run
    from malaria_detect.evaluation.patient_parasitemia import PARASITEMIA
    from malaria_detect.evaluation.run_patient_parasitemia import evaluate_parasitemia
    from malaria_detect.inference.metadata import RESEARCH_USE
    from malaria_detect.inference.model_files import read_metadata
    from malaria_detect.metrics.formatting import format_percent
    from malaria_detect.training.recalibrate import logits_of, logits_path

    predictions, model = (
        Path(options.output or f"reports/crossval-{options.split}.csv"),
        Path(options.model or MODEL),
    )
    output = predictions.with_name(PARASITEMIA)
    check_writable(output)
    run = read_run(predictions)
    shipped = None
    if logits_path(model).is_file():
        metadata = read_metadata(model)
        shipped = metadata, logits_of(model, metadata)[1]
    found = evaluate_parasitemia(*run, shipped)
    write_text(output, to_json(found))
    for point in found.cross_validation.points:
        shares = (point.raw.within_quarter, point.corrected.within_quarter, point.coverage)
        raw, corrected, covered = (format_percent(share.value, 0) for share in shares)
        print(
            f"{point.name}: within 25 % of the true parasitemia in {raw} of {shares[0].total} infected patients, after "
            f"correction in {corrected}; {covered} of the 95 % intervals contain it"
        )
    print(f"{output} written. {RESEARCH_USE}")
    return 0
