"""Cross-validation as HTML: every patient held out once, beside the random split that others use."""

import os
from html import escape
from pathlib import Path

from malaria_detect import plots
from malaria_detect.app.widgets.base import figure
from malaria_detect.app.widgets.scores import NAMES, SHARES, interval, value
from malaria_detect.app.wording import FLATTERED
from malaria_detect.evaluation.cross_validation import (
    CrossValidation,
    CrossValidationError,
    Evaluation,
    read_evaluation,
)
from malaria_detect.metrics import Estimate, worst_patients
from malaria_detect.metrics.formatting import (
    format_count,
    format_estimate,
    format_list,
    format_percent,
    format_points,
    format_signed,
)
from malaria_detect.training.settings import recipe

COMPARED = ("accuracy", "sensitivity", "specificity", "f1", "mcc", "roc_auc")
STAMP = "patients on both sides"


def cross_validation_view(path: str | os.PathLike[str]) -> str:
    """The part "Every patient held out once"; one sentence where its file is not there.

    Parameters
    ----------
    path : path
        ``reports/evaluation.json``.
    """
    title = "<h2 class='md-section'>Every patient held out once</h2>"
    if not Path(path).is_file():
        return (
            f"{title}<p class='md-aside'>It was not done for this model yet: <code>malaria-detect evaluate</code> "
            "holds every patient out once, and <code>make report</code> then sums it up for this page.</p>"
        )
    try:
        evaluation = read_evaluation(path)
    except CrossValidationError as error:
        return f"{title}<p class='md-aside'>{escape(str(error))}</p>"
    grouped = evaluation.grouped
    return title + _lead(grouped) + _table(evaluation) + _corrected(grouped) + _figures(evaluation)


def _lead(grouped: CrossValidation) -> str:
    scores, run = grouped.scores, grouped.run
    return (
        f"<p class='md-lead'>{run.folds} further networks, {escape(recipe(run.histories[0], run.settings))}, each "
        f"trained without a part of the patients and scored on just these: {format_count(scores.cells, 'cell')} of "
        f"{format_count(scores.patients, 'patient')} in all. Beside them a network whose cells were split at random, "
        "as most published ones are.</p>"
    )


def _table(evaluation: Evaluation) -> str:
    # Narrow pages show no head of the table, so that the stamp stands in the rows too.
    stamped = evaluation.random.run.patients_on_both_sides
    heads = {
        "Patients kept apart": evaluation.grouped.scores,
        f"Random split, {STAMP}" if stamped else "Random split": evaluation.random.scores,
    }
    stamp = f" <span class='md-stamp'>{STAMP}</span>" if stamped else ""
    rows = []
    for name in COMPARED:
        cells = "".join(
            f"<td role='cell' data-name='{head}'>{value(name, scores.estimates[name].value)} "
            f"<span class='md-interval'>({interval(name, scores.estimates[name])})</span></td>"
            for head, scores in heads.items()
        )
        rows.append(
            f"<tr role='row'><th scope='row' role='rowheader'>{NAMES[name]}</th>{cells}"
            f"<td role='cell' data-name='Leak'>{escape(_leakage(name, evaluation.leakage[name]))}</td></tr>"
        )
    return (
        "<table class='md-table' role='table'><caption class='md-hidden'>Cross-validation</caption><thead><tr>"
        "<th scope='col'>Score</th><th scope='col'>Patients kept apart</th>"
        f"<th scope='col'>Random split{stamp}</th><th scope='col'>Leak: random less apart</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
        f"<p class='md-aside'>All with 95 % intervals over patients, called parasitized from "
        f"{format_percent(evaluation.grouped.scores.threshold)} on. {STAMP.capitalize()}, a network is asked about "
        f"people it has already seen; leakage is the difference on the {evaluation.leakage_cells:,} cells held out by "
        "both.</p>"
    )


def _leakage(name: str, leakage: Estimate) -> str:
    return (
        f"{format_estimate(leakage, format_points)} points"
        if name in SHARES
        else format_estimate(leakage, format_signed)
    )


def _corrected(grouped: CrossValidation) -> str:
    if grouped.corrected_scores is None:
        return ""
    accuracy = grouped.corrected_scores.estimates["accuracy"]
    return (
        f"<p class='md-aside'>On corrected labels, with patients kept apart, accuracy is "
        f"{value('accuracy', accuracy.value)} ({interval('accuracy', accuracy)}) over the "
        f"{format_count(grouped.corrected_scores.cells, 'cell')} whose corrected label is certain; {FLATTERED}.</p>"
    )


def _figures(evaluation: Evaluation) -> str:
    grouped = evaluation.grouped
    return (
        "<div class='md-figures'>"
        + figure("Every patient a dot", plots.patient_dots(grouped.patients), _read_dots(grouped))
        + figure(
            "patient-level leakage",
            plots.patient_leakage(
                grouped.scores.estimates, evaluation.random.scores.estimates, evaluation.leakage
            ),
            _read_leakage(evaluation),
        )
        + "</div>"
    )


def _read_dots(grouped: CrossValidation) -> str:
    within = grouped.within
    worst = format_list(
        [
            f"{patient.group} {format_percent(patient.accuracy)}"
            for patient in worst_patients(grouped.patients)
        ]
    )
    return (
        f"Patients differ: in {within.hits:,} of {within.total:,} ({format_percent(within.value)}) the share of "
        "parasitized cells is called within 5 points of the labelled share; the fewest cells are called as labelled "
        f"in {worst}."
    )


def _read_leakage(evaluation: Evaluation) -> str:
    leakage = evaluation.leakage["accuracy"]
    if leakage.low > 0:
        found = "more than differing patients explain; the spread between trainings is not in the interval"
    elif leakage.high < 0:
        found = "downwards, which no leakage explains"
    else:
        found = "which may be chance"
    return (
        f"On the same cells accuracy on the random split differs by {format_estimate(leakage, format_points)} points, "
        f"{found}: for a new patient the number with patients kept apart holds."
    )
