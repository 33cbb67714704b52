"""Render the templates: one for each page, and one for the README's table."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

from malaria_detect.app.wording import FLATTERED, NOT_CALIBRATED, leakage_gap
from malaria_detect.core.json_io import to_json
from malaria_detect.designs.comparison import on_authors_split, printed, score_name
from malaria_detect.designs.table import HEADS, table_row
from malaria_detect.evaluation.cross_validation import EVALUATION
from malaria_detect.evaluation.laboratory_cells import MOST_UNINFECTED
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.metrics import Estimate, formatting, share_within, worst_patients
from malaria_detect.metrics.agreement import Agreement
from malaria_detect.metrics.parasitemia import ParasitemiaError, corrected_parasitemia
from malaria_detect.training.settings import recipe
from tools.model_card import designs, facts
from tools.model_card.facts import SlideReading
from tools.model_card.figures import FIGURES, draw
from tools.model_card.results import SPEED, ReportError, Results

TEMPLATES = Path(__file__).parent / "templates"
README, CARD = "README.md", "MODEL_CARD.md"
PAGES = {
    CARD: "card.md.j2",
    "docs/performance.md": "performance.md.j2",
    "docs/designs.md": "designs.md.j2",
    "docs/laboratories.md": "laboratories-page.md.j2",
}
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
# Example of a corrected count: cells called parasitized, cells counted.
EXAMPLE = (50, 1000)


def build(root: Path, results: Results) -> dict[str, str]:
    """Contents of all generated files by name, relative to `root`.

    Raises
    ------
    ReportError
        If a benchmark report lacks a value, or the README has no place for its table.
    """
    counted = tuple(results.published.counting.cells.values())
    readings = facts.slide_readings(results.metadata, results.evaluation.grouped, counted)
    readme = (root / README).read_text(encoding="utf-8")
    return {
        **render(results, readings, readme),
        f"reports/{EVALUATION}": to_json(results.evaluation),
        **draw(results, readings),
    }


def render(results: Results, readings: Sequence[SlideReading], readme: str) -> dict[str, str]:
    """Contents of the README and of all pages by name.

    Raises
    ------
    ReportError
        If a benchmark report lacks a value, or the README has no place for its table.
    """
    templates, context = _environment(), _context(results, readings)
    try:
        table = _rendered(templates, "readme.md.j2", context)
        pages = {name: _rendered(templates, template, context) + "\n" for name, template in PAGES.items()}
    except (UndefinedError, KeyError) as error:
        raise ReportError(
            f"A benchmark report in reports/ lacks a value ({error}). Run `make bench` or `make bench-serve` again.",
            reason="lacks_value",
        ) from error
    return {README: with_table(readme, table), **pages}


def with_table(text: str, table: str) -> str:
    """Text with the table between its two markers.

    Raises
    ------
    ReportError
        If the markers are not there exactly once.

    Examples
    --------
    >>> print(with_table("Results: <!-- results:begin -->old<!-- results:end -->", "new"))
    Results: <!-- results:begin -->
    new
    <!-- results:end -->
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in after or END in after:
        raise ReportError(f"The README needs {BEGIN} and {END} exactly once, around its table.", "no_place")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _rendered(templates: Environment, name: str, context: dict[str, Any]) -> str:
    text = re.sub(r" +$", "", templates.get_template(name).render(context), flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text.strip())


