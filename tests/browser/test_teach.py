"""The view "Teach it your lab" in a real browser, with a real server: from cells to a model that opens."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from malaria_detect.core.shipped import MODEL_VARIABLE
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.detector import load_detector
from tests.browser.served import PROJECT, Server, cards, probability, served_page, upload
from tests.parents import write_parent

EACH = 10


@pytest.fixture(scope="module")
def server(shipped_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a model that can be adapted, whatever the shipped one is."""
    folder = tmp_path_factory.mktemp("taught")
    write_parent(shipped_model, folder / "export.pkl", certain=True)
    environment = {MODEL_VARIABLE: str(folder / "export.pkl")}
    with served_page(PROJECT, tmp_path_factory.mktemp("server"), environment=environment) as running:
        yield running


@pytest.mark.slow
def test_cells_of_a_laboratory_teach_the_model_that_is_downloaded_and_used(
    page: Page, drawn_cells: Path, tmp_path: Path
) -> None:
    of_class = [sorted(drawn_cells.rglob(f"{label}/*.png"))[::3] for label in CLASSES]
    upload(page, of_class[0][0])
    expect(cards(page)).to_have_count(1)
    before = probability(cards(page).first)

    page.get_by_role("tab", name="Teach it your lab").click()
    view = page.get_by_role("tabpanel", name="Teach it your lab")
    with page.expect_file_chooser() as chooser:
        view.get_by_role("button", name="Upload images").click()
    chooser.value.set_files([*of_class[0], *of_class[1]])
    assert [len(cells) for cells in of_class] == [EACH, EACH]
    cells = view.locator(".md-candidate")
    expect(cells).to_have_count(2 * EACH)
    for number in range(2 * EACH):
        # The other way round: this is what the model cannot know yet.
        cells.nth(number).get_by_role("button", name=CLASSES[number < EACH], exact=True).click()
    view.get_by_role("button", name="Estimate the accuracy").click()
    expect(view.get_by_role("table", name="Accuracy on your cells").get_by_role("row")).to_have_count(6)

    with page.expect_download() as download:
        view.get_by_role("button", name="Download the adapted model").click()
    with zipfile.ZipFile(download.value.path()) as files:
        files.extractall(tmp_path)
    metadata = load_detector(tmp_path / "mylab.pkl").metadata
    assert metadata.parent is not None
    assert (metadata.parent.parasitized, metadata.parent.uninfected) == (EACH, EACH)

    view.get_by_role("radio", name="your adapted model").check()
    expect(page.locator(".md-notice:visible")).to_have_count(0)
    page.get_by_role("tab", name="Check cells").click()
    expect(page.locator(".md-notice:visible")).to_contain_text("your adapted model")
    expect(cards(page)).to_have_count(1)
    assert probability(cards(page).first) != before
    page.get_by_role("tab", name="Teach it your lab").click()
    view.get_by_role("radio", name="the shipped model").check()
    page.get_by_role("tab", name="Check cells").click()
    expect(page.locator(".md-notice")).to_have_count(0)
    assert probability(cards(page).first) == before
