"""What the model would report for a slide at each operating point, as HTML."""

import math
from html import escape

from malaria_detect import plots
from malaria_detect.app.widgets.base import figure, table
from malaria_detect.app.wording import detection_limit, percent, threshold, with_interval
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics.parasitemia import healthy_reading

# Cells to count according to guidelines: CDC, BSH, WHO (Malar J 2021, s12936-021-03889-7).
COUNTED = (500, 1_000, 5_000)


def slide_table(metadata: ModelMetadata) -> str:
    """Reading without parasites, and limits of detection (simulated), a row for each operating point."""
    rows = []
    for point in metadata.operating_points:
        reading = healthy_reading(point.patients)
        limits = [detection_limit(cells, point.patients).limit for cells in COUNTED]
        cells = [
            threshold(point),
            with_interval(reading.value, reading.low, reading.high, 2),
            *("none" if math.isnan(limit) else percent(limit, 2) for limit in limits),
        ]
        rows.append((escape(point.name.capitalize()), cells))
    head = (
        "Operating point",
        "Threshold",
        "Reading without parasites",
        *(f"Limit of detection, {cells:,} cells" for cells in COUNTED),
    )
    return table("What a slide would read", head, rows)


def slide_details(metadata: ModelMetadata) -> str:
    """Parasitemia: the table of readings and limits, how to read it, and two figures."""
    points = metadata.operating_points
    rates = {
        point.name: (
            point.test.estimates["sensitivity"].value,
            point.test.estimates["specificity"].value,
        )
        for point in points
    }
    limits = {point.name: [detection_limit(cells, point.patients) for cells in COUNTED] for point in points}
    lowest = min(points, key=lambda point: healthy_reading(point.patients).value)
    return (
        "<p>On most slides only a few cells in a hundred are parasitized, so even a small share of false alarms "
        "changes the parasitemia.</p>"
        + slide_table(metadata)
        + "<p class='md-aside'>Reading without parasites: share of cells called parasitized on a slide without "
        f"parasites, with its 95 % interval; it is lowest with “{escape(lowest.name)}”. Limit of detection: the lowest "
        "parasitemia distinguishable from zero on 95 % of slides. Both are estimated from the uninfected cells of the "
        "test patients.</p><div class='md-figures'>"
        + figure(
            "Apparent and true parasitemia",
            plots.apparent_parasitemia(rates),
            "Where a curve is flat, false alarms outnumber parasitized cells, and the slide cannot be distinguished "
            "from one without parasites.",
        )
        + figure(
            "Limits of detection",
            plots.detection_limits(limits),
            "Counting more cells lowers the limit only until the differences between patients dominate.",
        )
        + "</div>"
    )
