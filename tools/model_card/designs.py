"""What a comparison of designs shows, in sentences and rows of tables."""

from collections.abc import Iterator

from malaria_detect.designs.comparison import COMPARED, OURS, Comparison, DesignRow, Trained, score_name
from malaria_detect.designs.table import SCORES
from malaria_detect.metrics.formatting import (
    MISSING,
    format_count,
    format_estimate,
    format_list,
    format_points,
    format_signed,
)

# Scores that the first table does not have.
FURTHER = tuple(name for name in COMPARED if name not in SCORES)
# SHA-256 of the VGG-16 of Simonyan and Zisserman, as a state dict for RGB values of 0 to 1.
VGG16_OF_OXFORD = "80be59475c8ab9e7d80600c0196acdc9736c397f55b67cca33a7e230e75f5fbf"
NOT_SHIPPED = (
    "Our row is from an earlier training than the shipped model; `malaria-detect compare` updates it."
)


def not_run(comparison: Comparison) -> list[DesignRow]:
    """Designs without a result on the shared split."""
    return [row for row in comparison.rows if row.trained is None]


def lead(comparison: Comparison, shipped: str) -> str:
    """What all rows have in common, and how ours differs; empty if nothing was trained.

    `shipped` is the SHA-256 of the shipped model.
    """
    if not comparison.ranked:
        return ""
    scores = comparison.ranked[0][1].scores
    ours = comparison.ours
    stale = ours is not None and ours.sha256 != shipped
    own = (
        f" `{OURS}` is the shipped model, which was trained in another way than the others "
        "([below](#designs-and-their-training)); its training time is without that of what it started from."
        if ours is not None and ours.changed
        else ""
    )
    return (
        f"{format_count(len(comparison.ranked))} designs, trained on cells of the same patients, with a threshold "
        f"chosen on the same validation patients, and scored on the same {format_count(scores.cells)} cells of "
        f"{format_count(scores.patients)} test patients. In brackets: 95 % intervals over these patients.{own}"
        + (f" {NOT_SHIPPED}" if stale else "")
    )


def differences(comparison: Comparison) -> str:
    """Which designs differ from ours beyond sampling error; empty if none was compared."""
    kinds: dict[str, list[str]] = {"lower": [], "higher": [], "within sampling error": []}
    for row, trained in comparison.ranked:
        if less := trained.minus_ours.get("accuracy"):
            kind = "lower" if less.high < 0 else "higher" if less.low > 0 else "within sampling error"
            kinds[kind].append(row.network)
    parts = [f"{kind} for {format_list(names)}" for kind, names in kinds.items() if names]
    if not parts:
        return ""
    return f"The accuracy minus that of `{OURS}` is {'; '.join(parts)} (paired bootstrap over patients)."


def laboratories(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Rows of the table of other laboratories: design, laboratory, cut, cells, scores, what the design knows of it."""
    for row, trained in comparison.ranked:
        for one in trained.laboratories:
            shares = (
                format_estimate(one.called[name]) if name in one.called else MISSING
                for name in ("sensitivity", "specificity")
            )
            cells = f"{format_count(one.parasitized)} + {format_count(one.uninfected)}"
            where = f"{one.name}, {format_count(one.fields, 'field')}"
            yield f"`{row.network}`", where, one.cut, cells, *shares, one.basis


def machines(comparison: Comparison) -> str:
    """Where and when the speed was measured, as a list."""
    return format_list(list(dict.fromkeys(trained.machine for _, trained in comparison.ranked)))


def as_trained(trained: Trained) -> str:
    """How the training differed from the design, what it started from, and when it was done."""
    changed = "; ".join(trained.changed) or "as designed"
    start = f"; started from {trained.start}" if trained.start else ""
    return f"{changed}{start}; {trained.created}"


def what_it_is(row: DesignRow) -> str:
    """What a design is, where it comes from, and published details that fit no table."""
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
