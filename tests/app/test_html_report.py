"""The report of a visit: all of it inside, nothing fetched or run, nothing lost where it cannot be written."""

import base64
import hashlib
import io
import re
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import malaria_detect
from malaria_detect.app import html_report as module
from malaria_detect.app import wording
from malaria_detect.app.html_report import (
    SHOWN_SIDE,
    Checked,
    VisitReportError,
    visit_report,
    write_visit_report,
)
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata
from malaria_detect.inference.prediction import Prediction, Refusal
from tests.app.widgets.fakes import grey_png, made_up_metadata, prediction

HOSTILE = (
    "<img src=x onerror=alert(1)>.png",
    "</style><script>alert(1)</script>.png",
    "\"' onload='alert(1)",
    "{{ 7 * 7 }}{% raw %}.png",
    "a\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "https://example.org/track.png",
    "käse 🔬\n.png",
)
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


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
        return " ".join(" ".join(self.texts).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture
def metadata() -> ModelMetadata:
    return made_up_metadata()


def page_of(checked: list[Checked], metadata: ModelMetadata, point: str | None = None) -> Page:
    return Page("".join(visit_report(checked, metadata, metadata.point(point), NOON)))


def checked(metadata: ModelMetadata, *names: str) -> list[Checked]:
    return [Checked(name, prediction(0.97, metadata), lambda: grey_png(90)) for name in names]


def test_it_holds_model_time_operating_point_and_what_that_gave(metadata: ModelMetadata) -> None:
    words = page_of(checked(metadata, "a.png"), metadata).words
    scores = metadata.point().test
    for needed in (
        metadata.sha256,
        f"malaria_detect {malaria_detect.__version__}",
        "2026-11-20 12:00 UTC",
        "Operating point: balanced",
        wording.rule(metadata.point()).replace("\N{NO-BREAK SPACE}", " "),
        f"{scores.cells:,} cells of {scores.patients} test patients",
        f"{scores.estimates['sensitivity'].hits:,} of {scores.estimates['sensitivity'].total:,}",
        "What it means for a slide",
        metadata.intended_use,
    ):
        assert needed in words, needed
    assert words.count(RESEARCH_USE) == 2


def test_every_picture_stands_with_its_answer_in_order(metadata: ModelMetadata) -> None:
    uncertain = prediction(0.6, metadata, warnings=("This picture is large.",))
    page = page_of(
        [
            Checked("first.png", prediction(0.971, metadata), lambda: grey_png(90), label="Uninfected"),
            Checked("second.png", uncertain, lambda: grey_png(200)),
            Checked("third.png", Refusal("The file is empty.")),
        ],
        metadata,
    )
    first, second, third = re.split(r"(?=first\.png|second\.png|third\.png)", page.words)[1:]
    assert "Looks parasitized Parasitized 97.1 % Uninfected 2.9 %" in first
    assert f"before calibration {uncertain.raw_probability_parasitized:.4f}" in second
    assert "Published label: Uninfected" in first
    assert "Uncertain" not in first
    assert "Looks parasitized Uncertain" in second
    assert all(note.replace("\N{NO-BREAK SPACE}", " ") in second for note in wording.notes(uncertain))
    assert "Not checked The file is empty." in third
    assert "2 of 2 cells" in page.words
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert pictures == [
        "data:image/png;base64," + base64.b64encode(grey_png(grey)).decode() for grey in (90, 200)
    ]


def test_names_are_shown_and_never_read_as_anything_else(metadata: ModelMetadata) -> None:
    page = page_of(checked(metadata, *HOSTILE), metadata)
    for name in HOSTILE:
        assert name in "".join(page.texts)
    assert "script" not in {tag for tag, _ in page.tags}
    assert [tag for tag, _ in page.tags].count("style") == 1
    assert sum(tag == "img" for tag, _ in page.tags) == len(HOSTILE)
    names = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    # A name that runs from right to left turns nothing around but itself.
    assert [tag for tag, _ in page.tags].count("bdi") == len(HOSTILE)


def test_texts_of_a_foreign_metadata_and_refusals_are_escaped(metadata: ModelMetadata) -> None:
    evil = "<script>alert(1)</script>"
    page = page_of([Checked("a.png", Refusal(evil))], metadata)
    assert evil in "".join(page.texts)
    assert "script" not in {tag for tag, _ in page.tags}


def test_nothing_is_fetched_and_the_page_forbids_it_itself(metadata: ModelMetadata) -> None:
    html = "".join(visit_report(checked(metadata, "a.png"), metadata, created=NOON))
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in {
            "script",
            "link",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "audio",
            "video",
            "a",
        }
        assert "style" not in attributes
        for name in ("src", "href", "srcset", "action", "data", "poster", "background"):
            assert (
                attributes.get(name, "data:").startswith("data:image/png;base64,") or name not in attributes
            )
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|https?:|//", style)
    assert not re.search(r"https?:|//[a-z]", re.sub(r"base64,[^\"]+", "", html))
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    # The policy comes before all that it governs.
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_a_visit_without_a_checked_cell_says_nothing_of_a_slide(metadata: ModelMetadata) -> None:
    words = page_of([Checked("a.png", Refusal("The file is empty."))], metadata).words
    assert "The file is empty." in words
    assert "slide" not in words.lower()
    assert "No images were checked." in page_of([], metadata).words


def test_another_operating_point_gives_its_own_decisions_and_numbers(metadata: ModelMetadata) -> None:
    point = metadata.point("counting")
    words = page_of(
        [Checked("a.png", prediction(0.6, metadata, point), lambda: grey_png(1))], metadata, "counting"
    ).words
    assert "Operating point: counting" in words
    assert "0 of 1 cell" in words
    assert "Called uninfected at the operating point “counting”" in words


def test_an_answer_of_another_operating_point_is_a_mistake_of_the_caller(metadata: ModelMetadata) -> None:
    with pytest.raises(ValueError, match=r"'a\.png' was decided at balanced, not at counting"):
        visit_report(checked(metadata, "a.png"), metadata, metadata.point("counting"))


def test_the_time_carries_its_zone(metadata: ModelMetadata) -> None:
    there = NOON.astimezone(timezone(timedelta(hours=6)))
    assert "2026-11-20 18:00+06:00" in "".join(visit_report([], metadata, created=there))
    with pytest.raises(ValueError, match="time zone"):
        visit_report([], metadata, created=NOON.replace(tzinfo=None))


def test_pictures_are_asked_for_one_by_one_and_large_ones_are_made_small(metadata: ModelMetadata) -> None:
    asked: list[int] = []

    def picture(number: int) -> bytes:
        asked.append(number)
        return grey_png(90, side=1000)

    rows = [
        Checked(f"{number}.png", prediction(0.9, metadata), lambda number=number: picture(number))  # type: ignore[misc]
        for number in range(3)
    ]
    seen = []
    for piece in visit_report(rows, metadata):
        if found := re.search(r'src="data:image/png;base64,([^"]+)"', piece):
            seen.append(len(asked))
            with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
                assert image.size == (SHOWN_SIDE, SHOWN_SIDE)
        elif piece.startswith("data:image"):
            seen.append(len(asked))
            with Image.open(io.BytesIO(base64.b64decode(piece.partition(",")[2]))) as image:
                assert image.size == (SHOWN_SIDE, SHOWN_SIDE)
    assert seen == [1, 2, 3]


# Written to a file


@pytest.fixture
def rows(tmp_path: Path, metadata: ModelMetadata) -> list[tuple[Path, Prediction | Refusal]]:
    """Two pictures in files, one of which is none."""
    (tmp_path / "a & b.png").write_bytes(grey_png(90))
    (tmp_path / "text.png").write_text("hello", encoding="utf-8")
    return [
        (tmp_path / "a & b.png", prediction(0.97, metadata)),
        (tmp_path / "text.png", Refusal("This is a text.")),
    ]


def test_pictures_are_read_again_from_their_files(
    tmp_path: Path, rows: list[tuple[Path, Prediction | Refusal]], metadata: ModelMetadata
) -> None:
    target = tmp_path / "report.html"
    target.write_text("older", encoding="utf-8")
    write_visit_report(target, rows, metadata, created=NOON)
    page = Page(target.read_text(encoding="utf-8"))
    (source,) = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        assert np.unique(np.asarray(image)).tolist() == [90]
    assert str(tmp_path / "a & b.png") in page.words
    assert "This is a text." in page.words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a & b.png", "report.html", "text.png"]


def test_a_picture_that_has_gone_since_is_told_and_costs_nothing_else(
    tmp_path: Path, rows: list[tuple[Path, Prediction | Refusal]], metadata: ModelMetadata
) -> None:
    rows[0][0].unlink()
    write_visit_report(tmp_path / "report.html", rows, metadata)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "the image could not be read again" in page.words
    assert "Parasitized 97.0 %" in page.words


@pytest.mark.parametrize("place", ["missing/report.html", "file/report.html", "folder"])
def test_a_place_that_cannot_be_written_is_told_in_a_sentence(
    place: str, tmp_path: Path, rows: list[tuple[Path, Prediction | Refusal]], metadata: ModelMetadata
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(VisitReportError, match=r"^The report .* cannot be written: [A-Z][^.]+\.$"):
        write_visit_report(tmp_path / place, rows, metadata)
    assert not list(tmp_path.rglob("*.part"))


def test_an_older_report_is_not_lost_to_half_a_new_one(
    tmp_path: Path,
    rows: list[tuple[Path, Prediction | Refusal]],
    metadata: ModelMetadata,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    target = tmp_path / "report.html"
    target.write_text("older", encoding="utf-8")
    monkeypatch.setattr(module, "as_png", full)
    with pytest.raises(VisitReportError, match="No space left on device"):
        write_visit_report(target, rows, metadata)
    assert target.read_text(encoding="utf-8") == "older"
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_name_that_is_no_utf_8_is_shown_with_escapes(tmp_path: Path, metadata: ModelMetadata) -> None:
    write_visit_report(tmp_path / "report.html", [("k\udce4se.png", prediction(0.9, metadata))], metadata)
    assert "k\\xe4se.png" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_every_printed_page_carries_the_research_use_line() -> None:
    style = (Path(malaria_detect.__file__).parent / "app/html_report.css").read_text(encoding="utf-8")
    printed = style.partition("@page")[2].partition("@media")[0]
    assert f'content: "{RESEARCH_USE}"' in printed
