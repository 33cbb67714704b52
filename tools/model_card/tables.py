"""The report's tables, as Markdown."""

from collections.abc import Sequence

from malaria_detect.designs.description import score_name
from malaria_detect.evaluation.cross_validation import Evaluation
from malaria_detect.evaluation.literature import Work
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint, Side
from malaria_detect.metrics import PatientCounts, Scores
from malaria_detect.metrics.formatting import (
    MISSING,
    PER,
    format_count,
    format_estimate,
    format_interval,
    format_list,
    format_megabytes,
    format_parasitemia,
    format_per_thousand,
    format_score,
    format_signed,
    format_table,
    format_threshold,
)
from malaria_detect.training.settings import recipe
from tools.model_card.facts import Ours, PatientGroup, SlideReading

# What a comparison with others can show.
COMPARED = ("accuracy", "sensitivity", "specificity", "roc_auc")


def scores(shown: Scores) -> str:
    """All scores with intervals, and the cells behind them."""
    rows = []
    for name, estimate in shown.estimates.items():
        cells = (
            f"{estimate.hits:,} of {estimate.total:,}" if estimate.total and estimate.hits is not None else ""
        )
        rows.append((score_name(name), format_score(estimate), format_interval(estimate), cells))
    return format_table(("score", "value", "95 % interval over patients", "cells"), rows)


def confusion(shown: Scores) -> str:
    """The confusion matrix, in cells."""
    return format_table(
        ("", "called parasitized", "called uninfected"),
        [
            ("labelled parasitized", format_count(shown.true_positive), format_count(shown.false_negative)),
            ("labelled uninfected", format_count(shown.false_positive), format_count(shown.true_negative)),
        ],
    )


def operating_points(points: Sequence[OperatingPoint]) -> str:
    """What each operating point gave where it was chosen, and on the test patients."""
    head = (
        "operating point",
        "called parasitized from",
        "sensitivity, validation (chosen there)",
        "specificity, validation (chosen there)",
        "sensitivity, test",
        "specificity, test",
    )
    rows = []
    for point in points:
        chosen, found = point.validation.estimates, point.test.estimates
        rows.append(
            (
                f"`{point.name}`",
                format_threshold(point.threshold),
                format_score(chosen["sensitivity"].value),
                format_score(chosen["specificity"].value),
                format_estimate(found["sensitivity"]),
                format_estimate(found["specificity"]),
            )
        )
    return format_table(head, rows)


def leakage(evaluation: Evaluation) -> str:
    """Patients apart and at random side by side, and the difference on the cells that both held out."""
    grouped, random = evaluation.grouped.scores.estimates, evaluation.random.scores.estimates
    head = (
        "score",
        "patients apart",
        "random split: **patients on both sides**",
        f"random less apart, on the same {evaluation.leakage_cells:,} cells",
    )
    rows = [
        (
            score_name(name),
            format_estimate(grouped[name]),
            format_estimate(random[name]),
            format_estimate(by_how_much, format_signed),
        )
        for name, by_how_much in evaluation.leakage.items()
    ]
    return format_table(head, rows)


def one_by_one(patients: Sequence[PatientCounts]) -> str:
    """Patients one by one."""
    head = ("patient", "accuracy", "parasitized cells", "missed", "uninfected cells", "false alarms")
    rows = [
        (
            f"`{patient.group}`",
            format_score(patient.accuracy),
            format_count(patient.parasitized),
            format_count(patient.parasitized - patient.true_positive),
            format_count(patient.uninfected),
            format_count(patient.false_positive),
        )
        for patient in patients
    ]
    return format_table(head, rows)


