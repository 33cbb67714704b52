"""What the benchmarks found, as tables."""

from typing import Any

from malaria_detect.metrics.formatting import format_count, format_table
from tools.model_card import ReportError


def training(train: dict[str, Any]) -> str:
    """The ratios of training."""
    head = (
        "training at",
        "ours, cells/s",
        "plain fastai recipe, cells/s",
        "ratio",
        "decoding, once a size, cells/s",
    )
    rows = [
        (
            f"{row['size']} px",
            str(row["ours_cells_per_s"]),
            str(row["plain_cells_per_s"]),
            str(row["ratio"]),
            f"{row['squares_cells_per_s']:.0f}",
        )
        for row in train["rows"]
    ]
    return format_table(head, rows)


def ways(report: dict[str, Any]) -> str:
    """What each way to run the network costs and changes, a row each."""
    sizes = list(report["ways"][0]["cells_per_s"])
    head = (
        "way",
        *(f"cells/s, {size} at once" for size in sizes),
        "largest change of a probability",
        "decisions changed",
        "memory, MB",
        "first answer after, s",
    )
    rows = [
        (
            f"**{row['name']}**" if row["name"] == report["shipped"] else row["name"],
            *(str(row["cells_per_s"][size]) for size in sizes),
            str(row["largest_change"]),
            format_count(row["decisions_changed"]),
            f"{row['memory_mb']:.0f}",
            str(row["start_s"]),
        )
        for row in report["ways"]
    ]
    return format_table(head, rows)


def changed_beyond(report: dict[str, Any]) -> float:
    """The most that rounding changes a probability beyond the zone in which a network is asked again.

    Raises
    ------
    ReportError
        Where the report does not know that zone.
    """
    zone = report["zone"]
    for row in zone["rows"]:
        if row["unsure"] == zone["unsure"]:
            return float(row["largest_change"])
    raise ReportError(f"speed.json has no row of the zone {zone['unsure']}: `make bench-ways` writes it.")
