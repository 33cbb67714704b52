"""The running server that most tests of the HTTP interface ask, with a token and the shipped model behind it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from malaria_detect.cli.serve import TOKEN_VARIABLE
from malaria_detect.data.nlm_cells import find_cells
from tests.app.server.interface import Running
from tests.browser.served import PROJECT, START_SECONDS, served_page


@pytest.fixture(scope="session")
def cell_files(sample_cells: Path) -> list[bytes]:
    """Four cells, two of each class, as files."""
    cells = find_cells(sample_cells).cells
    return [
        cell.path.read_bytes()
        for label in ("Parasitized", "Uninfected")
        for cell in [cell for cell in cells if cell.label == label][:2]
    ]


@pytest.fixture(scope="module")
def interface(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The interface of a running server that asks for a token."""
    token = "s3cret-token"
    temporary = tmp_path_factory.mktemp("interface")
    with served_page(PROJECT, temporary, "--pool", "0", environment={TOKEN_VARIABLE: token}) as server:
        running = Running(server.address, token)
        # The first worker is there when the model is loaded.
        deadline = time.monotonic() + START_SECONDS
        while running.get("api/health").status_code == 503:
            assert time.monotonic() < deadline, "no worker came"
        yield running