def groups(shown: Sequence[PatientGroup]) -> str:
    """Groups of patients: all cells together, the median and the worst patient."""
    head = (
        "",
        "patients",
        "cells",
        "sensitivity",
        "median patient",
        "lowest patient",
        f"false alarms in {PER:,} uninfected cells",
        "median patient",
        "highest patient",
    )
    rows = [
        (
            group.name,
            format_count(group.patients),
            format_count(group.cells),
            format_score(group.sensitivity),
            format_score(group.middle_sensitivity),
            MISSING
            if low is None
            else f"{format_score(low.sensitivity)} ({low.true_positive:,} of {low.parasitized:,})",
            format_per_thousand(group.false_positive_rate),
            format_per_thousand(group.middle_false_positive_rate),
            MISSING
            if high is None
            else f"{format_per_thousand(high.false_positive_rate)} ({high.false_positive:,} of {high.uninfected:,})",
        )
        for group in shown
        for low, high in ((group.least_sensitive, group.most_alarming),)
    ]
    return format_table(head, rows)


def slides(readings: Sequence[SlideReading]) -> str:
    """What each operating point means for a slide."""
    counted = [limit.counted for limit in readings[0].limits]
    head = (
        "operating point",
        f"of {PER:,} uninfected cells, called parasitized",
        *(f"limit of detection, {cells:,} cells counted" for cells in counted),
    )
    rows = [
        (
            reading.name,
            format_estimate(reading.healthy, format_per_thousand),
            *(
                format_parasitemia(limit.limit) if limit.limit == limit.limit else "not reached"
                for limit in reading.limits
            ),
        )
        for reading in readings
    ]
    return format_table(head, rows)


def comparison(ours: Sequence[Ours], works: Sequence[Work], patients_apart: bool) -> str:
    """Our scores and others' with one kind of split, each with its protocol."""
    rows = [
        (
            f"**{own.name}**",
            own.protocol,
            *(f"**{format_score(own.scores.estimates[name].value)}**" for name in COMPARED),
        )
        for own in ours
        if own.patients_apart == patients_apart
    ]
    rows += [
        (
            work.work,
            work.protocol,
            *(format_score(work.scores[name].value) if name in work.scores else MISSING for name in COMPARED),
        )
        for work in works
        if work.patients_apart == patients_apart
    ]
    return format_table(("work", "protocol", *map(score_name, COMPARED)), rows)


def details(metadata: ModelMetadata) -> str:
    """What the model is."""
    mean, std = (", ".join(f"{part:.3f}" for part in colour) for colour in (metadata.mean, metadata.std))
    versions = format_list([f"{name} {version}" for name, version in metadata.versions.items()])
    rows = [
        (
            "file",
            f"`{metadata.file_name}`, {format_megabytes(metadata.size_bytes)}, made on {metadata.created}",
        ),
        ("SHA-256", f"`{metadata.sha256}`"),
        ("network", f"{metadata.architecture}; {format_list(metadata.classes)}"),
        (
            "input",
            f"RGB, longer side scaled to {metadata.resize} px and padded with black, then {metadata.input_size} px; "
            f"mean {mean}, standard deviation {std}",
        ),
        ("started from", str(metadata.weights)),
        ("trained for", recipe(metadata.history, metadata.settings)),
        ("labels learnt", f"as {metadata.labels_learnt}"),
        (
            "settings",
            format_list([f"{name} {value}" for name, value in metadata.settings.items() if name != "sizes"]),
        ),
        ("temperature", format_threshold(metadata.temperature)),
        ("made with", versions),
        ("licence", f"{metadata.licence} (code and model; not the cells)"),
        ("to cite", "`CITATION.cff`"),
    ]
    return format_table(("property", "value"), rows)


def sides(metadata: ModelMetadata) -> str:
    """The sides of the shipped model's split."""
    named = {
        "training": ("weights", metadata.train),
        "validation": (
            "temperature, operating points, bar of uncertainty; watched during training",
            metadata.valid,
        ),
        "test": ("nothing but the scores", metadata.test),
    }
    head = ("side", "patients", "cells", "labelled parasitized", "labelled uninfected", "decides on")
    return format_table(head, [(name, *_side(side), decides) for name, (decides, side) in named.items()])


def _side(side: Side) -> tuple[str, str, str, str]:
    return (
        format_count(len(side.groups)),
        format_count(side.cells),
        format_count(side.parasitized),
        format_count(side.uninfected),
    )
