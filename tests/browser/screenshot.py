"""Make the README's picture of the page: ``python -m tests.browser.screenshot`` writes docs/page.png.

The cells on it are drawn: the project shows no real ones.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize

from benchmarks.browser import chromium
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, CLASSES
from tests.browser.served import PROJECT, leave, open_page, served_page, upload
from tests.drawn import draw_cells

SIZE: ViewportSize = {"width": 1280, "height": 1400}
EACH = 2


def main(picture: Path) -> None:
    """Serve the page, upload drawn cells of both classes, and photograph what a visitor sees."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = draw_cells(Path(temporary) / "cells")
        cells: list[Path] = []
        for label in CLASSES:
            for drawn in sorted(folder.rglob(f"{label}/*.png"))[:EACH]:
                cells.append(Path(temporary) / f"drawn_cell_{len(cells) + 1}.png")
                shutil.copy(drawn, cells[-1])
        with (
            served_page(PROJECT, Path(temporary), environment={CELLS_VARIABLE: str(folder)}) as server,
            chromium() as browser,
        ):
            page = open_page(browser.new_context(viewport=SIZE), server.address)
            upload(page, *cells)
            page.locator(".md-card").nth(len(cells) - 1).wait_for()
            # Away from the button, which would look pressed.
            page.mouse.move(0, 0)
            picture.parent.mkdir(exist_ok=True)
            page.screenshot(path=picture)
            leave(page)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "docs" / "page.png")
