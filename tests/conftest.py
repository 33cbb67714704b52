"""Fixtures for all tests: cells and the shipped model; and the rule that CI skips nothing."""

import os
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from malaria_detect.data.nlm_cells import CELLS_VARIABLE, CLASSES, find_cells
from tests.drawn import draw_cells, draw_laboratory

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from malaria_detect.inference.detector import Detector

NO_SKIP_VARIABLE = "MALARIA_DETECT_NO_SKIP"
FIELDS_VARIABLE = "MALARIA_DETECT_FIELDS"


@pytest.fixture(scope="session")
def drawn_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in NLM's layout with 60 drawn cells of 15 patients; shared, so tests must not change it."""
    return draw_cells(tmp_path_factory.mktemp("drawn_cells"))


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per patient in both class folders, with 48 drawn cells; shared, so tests must not change it."""
    return draw_laboratory(tmp_path_factory.mktemp("laboratory"))


@pytest.fixture(scope="session")
def real_cells() -> Path:
    """The folder of real cells in MALARIA_DETECT_CELLS; without it, tests that need real cells are skipped."""
    if not os.environ.get(CELLS_VARIABLE):
        pytest.skip(f"needs real cells: set {CELLS_VARIABLE} to a folder in NLM's layout")
    return Path(os.environ[CELLS_VARIABLE])


@pytest.fixture(scope="session")
def real_fields() -> Path:
    """The folder of real fields in MALARIA_DETECT_FIELDS; without it, tests that need them are skipped."""
    if not os.environ.get(FIELDS_VARIABLE):
        pytest.skip(f"needs real fields: set {FIELDS_VARIABLE} to a folder with fields_nlm, fields_iml, ...")
    return Path(os.environ[FIELDS_VARIABLE])


@pytest.fixture(scope="session")
def sample_cells(request: pytest.FixtureRequest) -> Path:
    """Real cells if MALARIA_DETECT_CELLS is set, drawn cells otherwise."""
    real = bool(os.environ.get(CELLS_VARIABLE))
    folder: Path = request.getfixturevalue("real_cells" if real else "drawn_cells")
    return folder


@pytest.fixture(scope="session")
def few_cells(sample_cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At most 48 cells of each class from many patients: enough for a short training run."""
    root = tmp_path_factory.mktemp("few_cells") / "cell_images"
    folder = find_cells(sample_cells)
    for label in CLASSES:
        (root / label).mkdir(parents=True)
        cells = [cell for cell in folder.cells if cell.label == label]
        for cell in cells[:: -(-len(cells) // 48)]:
            shutil.copy(cell.path, root / label)
    return root


@pytest.fixture(scope="session")
def shipped_model() -> Path:
    """The export.pkl of the repository."""
    return Path(__file__).parent.parent / "export.pkl"


@pytest.fixture(scope="session")
def detector(shipped_model: Path) -> "Detector":
    """The shipped model, loaded once."""
    from malaria_detect.inference.detector import load_detector  # imports torch: only if it is needed

    return load_detector(shipped_model)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless Chromium; of the module and not of the session, as its event loop would disturb other tests."""
    from benchmarks.browser import chromium  # imports playwright: only if it is needed

    if shutil.which("chromium") is None:
        pytest.skip("needs Chromium: install the package chromium, so that `chromium` is on the path")
    with chromium() as running:
        yield running


# A property test fails because of a wrong result, never because the machine is slow.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_configure() -> None:
    # Processes that a shell starts in the background ignore Ctrl-C, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Two processes run the tests, a file at a time: started last, a long file would run while the other one waits.
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skipped test into a failure if MALARIA_DETECT_NO_SKIP=1; expected failures are not affected."""
    if os.environ.get(NO_SKIP_VARIABLE) == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} ({NO_SKIP_VARIABLE}=1 makes a skipped test fail)"
