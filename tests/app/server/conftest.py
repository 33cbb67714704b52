"""The running server that most tests of the HTTP API use, with a token and the shipped model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from malaria_detect.cli.serve import TOKEN_VARIABLE
from malaria_detect.data.nlm_cells import find_cells
from tests.app.server.interface import Running
from tests.browser.served import page_folder, served_page
from tests.waiting import SECONDS, until


@pytest.fixture(scope="session")
def cell_files(sample_cells: Path) -> list[bytes]:
    """Four cells, two of each class, as files."""
    cells = find_cells(sample_cells).cells
    return [
        cell.path.read_bytes()
        for label in ("Parasitized", "Uninfected")
        for cell in [cell for cell in cells if cell.label == label][:2]
    ]


@pytest.fixture(scope="session")
def interface(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The interface of a running server that asks for a token."""
    token = "s3cret-token"
    folder = page_folder(tmp_path_factory.mktemp("interface"), Server={"answer_seconds": SECONDS})
    with served_page(
        folder, folder / "temporary", "--pool", "0", environment={TOKEN_VARIABLE: token}
    ) as server:
        running = Running(server.address, token)
        until(lambda: running.get("api/health").status_code == 200, "a worker's start")
        yield running
