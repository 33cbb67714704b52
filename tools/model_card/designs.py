"""What a comparison of designs shows, in sentences."""

from malaria_detect.designs.comparison import OURS, Comparison, DesignRow, Trained, score_name
from malaria_detect.metrics import Scores
from malaria_detect.metrics.formatting import (
    MISSING,
    format_count,
    format_duration,
    format_estimate,
    format_list,
    format_megabytes,
    format_points,
    format_rate,
    format_signed,
)

_LOWER = "accuracy is lower than ours, beyond sampling error,"
_HIGHER = "accuracy is higher than ours, beyond sampling error,"
_WITHIN_ERROR = "the difference from ours is within sampling error"
# In the first table, and in the second.
FIRST, SECOND = ("accuracy", "roc_auc"), ("sensitivity", "specificity", "precision", "f1")
COSTS = ("input", "parameters", "file", "trained for", "images/s")
IN_PRINT = (
    "Published values come from the authors’ own splits, which the table names. A random split puts cells of one "
    "patient into both training and test data, so do not compare such a value with our scores."
)
ON_AUTHORS_SPLITS = (
    "Here cells of one patient are in both training and test data, and a design that keeps its best epoch chose it on "
    "the test cells. Compare these scores with the author’s only; they do not apply to new patients."
)
NOT_SHIPPED = (
    "Our row is from an earlier training than the shipped model; `malaria-detect compare` updates it."
)
TRAINED_ONCE = "Each network was trained once; the intervals do not include the variation between trainings."


def ran(comparison: Comparison) -> list[tuple[DesignRow, Trained]]:
    """Rows of the networks that were trained, ours first."""
    return [(row, row.trained) for row in comparison.rows if row.trained is not None]


def not_run(comparison: Comparison) -> list[DesignRow]:
    """Rows of the networks that were not trained."""
    return [row for row in comparison.rows if row.trained is None]


def beside_authors(comparison: Comparison | None) -> list[tuple[DesignRow, Trained]]:
    """Trained networks with published scores, from a comparison on the authors' own splits."""
    found = [] if comparison is None else ran(comparison)
    return [(row, trained) for row, trained in found if row.reported is not None]


def lead(comparison: Comparison, shipped: Scores) -> str:
    """What all rows have in common, and whether ours is the shipped model; empty if nothing was trained."""
    found = ran(comparison)
    if not found:
        return ""
    scores = found[0][1].scores
    ours = comparison.ours
    stale = ours is not None and ours.scores.estimates["accuracy"] != shipped.estimates["accuracy"]
    return (
        f"{format_count(len(found))} networks, {'with' if ours else 'without'} ours, on the same split by patient: "
        "trained on the same patients, with a threshold chosen on the same validation patients, and scored on the same "
        f"{format_count(scores.cells)} cells of {format_count(scores.patients)} test patients. Intervals are 95 % over "
        "these patients." + (f" {NOT_SHIPPED}" if stale else "")
    )


def differences(comparison: Comparison) -> str:
    """Which networks differ from ours beyond sampling error; empty if none was compared."""
    by_how_much = {
        row.network: trained.minus_ours["accuracy"]
        for row, trained in ran(comparison)
        if "accuracy" in trained.minus_ours
    }
    if not by_how_much:
        return ""
    kinds: dict[str, list[str]] = {_LOWER: [], _HIGHER: [], _WITHIN_ERROR: []}
    for network, less in by_how_much.items():
        kinds[_LOWER if less.high < 0 else _HIGHER if less.low > 0 else _WITHIN_ERROR].append(network)
    parts = [f"{what} for {format_list(networks)}" for what, networks in kinds.items() if networks]
    said = f"On the same cells (paired bootstrap over patients), {'; '.join(parts)}."
    if len(by_how_much) > 1:
        number = format_count(len(by_how_much))
        said += f" Of {number} comparisons, about one in twenty differs by chance alone."
    return f"{said} {_overlaps(comparison)} {TRAINED_ONCE}"


def _overlaps(comparison: Comparison) -> str:
    """Which networks have an accuracy interval that overlaps ours; empty if ours was not trained."""
    if comparison.ours is None:
        return ""
    own = comparison.ours.scores.estimates["accuracy"]
    accuracies = {row.network: one.scores.estimates["accuracy"] for row, one in _others(comparison)}
    found = [name for name, one in accuracies.items() if one.low <= own.high and own.low <= one.high]
    if not found:
        return "No other accuracy interval overlaps ours."
    whose, overlap = ("intervals", "overlap") if len(found) > 1 else ("interval", "overlaps")
    return (
        f"The accuracy {whose} of {format_list(found)} {overlap} ours; the paired difference is more precise."
    )


def training(comparison: Comparison) -> str:
    """Training times, and how many designs were shortened; empty if there is nothing to compare with."""
    ours, others = comparison.ours, _others(comparison)
    if ours is None or not others:
        return ""
    times = sorted(trained.training_seconds for _, trained in others)
    spread = " to ".join(dict.fromkeys(format_duration(one) for one in (times[0], times[-1])))
    said = f"Ours was trained for {format_duration(ours.training_seconds)}, the others for {spread}"
    longer = ": part of any difference may come from longer training, not from a better design."
    said += longer if ours.training_seconds > times[-1] else "."
    cut = [row.network for row, trained in others if trained.changed]
    if cut:
        were = "was" if len(cut) == 1 else "were"
        said += (
            f" {format_count(len(cut))} of the {format_count(len(others))} others {were} not trained exactly as "
            "designed (see below); with the full training they might score higher."
        )
    return said


def _others(comparison: Comparison) -> list[tuple[DesignRow, Trained]]:
    return [(row, trained) for row, trained in ran(comparison) if row.network != OURS]


def times(comparison: Comparison) -> str:
    """How speed and training time were measured."""
    return (
        f"Images per second: all networks in turn on {comparison.machine}, {comparison.created}. Training times are "
        "from each run, on a machine that was not idle, without the scaling of the cells."
    )


def as_trained(trained: Trained) -> str:
    """How the training differed from the design, what it started from, and when it was done."""
    changed = "; ".join(trained.changed) or "as designed"
    return f"{changed}; started from {trained.start}; {trained.created}"


def what_it_is(row: DesignRow) -> str:
    """What a network is, where it comes from, and published details that fit no table."""
    parts = [row.title, row.where, row.chosen and f"chosen here: {row.chosen}"]
    if row.reported is not None:
        parts.append(row.reported.also and f"also published: {row.reported.also}")
        if row.reported.where not in ("", row.where):
            parts.append(f"published result: {row.reported.where}")
    return "; ".join(part.rstrip(".") for part in parts if part)


def less_ours(trained: Trained, name: str) -> str:
    """Difference of a score from our model: accuracy in percentage points, others as they are."""
    less = trained.minus_ours.get(name)
    if less is None:
        return MISSING
    return format_estimate(less, format_points if name == "accuracy" else format_signed)


def less_ours_head(name: str) -> str:
    """Column heading of the difference."""
    return f"{score_name(name)}, difference from ours" + (" (points)" if name == "accuracy" else "")


def costs(trained: Trained) -> tuple[str, str, str, str, str]:
    """Size, training time and speed of a network, in the order of :data:`COSTS`."""
    return (
        f"{format_count(trained.input_size)} px",
        format_count(trained.parameters),
        format_megabytes(trained.file_bytes),
        format_duration(trained.training_seconds),
        format_rate(trained.pictures_per_second),
    )
