"""Other network designs as HTML: their scores on the same test patients, their cost, and published results."""

from html import escape
from pathlib import Path

from malaria_detect import plots
from malaria_detect.app.widgets.base import figures, table
from malaria_detect.app.widgets.scores import FIRST, NAMES, SHARES, score_with_interval
from malaria_detect.designs.comparison import (
    OURS,
    Comparison,
    ComparisonError,
    Row,
    Trained,
    printed,
    read_comparison,
)
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics.formatting import (
    format_duration,
    format_estimate,
    format_megabytes,
    format_points,
    format_rate,
    format_signed,
)


def designs_details(path: Path, metadata: ModelMetadata) -> str:
    """Other designs trained on the same patients, from ``reports/compare.json``; a sentence if it is missing."""
    try:
        found = read_comparison(path) if path.is_file() else None
    except ComparisonError as error:
        return f"<p class='md-aside'>{escape(str(error))}</p>"
    if found is None or not found.trained:
        return (
            "<p class='md-aside'>No other design was trained yet. <code>malaria-detect compare</code> trains other "
            "designs on the same patients.</p>"
        )
    drawn = (
        "Comparison of designs",
        plots.design_comparison(found.rows),
        "Published results were measured on other splits. On a random split, cells of one patient are in both training "
        "and test, so these results are too high for a new patient.",
    )
    return _lead(found, metadata) + figures(drawn) + _table(found)


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


def _table(found: Comparison) -> str:
    rows = [
        (
            _name(row, trained),
            [
                *(_score(name, trained) for name in FIRST),
                f"{trained.parameters:,} parameters, {format_megabytes(trained.file_bytes)}, trained for "
                f"{format_duration(trained.training_seconds)}, {format_rate(trained.pictures_per_second)} images/s at "
                f"{trained.input_size} px",
                escape(printed(row)),
            ],
        )
        for row in found.rows
        if (trained := row.trained) is not None
    ]
    others = [
        f"<li>{escape(row.network)}: {escape(row.not_run)} Published: {escape(printed(row))}</li>"
        for row in found.rows
        if row.trained is None
    ]
    head = ("Design", *(NAMES[name] for name in FIRST), "", "Published")
    return (
        table("Other designs", head, rows)
        + f"<p class='md-aside'>Speed was measured on {escape(found.machine)}, {escape(found.created)}.</p>"
        + (f"<p>Not trained here:</p><ul class='md-list'>{''.join(others)}</ul>" if others else "")
    )


def _name(row: Row, trained: Trained) -> str:
    ours = " (ours)" if row.network == OURS else ""
    changed = f" Trained here with {'; '.join(trained.changed)}." if trained.changed else ""
    return f"{escape(row.network)}{ours}<div class='md-how'>{escape(f'{row.title}.{changed}')}</div>"


def _score(name: str, trained: Trained) -> str:
    text = score_with_interval(name, trained.scores.estimates[name])
    less = trained.minus_ours.get(name)
    if less is None:
        return text
    unit = " points" if name in SHARES else ""
    difference = format_estimate(less, format_points if name in SHARES else format_signed)
    return f"{text}<div class='md-interval'>{escape(difference)}{unit}</div>"
