"""The HTML report of a slide: complete, self-contained, and with verified and predicted cells apart."""

import base64
import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from malaria_detect.app.field_report import field_report, look_at_first
from malaria_detect.app.wording import COMMAND, unlike
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.result import FieldResult
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.inference.prediction import Refusal
from tests.annotated import drawn
from tests.app.test_html_report import HOSTILE, Page
from tests.app.widgets.fakes import made_up_metadata
from tests.fields.analysed import prediction, reviewed_field

REFUSED = FieldResult(
    "blurred.jpg", (640, 480), refusal=Refusal("The field is out of focus.", "out_of_focus")
)


def html_of(*results: FieldResult, summary: tuple[str, ...] = ("2 of 29 red cells are parasitized.",)) -> str:
    metadata = made_up_metadata()
    pictures = [None if result.refusal else Image.fromarray(drawn(1)[0]) for result in results]
    return "".join(field_report(results, pictures, summary, metadata, metadata.point()))


def test_a_field_is_shown_with_all_outlines_and_its_counts() -> None:
    result = reviewed_field()
    elsewhere = replace(prediction(0.1), site_warning=True)
    result = replace(
        result,
        cells=tuple(
            replace(cell, prediction=elsewhere) if cell.decision == CLASSES[1] and not cell.verified else cell
            for cell in result.cells
        ),
    )
    page = Page(html_of(result, REFUSED, summary=("A sentence.", "A note.")))
    classes = page.attributes("path", "class")
    # Six lines of the key come first.
    assert len(classes) == 6 + len(result.cells)
    assert classes[6 + 5] == "uninfected verified"
    assert sum("on-edge" in name for name in classes) == 4
    # Three of the 29 counted cells are verified, one of them as parasitized; so is one of the others predicted.
    for words in (
        *(RESEARCH_USE, "A sentence.", "A note.", "field 1.jpg", "29"),
        *("1 of 3 parasitized", "1 of 26 parasitized", "6.9 %", unlike(COMMAND)),
        *("blurred.jpg", "The field is out of focus."),
    ):
        assert words in page.words
    first = np.asarray(result.cells[0].found.outline)[0]
    assert page.attributes("path", "d")[6].startswith(f"M{first[0]:.1f},{first[1]:.1f} ")


def test_pictures_are_scaled_down_and_outlines_are_not() -> None:
    large = Image.fromarray(drawn(1)[0]).resize((4000, 3000))
    metadata = made_up_metadata()
    result = replace(reviewed_field(), size=large.size)
    page = Page("".join(field_report([result], [large], [], metadata, metadata.point())))
    (encoded,) = page.attributes("image", "href")
    with Image.open(io.BytesIO(base64.b64decode(encoded.partition(",")[2]))) as shown:
        assert shown.size == (1400, 1050)
    assert page.attributes("image", "width") == ["4000"]


def test_uncertain_cells_come_first_then_those_called_parasitized() -> None:
    found = reviewed_field().cells
    probabilities = {8: 0.95, 13: 0.6, 14: 0.3, 15: 0.97, 16: 0.1}
    cells = tuple(
        replace(cell, prediction=prediction(probabilities.get(cell.number, 0.05)), verified=None)
        for cell in found
        if cell.found.kind == "red cell"
    )
    result = FieldResult("field.jpg", (640, 480), cells)
    assert [cell.number for cell in look_at_first(result)] == [13, 14, 15, 8]
    foreign = Refusal("It is foreign.", "foreign")
    unanswered = replace(
        result,
        cells=tuple(
            replace(cell, prediction=None, refusal=foreign) if cell.number == 16 else cell for cell in cells
        ),
    )
    assert [cell.number for cell in look_at_first(unanswered)] == [13, 14, 16, 15, 8]
    assert "no answer (foreign)" in Page(html_of(unanswered)).words
    verified = tuple(replace(cell, verified=CLASSES[0]) for cell in cells)
    assert look_at_first(replace(result, cells=verified)) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_harmless_and_nothing_is_fetched(name: str) -> None:
    html = html_of(replace(reviewed_field(), name=name))
    page = Page(html)
    assert {tag for tag, _ in page.tags} & {"script", "iframe", "object", "link"} == set()
    sources = [*page.attributes("img", "src"), *page.attributes("image", "href")]
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    style = html.partition("<style>")[2].partition("</style>")[0]
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{allowed}'" in page.attributes("meta", "content")[0]
