"""Results as one self-contained HTML file, without scripts, to keep, send or print.

What the page shows and what ``malaria-detect predict --report FILE`` writes is the same file.
"""

import base64
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

import malaria_detect
from malaria_detect.app import wording
from malaria_detect.core.atomic import replaced
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import ImageRefused, read_image
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata, OperatingPoint
from malaria_detect.inference.prediction import Prediction, Refusal
from malaria_detect.metrics.formatting import format_percent, format_probability

HERE = Path(__file__).parent
TEMPLATE, STYLE = "html_report.html.j2", "html_report.css"
# Most cells are smaller. On A4 a picture is 4 cm wide: with so many px it prints sharp, and 500 of them stay one file.
SHOWN_SIDE = 240


class VisitReportError(MalariaDetectError):
    """The report cannot be written."""


@dataclass(frozen=True)
class Checked:
    """One image and its result.

    Attributes
    ----------
    name : str
        File name, only ever shown.
    answer : Prediction or Refusal
        Decided at the report's operating point.
    picture : callable
        Gives the picture as PNG, or empty bytes where there is none. Called when the picture's turn has come, so that
        only one lies in memory.
    label : str or None
        Published label, where one is known.
    """

    name: str
    answer: Prediction | Refusal
    picture: Callable[[], bytes] = bytes
    label: str | None = None


def visit_report(
    checked: Sequence[Checked],
    metadata: ModelMetadata,
    point: OperatingPoint | None = None,
    created: datetime | None = None,
) -> Iterator[str]:
    """The report as pieces of HTML.

    Parameters
    ----------
    checked : sequence of Checked
        All pictures of the visit, in their order; refused ones too.
    metadata : ModelMetadata
        Of the model that answered.
    point : OperatingPoint, optional
        That the answers were decided at; without one the metadata's default.
    created : datetime, optional
        With its time zone; without one now, in UTC.

    Returns
    -------
    iterator of str
        Pieces of HTML; together they are the report. They can hold what UTF-8 cannot, where a name does: encode them
        with ``errors="backslashreplace"``.

    Raises
    ------
    ValueError
        Where an answer was decided at another operating point, or the time has no zone.
    """
    point = point or metadata.point()
    created = created or datetime.now(UTC)
    if created.tzinfo is None:
        raise ValueError("The time of a report needs its time zone.")
    for one in checked:
        if isinstance(one.answer, Prediction) and one.answer.operating_point != point.name:
            raise ValueError(
                f"{one.name!r} was decided at {one.answer.operating_point}, not at {point.name}."
            )
    answers = [one.answer for one in checked]
    style = (HERE / STYLE).read_text(encoding="utf-8")
    pages = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters["percent"] = format_percent
    return pages.get_template(TEMPLATE).generate(
        research_use=RESEARCH_USE,
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        created=created.isoformat(" ", "minutes").replace("+00:00", " UTC"),
        version=malaria_detect.__version__,
        metadata=metadata,
        point=point,
        rule=wording.rule(point),
        gave=point.test,
        summary=wording.summary(answers) or "No images were checked.",
        caution=wording.caution(point),
        slide=wording.slide_sentences(answers, point),
        cells=(_card(one) for one in checked),
    )


def write_visit_report(
    path: str | os.PathLike[str],
    rows: Iterable[tuple[str | os.PathLike[str], Prediction | Refusal]],
    metadata: ModelMetadata,
    point: OperatingPoint | None = None,
    created: datetime | None = None,
) -> None:
    """Write the report of images that were read from files; each file is read again for its picture.

    Parameters
    ----------
    path : path
        The HTML file to write; an older one is replaced when the new one is whole.
    rows : iterable of (path, Prediction or Refusal)
        The files, and what ``Detector.predict_many`` gave for them.
    metadata, point, created
        As for :func:`visit_report`.

    Raises
    ------
    VisitReportError
        Where the file cannot be written; what was there before is still there.
    """
    checked = [
        Checked(os.fsencode(source).decode(errors="backslashreplace"), answer, _reader(Path(source)))
        for source, answer in rows
    ]
    try:
        with replaced(path) as new, new.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(visit_report(checked, metadata, point, created))
    except OSError as error:
        raise VisitReportError(f"The report {path} cannot be written: {error.strerror}.") from error


def as_png(image: Image.Image, side: int) -> bytes:
    """An image as PNG without the metadata of its file, scaled down to a longest side.

    Parameters
    ----------
    image : PIL.Image.Image
    side : int
        Longest side of what comes back, in px.
    """
    shown = image.copy()
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    # A visitor waits for it: the usual level takes much longer for files that are hardly smaller.
    shown.save(file, "PNG", compress_level=4)
    return file.getvalue()


def _reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return as_png(read_image(path), SHOWN_SIDE)
        except ImageRefused:
            # It was refused before, or has gone since.
            return b""

    return read


def _card(one: Checked) -> dict[str, Any]:
    """What the template needs to show one image."""
    answer = one.answer
    known = {"name": one.name, "label": one.label}
    if isinstance(answer, Refusal):
        return known | {"kind": "refused", "verdict": "Not checked", "notes": [answer.reason], "picture": ""}
    return known | {
        "kind": answer.decision.lower(),
        "verdict": wording.VERDICTS[answer.decision],
        "notes": wording.notes(answer),
        "picture": _inline(one.picture()),
        "answer": answer,
        "probabilities": [
            (name, share, format_probability(share)) for name, share in answer.probabilities.items()
        ],
    }


def _inline(picture: bytes) -> str:
    """A PNG as the address that is itself; one that is larger than shown is scaled down."""
    if not picture:
        return ""
    with Image.open(io.BytesIO(picture), formats=["PNG"]) as image:
        if max(image.size) > SHOWN_SIDE:
            picture = as_png(image, SHOWN_SIDE)
    return "data:image/png;base64," + base64.b64encode(picture).decode()
