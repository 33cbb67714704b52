"""Results as one self-contained HTML file without scripts, to keep, send or print."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import malaria_detect
from malaria_detect.app import wording
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata, OperatingPoint
from malaria_detect.inference.prediction import Prediction, Record, Refusal
from malaria_detect.metrics.formatting import (
    format_count,
    format_interval,
    format_parasitemia,
    format_percent,
    format_probability,
)


def html_report(
    answers: Sequence[tuple[str, Prediction | Refusal]],
    pictures: Iterable[bytes],
    metadata: ModelMetadata,
    point: OperatingPoint,
    labels: Iterable[str | None] = (),
) -> Iterator[str]:
    """Pieces of the HTML file that the page and ``malaria-detect predict --report`` offer.

    Parameters
    ----------
    answers : sequence of (str, Prediction or Refusal)
        Name and answer of every image, decided at ``point``.
    pictures : iterable of bytes
        A PNG file for each answer, empty where there is none. Taken one by one, so that only one is in memory.
    metadata : ModelMetadata
    point : OperatingPoint
    labels : iterable of str or None, optional
        Published label of each image, where one is known.

    Returns
    -------
    iterator of str
        Encode with ``errors="backslashreplace"``, because file names may hold what UTF-8 cannot.

    Raises
    ------
    ValueError
        If an answer was decided at another operating point.
    """
    for name, answer in answers:
        if isinstance(answer, Prediction) and answer.operating_point != point.name:
            raise ValueError(f"{name!r} was decided at {answer.operating_point}, not at {point.name}.")
    given = [answer for _, answer in answers]
    known = [*labels] or [None] * len(given)
    shown = zip(answers, pictures, known, strict=True)
    return report_pieces(
        "html_report.html.j2",
        metadata,
        point,
        summary=wording.summary(given) or "No images were checked.",
        caution=wording.caution(point),
        slide=" ".join(wording.slide_sentences(given, point)),
        cells=(_cell(*named, picture) | {"label": label} for named, picture, label in shown),
    )


def report_pieces(
    template: str, metadata: ModelMetadata, point: OperatingPoint, **content: object
) -> Iterator[str]:
    """Pieces of the HTML file of a template that extends ``report_base.html.j2``, which says what the model is.

    Parameters
    ----------
    template : str
        File name.
    metadata : ModelMetadata
    point : OperatingPoint
    **content : object
        What only this template needs.
    """
    pages = Environment(
        loader=PackageLoader("malaria_detect.app", ""), autoescape=True, undefined=StrictUndefined
    )
    pages.filters |= {
        "count": format_count,
        "interval": partial(format_interval, write=format_percent),
        "parasitemia": format_parasitemia,
        "percent": format_percent,
        "probability": format_probability,
        "sha256": _sha256,
    }
    return pages.get_template(template).generate(
        research_use=RESEARCH_USE,
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=malaria_detect.__version__,
        metadata=metadata,
        point=point,
        rule=wording.rule(point),
        tested_on=wording.tested_on(point),
        not_calibrated=wording.NOT_CALIBRATED,
        **content,
    )


def _cell(name: str, answer: Prediction | Refusal, picture: bytes) -> dict[str, Any]:
    if isinstance(answer, Prediction):
        verdict, notes = wording.VERDICTS[answer.decision], wording.notes(answer)
    else:
        verdict, notes = "Not checked", [answer.message]
    encoded = base64.b64encode(picture).decode()
    return {"record": Record.of(name, answer), "verdict": verdict, "notes": notes, "picture": encoded}


def _sha256(text: str) -> str:
    """SHA-256 of a text as a content security policy writes it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
