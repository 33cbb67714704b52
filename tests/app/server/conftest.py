"""The running server that most tests of the page's protection and of the HTTP API use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from malaria_detect.cli.serve import TOKEN_VARIABLE
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, find_cells
from tests.app.server.interface import Running
from tests.browser.served import PROJECT, Server, page_folder, served_page
from tests.waiting import until

TOKEN = "s3cret-token"
MOST_VISITORS = 5
# Origins that the server allows, as well as http://[::1]:8080.
LAB, OTHER_LAB = "https://lab.example", "http://10.0.0.5:8443"
LONG = 100_000  # s: longer than the tests take on any machine
# Few visitors, and no limits in time; everything else is as shipped.
LIMITS = {"max_visitors": MOST_VISITORS} | dict.fromkeys(
    ("header_seconds", "body_seconds", "answer_seconds", "unclaimed_seconds"), LONG
)


@pytest.fixture(scope="session")
def cell_files(sample_cells: Path) -> list[bytes]:
    """Four cells, two of each class, as files."""
    cells = find_cells(sample_cells).cells
    return [
        cell.path.read_bytes()
        for label in CLASSES
        for cell in [cell for cell in cells if cell.label == label][:2]
    ]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page and the interface, which asks for a token, in a folder with more than they need."""
    folder = page_folder(tmp_path_factory.mktemp("served"), Server=LIMITS)
    (folder / "secret.txt").write_text("the secret", encoding="utf-8")
    for name in ("README.md", "requirements.txt", ".gitignore", "docs", "reports"):
        (folder / name).symlink_to(PROJECT / name)
    flags = ("--workers", "1", "--allow-origin", f"{LAB},http://[::1]:8080/", "--allow-origin", OTHER_LAB)
    with served_page(folder, folder / "temporary", *flags, environment={TOKEN_VARIABLE: TOKEN}) as running:
        yield running


@pytest.fixture(scope="session")
def interface(server: Server) -> Running:
    """The interface of the running server."""
    running = Running(server.address, TOKEN)
    until(lambda: running.get("api/health").status_code == 200, "a worker's start")
    return running


@pytest.fixture(scope="session")
def pictures(sample_cells: Path) -> list[bytes]:
    """Three of each class, each of another size, so that no answer can be taken for another's."""
    found: dict[tuple[int, int], bytes] = {}
    for label in CLASSES:
        several = {
            read_image(path).size: path.read_bytes() for path in sorted(sample_cells.rglob(f"{label}/*.png"))
        }
        found |= dict([item for item in several.items() if item[0] not in found][:3])
    return list(found.values())
