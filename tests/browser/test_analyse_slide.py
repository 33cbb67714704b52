"""The view "Analyse a slide" in a real browser, with the real models: from photographs to counts and files."""

import csv
import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.result import NOT_A_RED_CELL
from malaria_detect.inference.metadata import RESEARCH_USE
from tests.browser.served import drop
from tests.drawn_fields import Drawn, drawn_field

PARASITIZED, UNINFECTED = CLASSES
DRAWN = Drawn(cells=14, parasitized=2, on_edge=2, white_cells=0, size=(440, 360))


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two drawn fields, and a file that is none."""
    folder = tmp_path_factory.mktemp("fields")
    paths = [folder / "field a.png", folder / "field b.png"]
    # Of some other drawn fields, the model refuses a cell that the edge cuts.
    for seed, path in zip((2, 3), paths, strict=True):
        Image.fromarray(drawn_field(seed, DRAWN)[0]).save(path)
    broken = folder / "broken.png"
    broken.write_bytes(paths[0].read_bytes()[:5000])
    return [*paths, broken]


@pytest.fixture
def view(page: Page, fields: list[Path]) -> Locator:
    """The view with both fields analysed."""
    page.get_by_role("tab", name="Analyse a slide").click()
    view = page.get_by_role("tabpanel", name="Analyse a slide")
    if not view.get_by_role("row").filter(has_text="field b").is_visible():
        drop(view.locator(".md-drop"), *fields)
    expect(view.get_by_role("row").filter(has_text="field b")).to_be_visible()
    expect(view.locator(".md-card.md-refused")).to_have_count(1)
    expect(view.locator(".md-thumb").first).to_be_visible()
    return view


def counts(view: Locator, field: str) -> list[int]:
    """Red cells, parasitized, uncertain and verified in the table."""
    cells = view.get_by_role("row").filter(has_text=field).get_by_role("cell").all_inner_texts()
    return [int(text) for text in cells[-5:-1]]


def expect_counts(view: Locator, expected: list[int]) -> None:
    """Wait until the first field has these counts."""
    cells = view.get_by_role("row").filter(has_text="field a").get_by_role("cell")
    expect(cells).to_have_text([*map(str, expected), re.compile("%")])


def downloaded(page: Page, button: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return Path(download.value.path()).read_bytes()


def healthy(view: Locator) -> Locator:
    """Cells in the list that count, that the model calls uninfected and that nobody has reviewed."""
    return view.locator(".md-thumb.md-uninfected[title*=predicted]:not([title*=edge], [title*=uncertain])")


def drag_across(page: Page, outline: Locator) -> None:
    """Draw a horizontal line through the middle of an outline."""
    box = outline.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] - 4, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.move(box["x"] + box["width"] + 4, middle)
    page.mouse.up()


def test_corrections_of_two_fields_reach_counts_and_files(page: Page, view: Locator) -> None:
    cells, parasitized, uncertain, _ = counts(view, "field a")
    other = counts(view, "field b")
    assert cells == other[0] == DRAWN.cells
    found = view.locator(".md-thumb").count()
    assert found >= DRAWN.cells  # and what the finder sees of the cells on the edge
    expect(view.locator(".md-field .md-outline")).to_have_count(found)
    expect(view.get_by_text(RESEARCH_USE)).to_be_visible()

    healthy(view).first.click()
    page.keyboard.press("p")
    expect(view.locator(".md-thumb.md-parasitized[title*=verified]")).to_have_count(1)
    healthy(view).first.click()
    page.keyboard.press("n")
    expect(view.locator(".md-thumb.md-other[title*=verified]")).to_have_count(1)
    expect_counts(view, [cells - 1, parasitized + 1, uncertain, 1])
    healthy(view).first.click()
    page.keyboard.press("s")
    drag_across(page, view.locator(".md-outline[data-current]"))
    halves = view.locator(".md-thumb.md-none")
    expect(halves).to_have_count(2)
    expect_counts(view, [cells - 2, parasitized + 1, uncertain, 1])
    for left in (1, 0):
        halves.first.click()
        page.keyboard.press("u")
        expect(halves).to_have_count(left)
    after = [cells, parasitized + 1, uncertain, 3]
    expect_counts(view, after)
    page.keyboard.press("z")
    expect(halves).to_have_count(1)
    halves.first.click()
    page.keyboard.press("u")
    expect(halves).to_have_count(0)
    expect_counts(view, after)
    called = f"{after[1] + other[1]} of {after[0] + other[0]} red cells"
    expect(view.locator(".md-sentence")).to_contain_text(called)

    rows = list(csv.DictReader(io.StringIO(downloaded(page, "cells.csv").decode("utf-8-sig"))))
    counted = [row for row in rows if row["on_edge"] == "False"]
    assert [row["image"] for row in counted].count("field a.png") == cells
    assert [row["decision"] for row in counted].count(PARASITIZED) == after[1] + other[1]
    assert sorted(row["verified"] for row in rows if row["verified"]) == [PARASITIZED, UNINFECTED, UNINFECTED]
    with zipfile.ZipFile(io.BytesIO(downloaded(page, "GeoJSON (QuPath)"))) as archive:
        assert archive.namelist() == ["field a.png.geojson", "field b.png.geojson"]
        features = json.loads(archive.read("field a.png.geojson"))["features"]
    verdicts = [one["properties"]["verified"] for one in features]
    assert len(features) == found + 1
    assert sorted(filter(None, verdicts)) == [NOT_A_RED_CELL, PARASITIZED, UNINFECTED, UNINFECTED]


def test_the_field_is_zoomed_and_moved_with_keys_mouse_and_on_a_phone(page: Page, view: Locator) -> None:
    field = view.locator(".md-field")

    def shown() -> list[float]:
        return [float(number) for number in (field.get_attribute("viewBox") or "").split()]

    view.get_by_role("button", name="Whole field").click()
    whole = shown()
    assert whole == [0, 0, *DRAWN.size]
    field.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    near = shown()
    assert near[2] < whole[2] / 2
    page.keyboard.press("Shift+ArrowRight")
    assert shown()[0] > near[0]
    field.hover()
    page.mouse.wheel(0, -200)
    expect(field).not_to_have_attribute("viewBox", " ".join(map(str, near)))
    page.keyboard.press("0")
    assert shown() == whole
    page.keyboard.press("ArrowRight")
    expect(view.locator(".md-thumb[data-current]")).to_be_focused()
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") == width