def _environment() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown, from files of the repository
    )
    templates.filters.update(
        count=formatting.format_count,
        score=formatting.format_score,
        interval=formatting.format_interval,
        threshold=formatting.format_threshold,
        with_interval=formatting.format_estimate,
        signed=lambda difference: formatting.format_estimate(difference, formatting.format_signed),
        agreed=_agreed,
        percent=formatting.format_percent,
        percent_whole=_whole_percent,
        percent_with_interval=lambda share: formatting.format_estimate(share, formatting.format_percent),
        share_of=_share_of,
        share_with_interval=lambda share: formatting.format_estimate(share, _whole_percent),
        parasitemia=formatting.format_parasitemia,
        per_thousand=_per_thousand,
        per_thousand_with_interval=lambda share: formatting.format_estimate(share, _per_thousand),
        megabytes=formatting.format_megabytes,
        listed=formatting.format_list,
        score_name=score_name,
        printed=printed,
        on_authors_split=on_authors_split,
        figure=lambda name: f"![{FIGURES[name]}]({name.removeprefix('docs/')})",
    )
    return templates


def _share_of(share: Estimate) -> str:
    """A share with its interval and, for one of cells, its counts; a dash if there are none."""
    counts = f", {share.hits:,} of {share.total:,}" if share.total else ""
    return formatting.format_estimate(share, formatting.format_percent) + counts


def _whole_percent(share: float) -> str:
    return formatting.format_percent(share, 0)


def _agreed(found: Agreement) -> str:
    """Four columns of a table: shares, median error, and difference in percentage points."""
    bias, low, high = map(formatting.format_points, (found.bias, found.low, found.high))
    quarter, half = (
        formatting.format_estimate(share, _whole_percent)
        for share in (found.within_quarter, found.within_half_point)
    )
    return f"{quarter} | {_whole_percent(found.median_error)} | {half} | {bias} ({low} to {high})"


def _per_thousand(share: float) -> str:
    """A share of cells as a number of cells per thousand."""
    cells = 1000 * share
    return formatting.format_score(cells, 0 if cells == 0 or cells >= 9.95 else 1)


def _context(results: Results, readings: Sequence[SlideReading]) -> dict[str, Any]:
    metadata, evaluation, published = results.metadata, results.evaluation, results.published
    point, grouped = metadata.point(), evaluation.grouped
    try:
        example = corrected_parasitemia(*EXAMPLE, point.patients)
    except ParasitemiaError:  # too few patients, or a classifier no better than chance
        example = None
    return {
        "metadata": metadata,
        "point": point,
        "test": point.test,
        "evaluation": evaluation,
        "grouped": grouped,
        "random": evaluation.random,
        "leakage": evaluation.leakage,
        "leakage_gap": leakage_gap(evaluation.leakage["accuracy"]),
        "parasitemia": results.parasitemia,
        "published": published,
        "fields": results.fields,
        "laboratories": results.laboratories,
        "by_laboratory": facts.by_laboratory(results.laboratories),
        "most_uninfected": MOST_UNINFECTED,
        "gallery": results.gallery,
        "layers": results.layers,
        "foreign": results.foreign,
        "comparison": results.designs,
        "about": designs,
        "heads": HEADS,
        "table_row": table_row,
        "recipe": recipe(grouped.run.histories[0], grouped.run.settings),
        "recipe_shipped": recipe(metadata.history, metadata.settings),
        "test_within": share_within(point.patients),
        "worst": worst_patients(grouped.patients),
        "test_worst": worst_patients(point.patients),
        "test_groups": facts.by_infection(point.patients),
        "groups": facts.by_infection(grouped.patients),
        "microscopes": facts.by_microscope(results.held_out, grouped.scores.threshold),
        "readings": readings,
        "reading": readings[metadata.operating_points.index(point)],
        "example": example,
        "ranges": {
            apart: facts.range_of(published.on_these_cells, "accuracy", patients_apart=apart)
            for apart in (True, False)
        },
        "speed": {name: results.speed.get(name) for name in SPEED},
        "commands": {name: command for name, (_, command) in SPEED.items()},
        "visitors_by_memory": facts.visitors_by_memory,
        "megabytes_per_visitor": facts.megabytes_per_visitor,
        "research_use": RESEARCH_USE,
        "flattered": FLATTERED,
        "not_calibrated": NOT_CALIBRATED,
        "dash": formatting.MISSING,
    }
