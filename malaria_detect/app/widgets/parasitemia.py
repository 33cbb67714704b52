"""What the model would report for a slide at each operating point, as HTML."""

import math
from html import escape

from malaria_detect import plots
from malaria_detect.app.widgets.base import figures, table
from malaria_detect.app.wording import detection_limit
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics.formatting import format_estimate, format_percent, format_threshold_percent
from malaria_detect.metrics.parasitemia import healthy_reading

# Cells to count according to guidelines: CDC, BSH, WHO (Malar J 2021, s12936-021-03889-7).
COUNTED = (500, 1_000, 5_000)


def slide_details(metadata: ModelMetadata) -> str:
    """Parasitemia: a table of readings and limits of detection (simulated), how to read it, and two figures."""
    points = metadata.operating_points
    limits = {point.name: [detection_limit(cells, point.patients) for cells in COUNTED] for point in points}
    rows = [
        (
            escape(point.name.capitalize()),
            [
                format_threshold_percent(point.threshold),
                format_estimate(healthy_reading(point.patients), _percent),
                *("none" if math.isnan(one.limit) else _percent(one.limit) for one in limits[point.name]),
            ],
        )
        for point in points
    ]
    head = ("Operating point", "Threshold", "Reading without parasites")
    detection = (f"Limit of detection, {cells:,} cells" for cells in COUNTED)
    rates = {
        point.name: (
            point.test.estimates["sensitivity"].value,
            point.test.estimates["specificity"].value,
        )
        for point in points
    }
    return (
        "<p>On most slides only a few cells in a hundred are parasitized, so even a small share of false alarms "
        "changes the parasitemia.</p>"
        + table("What a slide would read", (*head, *detection), rows)
        + "<p class='md-aside'>Reading without parasites: share of cells called parasitized on a slide without "
        "parasites, with its 95 % interval. Limit of detection: the lowest parasitemia distinguishable from zero on "
        "95 % of slides. Both are estimated from the uninfected cells of the test patients.</p>"
        + figures(
            (
                "Apparent and true parasitemia",
                plots.parasitemia_curves(rates),
                "Where a curve is flat, false alarms outnumber parasitized cells, and the slide cannot be "
                "distinguished from one without parasites.",
            ),
            (
                "Limits of detection",
                plots.detection_limits(limits),
                "Counting more cells lowers the limit only until the differences between patients dominate.",
            ),
        )
    )


def _percent(share: float) -> str:
    return format_percent(share, 2)
