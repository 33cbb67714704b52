"""Other network designs as HTML: their scores on the same test patients, their cost, and published results."""

from html import escape
from pathlib import Path

from malaria_detect import plots
from malaria_detect.app.widgets.base import figure, table
from malaria_detect.app.widgets.scores import NAMES, SHARES, interval, value
from malaria_detect.designs.comparison import OURS, Comparison, ComparisonError, Row, Trained, read_comparison
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics.formatting import duration, megabytes, points, rate, signed

SHOWN = ("accuracy", "sensitivity", "specificity", "roc_auc")


def designs_details(path: Path, metadata: ModelMetadata) -> str:
    """Other designs trained on the same patients; a sentence if they were not.

    Parameters
    ----------
    path : path
        ``reports/compare.json``.
    metadata : ModelMetadata
        Of the shipped model.
    """
    try:
        found = read_comparison(path) if path.is_file() else None
    except ComparisonError as error:
        return f"<p class='md-aside'>{escape(str(error))}</p>"
    if found is None or not found.trained:
        return (
            "<p class='md-aside'>No other design was trained yet. <code>malaria-detect compare</code> trains other "
            "designs on the same patients.</p>"
        )
    return _lead(found, metadata) + _figure(found) + _table(found) + _not_run(found)


def _lead(found: Comparison, metadata: ModelMetadata) -> str:
    scores = next(iter(found.trained.values())).scores
    shipped = metadata.point().test.estimates["accuracy"]
    other = (
        " The shipped model is from a later training than the row of our design."
        if found.ours is not None and found.ours.scores.estimates["accuracy"] != shipped
        else ""
    )
    return (
        f"<p>{len(found.trained)} designs, trained once each on the same training patients and scored on the same "
        f"{scores.cells:,} cells of {scores.patients:,} test patients. Differences are to our design, with 95 % "
        f"intervals over patients.{other}</p>"
    )


def _figure(found: Comparison) -> str:
    drawn = figure(
        "Comparison of designs",
        plots.design_comparison(found.rows),
        "Published results were measured on other splits. On a random split, cells of one patient are in both training "
        "and test, so these results are too high for a new patient.",
    )
    return f"<div class='md-figures'>{drawn}</div>"


def _table(found: Comparison) -> str:
    rows = [
        (
            _name(row, trained),
            [
                *(_score(name, trained) for name in SHOWN),
                f"{trained.parameters:,} parameters, {megabytes(trained.file_bytes)}, trained for "
                f"{duration(trained.training_seconds)}, {rate(trained.pictures_per_second)} images/s at "
                f"{trained.input_size} px",
                escape(_published(row)),
            ],
        )
        for row in found.rows
        if (trained := row.trained) is not None
    ]
    head = ("Design", *(NAMES[name] for name in SHOWN), "", "Published")
    return table("Other designs", head, rows) + (
        f"<p class='md-aside'>Speed was measured on {escape(found.machine)}, {escape(found.created)}.</p>"
    )


def _name(row: Row, trained: Trained) -> str:
    ours = " (ours)" if row.network == OURS else ""
    changed = f" Trained here with {'; '.join(trained.changed)}." if trained.changed else ""
    return f"{escape(row.network)}{ours}<div class='md-how'>{escape(f'{row.title}.{changed}')}</div>"


def _score(name: str, trained: Trained) -> str:
    estimate = trained.scores.estimates[name]
    text = f"{value(name, estimate.value)} <span class='md-interval'>({interval(name, estimate)})</span>"
    less = trained.minus_ours.get(name)
    if less is None:
        return text
    difference = f"{points(less)} points" if name in SHARES else signed(less)
    return f"{text}<div class='md-interval'>{escape(difference)}</div>"


def _published(row: Row) -> str:
    if row.reported is None or not row.reported.scores:
        return ""
    scores = ", ".join(
        f"{NAMES.get(name, name)} {number:.3f}" for name, number in row.reported.scores.items()
    )
    return f"{scores} ({row.reported.protocol})"


def _not_run(found: Comparison) -> str:
    items = [
        f"<li>{escape(row.network)}: {escape(row.not_run)} {escape(_published(row))}</li>"
        for row in found.rows
        if row.trained is None
    ]
    return f"<p>Not trained here:</p><ul class='md-list'>{''.join(items)}</ul>" if items else ""
