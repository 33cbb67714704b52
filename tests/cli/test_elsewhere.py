"""``malaria-detect evaluate --laboratories``."""

import json
from pathlib import Path

import pytest

from malaria_detect.cli import main
from tests.annotated import write_boxes
from tests.drawn_fields import Drawn
from tests.parents import write_parent


def test_laboratories_are_scored_and_the_metadata_says_what_to_expect(
    shipped_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = tmp_path / "model.pkl", tmp_path / "laboratories.json"
    write_parent(shipped_model, model)
    (tmp_path / "elsewhere").mkdir()
    folder = write_boxes(tmp_path / "elsewhere", (1,), Drawn(cells=12, parasitized=4, on_edge=0))
    words = ["evaluate", "--laboratories", str(folder), "--model", str(model), "--output", str(output)]
    assert main(words) == 0
    written = json.loads(output.read_text())
    assert written["command"] == "malaria-detect evaluate --laboratories elsewhere"
    assert [(one["cut"], one["parasitized"]) for one in written["laboratories"]] == [
        ("outline", 4),
        ("box", 4),
    ]
    described = json.loads(model.with_suffix(".json").read_text())
    assert described["expectations"]["elsewhere"] in capsys.readouterr().out
