"""Sentences about a slide and its fields, for the page; about cells and slides, never about a patient."""

from malaria_detect.app.wording import NO_PATIENTS
from malaria_detect.fields.slide import SlideResult
from malaria_detect.metrics.formatting import format_count, format_estimate, format_list, format_parasitemia

POINT_OF_SLIDES = (
    "Nearly all cells of a slide are uninfected, so a small rate of false alarms is larger than most parasitemias. "
    "Therefore the usual choice here is “counting”."
)


def slide_summary(slide: SlideResult) -> str:
    """One sentence with the counts and the apparent parasitemia; empty without a counted cell."""
    if not slide.cells:
        return ""
    return (
        f"{slide.parasitized:,} of {format_count(slide.cells, 'red cell')} "
        f"{'is' if slide.parasitized == 1 else 'are'} parasitized: "
        f"apparent parasitemia {format_estimate(slide.apparent, format_parasitemia)}."
    )


def slide_notes(slide: SlideResult) -> list[str]:
    """What the counts mean: verified and predicted cells, correction, limit of detection, cells that are missing."""
    if not slide.cells:
        return []
    predicted = slide.cells - slide.verified
    notes = [
        f"Verified by a person: {format_count(slide.verified, 'cell')}, {slide.verified_parasitized:,} of them "
        f"parasitized. Predicted by the model: {format_count(predicted, 'cell')}, "
        f"{slide.parasitized - slide.verified_parasitized:,} of them parasitized. "
        f"{format_count(slide.uncertain, 'cell')} should be looked at."
    ]
    if not slide.point.patients:
        notes.append(NO_PATIENTS)
    elif slide.corrected is None:
        notes.append("The parasitemia cannot be corrected for classifier error at this operating point.")
    else:
        notes.append(
            "Corrected for the model's errors on the predicted cells (Rogan-Gladen): "
            f"{format_estimate(slide.corrected, format_parasitemia)}."
        )
    if slide.limit is not None and slide.limit.limit == slide.limit.limit:
        notes.append(
            f"With {format_count(slide.cells, 'cell')}, the lowest parasitemia distinguishable from zero "
            f"on 95 % of slides is {format_parasitemia(slide.limit.limit)}."
        )
    missing = [f"{one.name} {one.cells:,} ({one.missing:,} more)" for one in slide.guidelines if one.missing]
    if missing:
        notes.append(f"Guidelines ask for more cells: {format_list(missing)}.")
    return notes + slide_warnings(slide)


def slide_warnings(slide: SlideResult) -> list[str]:
    """Warnings of the fields, each once, with the fields that it is about."""
    about: dict[str, list[str]] = {}
    for field in slide.fields:
        for warning in field.warnings:
            about.setdefault(warning, []).append(field.name)
    return [f"{format_list(names)}: {warning}" for warning, names in about.items()]
