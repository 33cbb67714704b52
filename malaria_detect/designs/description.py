"""What a comparison of designs shows, in sentences that the page, the README and the model card share; no torch."""

from malaria_detect.designs.comparison import OURS, Comparison, Row, Trained
from malaria_detect.metrics import Estimate, Scores
from malaria_detect.metrics.formatting import (
    MISSING,
    format_count,
    format_duration,
    format_estimate,
    format_list,
    format_megabytes,
    format_points,
    format_rate,
    format_score,
    format_signed,
)

_SCORE_NAMES = {
    "f1": "F1",
    "mcc": "MCC",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "ece": "expected calibration error",
}
# In the first table, and in the second.
FIRST, SECOND = ("accuracy", "roc_auc"), ("sensitivity", "specificity", "precision", "f1")
COSTS = ("input", "parameters", "file", "trained for", "pictures a second, scaled to logit")
IN_PRINT = (
    "A number in print was taken on its author’s own split of the cells, which the table names with it. Where that was "
    "random, cells of one patient stand on both sides, which flatters; so hold no such number against one of ours."
)
ON_AUTHORS_SPLITS = (
    "Cells of one patient stand on both sides here, and where a design keeps its best epoch the held-out cells chose "
    "it: such a number can be held against its author’s, and does not say how a network does on a new patient."
)
NOT_SHIPPED = (
    "The row of ours is of an earlier training than the shipped model; `malaria-detect compare` renews it."
)
TRAINED_ONCE = (
    "Each network was trained once: how far a second training would lie from the first is in no interval."
)


def score_name(name: str) -> str:
    """Name of a score in a table.

    Examples
    --------
    >>> score_name("accuracy"), score_name("roc_auc")
    ('accuracy', 'ROC AUC')
    """
    return _SCORE_NAMES.get(name, name)


def ran(comparison: Comparison) -> tuple[tuple[Row, Trained], ...]:
    """The networks that were run, ours first."""
    return tuple((row, row.trained) for row in comparison.rows if row.trained is not None)


def not_run(comparison: Comparison) -> tuple[Row, ...]:
    """The networks that were not."""
    return tuple(row for row in comparison.rows if row.trained is None)


def beside_authors(comparison: Comparison | None) -> tuple[tuple[Row, Trained], ...]:
    """Of a comparison by the authors' own splits, the networks that were run and of which a number is in print."""
    if comparison is None:
        return ()
    return tuple((row, trained) for row, trained in ran(comparison) if row.reported is not None)


def lead(comparison: Comparison, shipped: Scores) -> str:
    """What the rows have in common, and whether ours is the shipped model; empty where nothing was run."""
    found = ran(comparison)
    if not found:
        return ""
    scores = found[0][1].scores
    ours = comparison.ours
    stale = ours is not None and ours.scores.estimates["accuracy"] != shipped.estimates["accuracy"]
    return (
        f"{format_count(len(found))} networks, ours {'' if ours else 'not '}among them, on the same split by patient: "
        "trained on the same patients, "
        f"called parasitized from a threshold that was chosen on the same validation patients, and scored on the same "
        f"{format_count(scores.cells)} cells of {format_count(scores.patients)} test patients, over whom the 95 % "
        "intervals are." + (f" {NOT_SHIPPED}" if stale else "")
    )


def differences(comparison: Comparison) -> str:
    """Which networks differ from ours by more than differing patients explain; empty where none was held against it."""
    by_how_much = {
        row.network: trained.minus_ours["accuracy"]
        for row, trained in ran(comparison)
        if "accuracy" in trained.minus_ours
    }
    if not by_how_much:
        return ""
    lower = [network for network, less in by_how_much.items() if less.high < 0]
    higher = [network for network, less in by_how_much.items() if less.low > 0]
    open_ = [network for network in by_how_much if network not in (*lower, *higher)]
    kinds = {
        "accuracy is lower than ours by more than differing patients explain": lower,
        "accuracy is higher than ours by more than differing patients explain": higher,
        "the difference from ours may be chance among these patients": open_,
    }
    parts = [f"{what} for {format_list(networks)}" for what, networks in kinds.items() if networks]
    said = f"On the same cells, with the same patients drawn anew for both, {'; '.join(parts)}."
    if len(by_how_much) > 1:
        number = format_count(len(by_how_much))
        said += f" With {number} of them, about one in twenty would seem to differ by chance alone."
    return f"{said} {overlaps(comparison)} {TRAINED_ONCE}"


