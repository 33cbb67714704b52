"""The HTML report: complete, self-contained, and harmless whatever the files are called."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import malaria_detect
from malaria_detect.app import wording
from malaria_detect.app.html_report import html_report
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata
from malaria_detect.inference.prediction import Prediction, Refusal
from tests.app.widgets.fakes import made_up_metadata, prediction, red_png

HOSTILE = (
    "<img src=x onerror=alert(1)>.png",
    "</style><script>alert(1)</script>.png",
    "\"' onload='alert(1)",
    "{{ 7 * 7 }}{% raw %}.png",
    "a\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "https://example.org/track.png",
    "käse 🔬\n.png",
)
EMPTY = Refusal("The file is empty.", "empty")


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and the text outside of the style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != [("style", {})]:
            self.texts.append(data)

    @property
    def words(self) -> str:
        return plain(" ".join(self.texts))

    def attributes(self, tag: str, attribute: str) -> list[str]:
        return [
            attributes[attribute] for name, attributes in self.tags if name == tag and attribute in attributes
        ]


def plain(text: str) -> str:
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture
def metadata() -> ModelMetadata:
    return made_up_metadata()


def html_of(
    answers: list[tuple[str, Prediction | Refusal]],
    metadata: ModelMetadata,
    point: str = "balanced",
    pictures: list[bytes] | None = None,
    labels: list[str | None] | None = None,
) -> str:
    pictures = [red_png(90)] * len(answers) if pictures is None else pictures
    return "".join(html_report(answers, pictures, metadata, metadata.point(point), labels or ()))


def test_the_report_names_the_model_the_operating_point_and_its_scores(metadata: ModelMetadata) -> None:
    page = Page(html_of([("a.png", prediction(0.97, metadata))], metadata))
    scores = metadata.point().test
    for needed in (
        metadata.sha256,
        f"malaria_detect {malaria_detect.__version__}",
        "Operating point: balanced",
        wording.rule(metadata.point()),
        wording.caution(metadata.point()),
        f"{scores.cells:,} cells of {scores.patients} test patients",
        f"{scores.estimates['sensitivity'].hits:,} of {scores.estimates['sensitivity'].total:,}",
        metadata.intended_use,
    ):
        assert plain(needed) in page.words
    assert page.words.count(RESEARCH_USE) == 2
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", page.words)


def test_every_image_is_shown_with_its_answer_in_order(metadata: ModelMetadata) -> None:
    uncertain = prediction(0.6, metadata, warnings=("This picture is large.",))
    answers: list[tuple[str, Prediction | Refusal]] = [
        ("first.png", prediction(0.971, metadata)),
        ("second.png", uncertain),
        ("third.png", EMPTY),
    ]
    page = Page(
        html_of(answers, metadata, pictures=[red_png(90), b"", b""], labels=["Uninfected", None, None])
    )
    first, second, third = re.split(r"(?=first\.png|second\.png|third\.png)", page.words)[1:]
    assert "Parasitized 97.1 %" in first
    assert "Published label: Uninfected" in first
    assert "uncertain" not in first
    assert "uncertain" in second
    assert f"{uncertain.raw_probability_parasitized:.4f}" in second
    assert "could not be read again" in second
    assert all(plain(note) in second for note in wording.notes(uncertain, wording.COMMAND))
    assert EMPTY.message in third
    assert page.attributes("li", "class") == ["parasitized", "parasitized", "refused"]
    assert page.attributes("img", "src") == [
        "data:image/png;base64," + base64.b64encode(red_png(90)).decode()
    ]
    assert wording.summary([answer for _, answer in answers]) in page.words
    for sentence in wording.slide_sentences([answer for _, answer in answers], metadata.point()):
        assert plain(sentence) in page.words


def test_another_operating_point_gives_its_own_decisions_and_scores(metadata: ModelMetadata) -> None:
    point = metadata.point("counting")
    page = Page(html_of([("a.png", prediction(0.6, metadata, point))], metadata, "counting"))
    assert page.attributes("li", "class") == ["uninfected"]
    assert "Operating point: counting" in page.words
    assert plain(wording.caution(point)) in page.words


@pytest.mark.parametrize("answers", [[], [("a.png", EMPTY)]], ids=["nothing", "only refused"])
def test_a_report_without_cells_makes_no_statement_about_a_slide(
    answers: list[tuple[str, Prediction | Refusal]], metadata: ModelMetadata
) -> None:
    page = Page(html_of(answers, metadata))
    assert "slide" not in page.words.lower()
    assert len(page.attributes("li", "class")) == len(answers)


def test_an_answer_of_another_operating_point_is_a_mistake_of_the_caller(metadata: ModelMetadata) -> None:
    with pytest.raises(ValueError, match="counting"):
        html_of([("a.png", prediction(0.9, metadata))], metadata, "counting")


def test_probabilities_that_are_not_calibrated_are_not_called_calibrated(metadata: ModelMetadata) -> None:
    assert wording.NOT_CALIBRATED not in Page(html_of([], metadata)).words
    assert wording.NOT_CALIBRATED in Page(html_of([], replace(metadata, temperature=1.0))).words


def test_file_names_and_messages_are_shown_as_text_only(metadata: ModelMetadata) -> None:
    answers: list[tuple[str, Prediction | Refusal]] = [(name, prediction(0.9, metadata)) for name in HOSTILE]
    page = Page(html_of([*answers, ("refused.png", Refusal(HOSTILE[1], "hostile"))], metadata))
    text = "".join(page.texts)
    assert all(name in text for name in HOSTILE)
    assert text.count(HOSTILE[1]) == 2
    tags = [tag for tag, _ in page.tags]
    assert "script" not in tags
    assert (tags.count("style"), tags.count("img")) == (1, len(HOSTILE) + 1)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    # A name that is written from right to left turns around nothing but itself.
    assert tags.count("bdi") == len(HOSTILE) + 1


def test_the_report_loads_and_runs_nothing(metadata: ModelMetadata) -> None:
    html = html_of([("a.png", prediction(0.97, metadata))], metadata)
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "a"} & {
        tag for tag, _ in page.tags
    }
    assert not re.search(r"url\(|@import|https?:|//[a-z]", re.sub(r"base64,[^\"]+", "", html))
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    style = html.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not [attributes for _, attributes in page.tags if "style" in attributes]
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_pictures_are_taken_one_by_one(metadata: ModelMetadata) -> None:
    taken: list[int] = []

    def pictures() -> object:
        for number in range(3):
            taken.append(number)
            yield red_png(90)

    answers = [(f"{number}.png", prediction(0.9, metadata)) for number in range(3)]
    pieces = html_report(answers, pictures(), metadata, metadata.point())  # type: ignore[arg-type]
    assert [len(taken) for piece in pieces if "</bdi>" in piece] == [1, 2, 3]


def test_the_research_use_line_is_on_every_printed_page(metadata: ModelMetadata) -> None:
    style = html_of([], metadata).partition("@page")[2].partition("@media")[0]
    assert RESEARCH_USE in style
