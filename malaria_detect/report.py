"""Keep the README's numbers true: they are written from files, never typed.

``python -m malaria_detect.report`` rewrites two blocks of README.md; with ``--check`` it writes nothing and exits with
1 where it would. Between ``<!-- numbers:begin -->`` and ``<!-- numbers:end -->`` stand the passport's scores, between
``<!-- speed:begin -->`` and ``<!-- speed:end -->`` what the benchmarks wrote to ``reports/``.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from malaria_detect.errors import MalariaDetectError
from malaria_detect.metrics import Estimate
from malaria_detect.passport import Passport, Side, read_passport

_NAMES = {"f1": "F1", "roc_auc": "ROC AUC"}


class ReportError(MalariaDetectError):
    """The text has no place for the numbers."""


def numbers(passport: Passport) -> str:
    """Write a passport's scores on its test patients as Markdown.

    Parameters
    ----------
    passport : Passport
        Of the model to report on.

    Returns
    -------
    str
        A sentence on the cells, the table of scores with intervals and counts, the confusion matrix, and where the
        model comes from.
    """
    scores = passport.test_scores
    lines = [
        f"Measured on {scores.cells:,} cells of {scores.patients} patients who stand on no other side of the split; "
        f"a cell is called parasitized from a probability of {scores.threshold:g} on.",
        "",
        "| score | value | 95 % interval over patients | cells |",
        "|---|---|---|---|",
        *(f"| {_NAMES.get(name, name)} | {_row(estimate)} |" for name, estimate in scores.estimates.items()),
        "",
        _on_validation(passport),
        "",
        "| | called parasitized | called uninfected |",
        "|---|---|---|",
        f"| labelled parasitized | {scores.true_positive:,} | {scores.false_negative:,} |",
        f"| labelled uninfected | {scores.false_positive:,} | {scores.true_negative:,} |",
        "",
        f"Split by patient: {_side(passport.train)} for training, {_side(passport.valid)} for validation, "
        f"{_side(passport.test)} for the test. {passport.architecture} started from {passport.weights}; "
        f"`{passport.file_name}` has {passport.size_bytes / 1e6:.1f} MB, was made on {passport.created}, and its "
        f"SHA-256 starts with `{passport.sha256[:12]}`.",
    ]
    return "\n".join(lines)


def speed(train: dict[str, Any], predict: dict[str, Any]) -> str:
    """Write the benchmarks' ratios as Markdown.

    Parameters
    ----------
    train, predict : dict
        Contents of ``reports/train-speed.json`` and ``reports/predict-speed.json``, which ``make bench`` writes.

    Returns
    -------
    str
        A table for training, a sentence for predicting, and the machine that both were measured on.
    """
    per_s = predict["cells_per_s"]
    machine = predict["machine"]
    bfloat16 = "with" if machine["bfloat16"] else "without"
    lines = [
        "| training at | ours, cells/s | plain fastai recipe, cells/s | ratio | decoding, once a size, cells/s |",
        "|---|---|---|---|---|",
        *(
            f"| {row['size']} px | {row['ours_cells_per_s']} | {row['plain_cells_per_s']} | {row['ratio']} "
            f"| {row['squares_cells_per_s']:.0f} |"
            for row in train["rows"]
        ),
        "",
        f"Predicting from files, `predict_many` does {per_s['predict_many']} cells/s: "
        f"{predict['ratio_to_learn_predict']} times a loop of `learn.predict` ({per_s['learn.predict']}) and "
        f"{predict['ratio_to_get_preds']} times `get_preds` ({per_s['get_preds']}). "
        f"Measured on {machine['cores']} cores ({machine['processor']}, {bfloat16} bfloat16), "
        f"torch {machine['torch']}, {machine['date']}.",
    ]
    return "\n".join(lines)


def with_block(text: str, name: str, block: str) -> str:
    """Put a block into a text, at every place that is marked for it.

    Parameters
    ----------
    text : str
        Holds at least one pair of the two marks.
    name : str
        Stands in the marks, ``<!-- name:begin -->`` and ``<!-- name:end -->``.
    block : str
        What shall stand between them.

    Raises
    ------
    ReportError
        Where a mark is missing.

    Examples
    --------
    >>> print(with_block("Good? <!-- numbers:begin -->old<!-- numbers:end -->", "numbers", "new"))
    Good? <!-- numbers:begin -->
    new
    <!-- numbers:end -->
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    written, places = place.subn(lambda _: f"{begin}\n{block}\n{end}", text)
    if not places or text.count(begin) != places or text.count(end) != places:
        raise ReportError(f"The {name} block has no place: put {begin} and {end} around it.")
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the numbers, or check them; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m malaria_detect.report", description="README's numbers")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 where a number is not true"
    )
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--model", type=Path, default=Path("export.pkl"), help="its passport lies beside it")
    parser.add_argument("--reports", type=Path, default=Path("reports"), help="where the benchmarks write")
    options = parser.parse_args(arguments)
    try:
        text = options.readme.read_text(encoding="utf-8")
        written = with_block(text, "numbers", numbers(read_passport(options.model)))
        measured = (
            json.loads((options.reports / name).read_text(encoding="utf-8"))
            for name in ("train-speed.json", "predict-speed.json")
        )
        written = with_block(written, "speed", speed(*measured))
    except (MalariaDetectError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.check and written != text:
        print(
            f"{options.readme} does not show the numbers of passport and reports: run `make report`.",
            file=sys.stderr,
        )
        return 1
    if written != text:
        options.readme.write_text(written, encoding="utf-8")
    return 0


def _row(estimate: Estimate) -> str:
    interval = "–" if math.isnan(estimate.low) else f"{estimate.low:.3f} to {estimate.high:.3f}"
    value = "–" if math.isnan(estimate.value) else f"{estimate.value:.3f}"
    counts = "" if estimate.total is None else f"{estimate.hits:,} of {estimate.total:,}"
    return f"{value} | {interval} | {counts}"


def _on_validation(passport: Passport) -> str:
    """The validation patients' scores stand beside the test patients': how far the two differ is news itself."""
    scores = passport.validation_scores
    accuracy, area = scores.estimates["accuracy"], scores.estimates["roc_auc"]
    return (
        f"On the {scores.patients} validation patients, watched during training, accuracy is {accuracy.value:.3f} "
        f"({accuracy.low:.3f} to {accuracy.high:.3f}) and ROC AUC {area.value:.3f} ({area.low:.3f} to {area.high:.3f})."
    )


def _side(side: Side) -> str:
    return f"{side.cells:,} cells of {len(side.groups)} patients"


if __name__ == "__main__":
    sys.exit(main())
