"""What a slide would read at each operating point, as HTML."""

import math
from functools import partial
from html import escape

from malaria_detect import plots
from malaria_detect.app.widgets.base import figure
from malaria_detect.app.wording import detection_limit
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics.formatting import format_estimate, format_percent, format_threshold_percent
from malaria_detect.metrics.parasitemia import healthy_reading

# What guidelines let a microscopist count: CDC, BSH, WHO (Malar J 2021, s12936-021-03889-7).
COUNTED = (500, 1_000, 5_000)


def slide_table(metadata: ModelMetadata) -> str:
    """Apparent parasitemia of a healthy person and limits of detection, a row for each operating point.

    The limits are simulated, and remembered.
    """
    heads = "".join(f"<th scope='col'>Limit of detection, {cells:,} cells</th>" for cells in COUNTED)
    rows = []
    for point in metadata.operating_points:
        reading = healthy_reading(point.patients)
        limits = "".join(
            f"<td role='cell' data-name='Limit of detection, {cells:,} cells'>"
            f"{_limit(detection_limit(cells, point.patients).limit)}</td>"
            for cells in COUNTED
        )
        rows.append(
            f"<tr role='row'><th scope='row' role='rowheader'>{escape(point.name.capitalize())}</th>"
            f"<td role='cell' data-name='Called parasitized'>from {format_threshold_percent(point.threshold)}</td>"
            f"<td role='cell' data-name='Without parasites reads'>"
            f"{format_estimate(reading, partial(format_percent, decimals=2))}</td>{limits}</tr>"
        )
    return (
        "<table class='md-table' role='table'><caption class='md-hidden'>What a slide would read</caption><thead><tr>"
        "<th scope='col'>Operating point</th><th scope='col'>Called parasitized</th>"
        f"<th scope='col'>Without parasites reads</th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def slide_view(metadata: ModelMetadata) -> str:
    """The part "What it means for a slide"."""
    lowest = min(metadata.operating_points, key=lambda point: healthy_reading(point.patients).value)
    return (
        "<h2 class='md-section'>What it means for a slide</h2>"
        "<p class='md-lead'>On a slide few cells are parasitized, often one in a hundred or fewer, so that a small "
        "share of false alarms counts.</p>"
        + slide_table(metadata)
        + "<p class='md-aside'>How to read it: even the cells of a person without parasites do not read "
        f"{format_percent(0.0)}, with “{escape(lowest.name)}” they come closest. From the limit of detection on "
        "a slide is told from one without parasites in 95 of 100 cases when so many cells are counted; below it is "
        "often missed, because patients differ in how many of their cells are called by mistake. All of it goes by "
        "the uninfected cells of the test patients, infected ones among them.</p><div class='md-figures'>"
        + figure(
            "Called and true parasitemia",
            plots.apparent_parasitemia(
                {
                    point.name: (
                        point.test.estimates["sensitivity"].value,
                        point.test.estimates["specificity"].value,
                    )
                    for point in metadata.operating_points
                }
            ),
            "Where a curve runs level, false alarms outnumber parasites: a slide left of its bend reads the same as "
            "one without any.",
        )
        + figure(
            "Limits of detection",
            plots.detection_limits(
                {
                    point.name: [detection_limit(cells, point.patients) for cells in COUNTED]
                    for point in metadata.operating_points
                }
            ),
            "A dot is the lowest parasitemia that 95 of 100 slides tell from none: counting more cells helps only "
            "until the differences between patients are all that is left.",
        )
        + "</div>"
    )


def _limit(share: float) -> str:
    return "none" if math.isnan(share) else format_percent(share, 2)