def overlaps(comparison: Comparison) -> str:
    """Whose interval of accuracy overlaps ours when each is taken by itself; empty where ours was not run."""
    if comparison.ours is None:
        return ""
    own = comparison.ours.scores.estimates["accuracy"]
    found = [
        row.network
        for row, trained in _others(comparison)
        if _overlap(trained.scores.estimates["accuracy"], own)
    ]
    if not found:
        return "Nobody’s interval of accuracy overlaps ours."
    whose, overlap = ("intervals", "overlap") if len(found) > 1 else ("interval", "overlaps")
    return (
        f"Taken alone, the {whose} of accuracy of {format_list(found)} {overlap} ours; the difference on the same "
        "patients says more."
    )


def training(comparison: Comparison) -> str:
    """Who was trained longer, and how many designs were cut short; empty where ours stands alone."""
    ours, others = comparison.ours, _others(comparison)
    if ours is None or not others:
        return ""
    times = [trained.training_seconds for _, trained in others]
    spread = _ends(format_duration(min(times)), format_duration(max(times)))
    said = f"Ours was trained for {format_duration(ours.training_seconds)}, the others for {spread}"
    said += (
        ": a part of any difference may be longer training, not a better design."
        if ours.training_seconds > max(times)
        else "."
    )
    cut = [row.network for row, trained in others if trained.changed]
    if cut:
        were = "was" if len(cut) == 1 else "were"
        said += (
            f" {format_count(len(cut))} of the {format_count(len(others))} others {were} not trained quite as "
            "designed, as is told of each below; with their own training they might do better."
        )
    return said


def _others(comparison: Comparison) -> list[tuple[Row, Trained]]:
    return [(row, trained) for row, trained in ran(comparison) if row.network != OURS]


def times(comparison: Comparison) -> str:
    """What the times are worth."""
    return (
        f"Pictures a second were counted side by side on {comparison.machine}, {comparison.created}. Training times "
        "are each run’s own, on a machine that did other things too, without scaling the cells."
    )


def as_trained(trained: Trained) -> str:
    """How a network was trained here, against how its design would have it."""
    changed = "; ".join(trained.changed) or "as designed"
    return f"{changed}; started from {trained.start}; {trained.created}"


def what_it_is(row: Row) -> str:
    """What a network is, where it comes from, and what is in print of it that fits no table."""
    parts = [row.title, row.where, row.chosen and f"chosen here: {row.chosen}"]
    if row.reported is not None:
        parts.append(row.reported.also and f"also in print: {row.reported.also}")
        if row.reported.where not in ("", row.where):
            parts.append(f"numbers in print from {row.reported.where}")
    return "; ".join(part.rstrip(".") for part in parts if part)


def printed(row: Row) -> str:
    """What is in print of a network, with how the cells were split for it."""
    if row.reported is None:
        return MISSING
    numbers = [f"{score_name(name)} {format_score(value)}" for name, value in row.reported.scores.items()]
    return f"{', '.join(numbers)} ({row.reported.protocol})" if numbers else MISSING


def less_ours(trained: Trained, name: str) -> str:
    """A score less ours, under :func:`less_ours_head`: accuracy in percentage points, others as they are."""
    less = trained.minus_ours.get(name)
    if less is None:
        return MISSING
    return format_estimate(less, format_points if name == "accuracy" else format_signed)


def less_ours_head(name: str) -> str:
    """What stands over it."""
    return f"{score_name(name)} less ours" + (", in points" if name == "accuracy" else "")


def costs(trained: Trained) -> tuple[str, str, str, str, str]:
    """What a network costs, under :data:`COSTS`."""
    return (
        f"{format_count(trained.input_size)} px",
        format_count(trained.parameters),
        format_megabytes(trained.file_bytes),
        format_duration(trained.training_seconds),
        format_rate(trained.pictures_per_second),
    )


def _ends(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _overlap(one: Estimate, other: Estimate) -> bool:
    return one.low <= other.high and other.low <= one.high
