"""Put results into the templates: README's blocks and the model card."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from malaria_detect.app.wording import FLATTERED, NOT_CALIBRATED
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata
from malaria_detect.metrics import formatting, share_within, worst_patients
from malaria_detect.metrics.parasitemia import ParasitemiaError
from tools.model_card import designs, facts, speed, tables
from tools.model_card.facts import SlideReading
from tools.model_card.results import Results
from tools.model_card.serving import beside_plain

TEMPLATES = Path(__file__).parent / "templates"
# README's blocks, in its order; each stands in the template of that name.
BLOCKS = (
    "numbers",
    "labels",
    "operating-points",
    "evaluation",
    "published",
    "slide",
    "designs",
    "speed",
    "ways",
    "cells",
)
WITHIN = 0.05
# Of the numbers of cells to count, the one that sentences speak of.
COUNTED = 1000


def render(
    results: Results, readings: Sequence[SlideReading], figures: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """Write README's blocks and the model card, of which they are a part.

    Parameters
    ----------
    results : Results
    readings : sequence of SlideReading
        What the operating points mean for a slide, in their order, and what the cross-validation does.
    figures : dict of str to str
        The Markdown that shows each figure, by its name (:data:`tools.model_card.figures.FIGURES`).

    Returns
    -------
    blocks : dict of str to str
        README's blocks by name (:data:`BLOCKS`), as Markdown.
    card : str
        The model card, as Markdown.
    """
    templates, context = _environment(), _context(results, readings) | {"figures": figures}
    blocks = {name: _rendered(templates, f"{name}.md.j2", context) for name in BLOCKS}
    blocks["serving"] = beside_plain(results.serve_speed)
    card = _rendered(templates, "card.md.j2", context | {"blocks": blocks})
    return blocks, card + "\n"


def _rendered(templates: Environment, name: str, context: Mapping[str, Any]) -> str:
    text = templates.get_template(name).render(context).strip()
    return re.sub(r"\n\n\n+", "\n\n", text)


def _environment() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown, from files of the repository
    )
    templates.filters.update(
        count=formatting.count,
        score=formatting.score,
        threshold=formatting.threshold,
        with_interval=formatting.with_interval,
        share_with_interval=formatting.share_with_interval,
        percent=formatting.percent,
        percent_whole=lambda share: formatting.percent(share, 0),
        small_percent=formatting.small_percent,
        per_thousand=formatting.per_thousand,
        per_thousand_with_interval=formatting.per_thousand_with_interval,
        points=formatting.points,
        from_to=lambda ends: f"{formatting.score(ends[0])} to {formatting.score(ends[1])}",
        from_to_whole=lambda ends: f"{ends[0]} to {ends[1]}",
        bodies=lambda counted: formatting.joined(
            [f"{who} ({formatting.count(cells)})" for who, cells in counted.items()]
        ),
        quoted=lambda findings: "; ".join(map(str, findings)),
        source=lambda work: "; ".join(filter(None, (work.where, work.note, work.also))),
        what_it_is=designs.what_it_is,
        as_trained=designs.as_trained,
        printed=designs.printed,
        uncapitalized=lambda sentence: sentence[:1].lower() + sentence[1:],
        shortened=lambda digest: digest[:12],
        megabytes=formatting.megabytes,
    )
    templates.tests.update(
        positive=lambda number: number > 0,
        negative=lambda number: number < 0,
        known=lambda number: number == number,
    )
    return templates


def _context(results: Results, readings: Sequence[SlideReading]) -> dict[str, Any]:
    metadata, evaluation, published = results.metadata, results.evaluation, results.published
    point, grouped, random = metadata.point(), evaluation.grouped, evaluation.random
    test = point.test
    chosen = readings[metadata.operating_points.index(point)]
    try:
        example = facts.example(point)
    except ParasitemiaError:
        example = None
    microscopes = facts.by_microscope(results.held_out, grouped.scores.threshold)
    own = facts.ours(metadata, evaluation)
    return {
        "metadata": metadata,
        "point": point,
        "test": test,
        "valid": point.validation,
        "uncertainty": metadata.uncertainty,
        "missed": 1 - test.estimates["sensitivity"].value,
        "false_alarms": 1 - test.estimates["specificity"].value,
        "per": formatting.PER,
        "within_points": f"±{100 * WITHIN:.0f}",
        "test_within": share_within(point.patients, WITHIN),
        "grouped": grouped,
        "random": random,
        "leakage": evaluation.leakage,
        "recipe": tables.recipe(grouped.run.histories[0], grouped.run.settings),
        "recipe_shipped": tables.recipe(metadata.history, metadata.settings),
        "random_protocol": facts.protocol(random),
        "held_out": facts.slides_of(results.held_out),
        "microscopes": microscopes,
        "groups": facts.by_infection(grouped.patients),
        "healthy": chosen.healthy,
        "limit": next((limit for limit in chosen.limits if limit.counted == COUNTED), chosen.limits[-1]),
        "example": example,
        "published": published,
        "doubted": published.doubted_labels.labels / published.doubted_labels.of,
        "designs": designs.said(results.designs, results.by_author, results.metadata.point().test),
        "ranges": {
            "apart": facts.range_of(published.on_these_cells, "accuracy", patients_apart=True),
            "both_sides": facts.range_of(published.on_these_cells, "accuracy", patients_apart=False),
        },
        "train": results.train_speed,
        "predict": results.predict_speed,
        "bootstrap": results.bootstrap_speed,
        "explain": results.explain_speed,
        "ways": results.ways_speed,
        "changed": speed.changed_beyond(results.ways_speed),
        "research_use": RESEARCH_USE,
        "flattered": FLATTERED,
        "not_calibrated": NOT_CALIBRATED,
        "tables": {
            "scores": tables.scores(test),
            "confusion": tables.confusion(test),
            "split": _split(metadata),
            "sides": tables.sides(metadata),
            "details": tables.details(metadata),
            "operating_points": tables.operating_points(metadata.operating_points),
            "leakage": tables.leakage(evaluation),
            "worst": tables.one_by_one(worst_patients(grouped.patients)),
            "test_worst": tables.one_by_one(worst_patients(point.patients)),
            "test_groups": tables.groups(facts.by_infection(point.patients)),
            "grouped_groups": tables.groups(facts.by_infection(grouped.patients)),
            "microscopes": tables.one_by_one(microscopes),
            "slides": tables.slides(readings),
            "apart": tables.comparison(own, published.on_these_cells, patients_apart=True),
            "both_sides": tables.comparison(own, published.on_these_cells, patients_apart=False),
            "speed": speed.training(results.train_speed),
            "ways": speed.ways(results.ways_speed),
        },
    }


def _split(metadata: ModelMetadata) -> str:
    named = {"training": metadata.train, "validation": metadata.valid, "the test": metadata.test}
    return formatting.joined(
        [f"{side.cells:,} cells of {len(side.groups)} patients for {use}" for use, side in named.items()]
    )
