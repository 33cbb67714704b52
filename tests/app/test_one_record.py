"""Every way to get a result gives the same record."""

import csv
import dataclasses
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from malaria_detect.app.slide_wording import warnings_of
from malaria_detect.app.widgets.cards import card
from malaria_detect.app.widgets.check import CheckCells
from malaria_detect.app.widgets.results import results_csv
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.app.wording import COMMAND, TAB, notes
from malaria_detect.cli import main
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.fields.result import AnalysedCell, FieldResult
from malaria_detect.fields.tables import cell_records, field_record
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.prediction import Record, Refusal
from tests.app.server.interface import Worker, serving
from tests.app.widgets.fakes import METADATA, prediction

FOREIGN = Refusal("This does not look like a single stained red cell.", "foreign")
SQUARE = FoundCell(np.array([[0, 0], [60, 0], [60, 60], [0, 60]], np.float32), 0.9, RED_CELL, False)

KEYS = [
    "path",
    "decision",
    "probability_parasitized",
    "raw_probability_parasitized",
    "operating_point",
    "threshold",
    "uncertain",
    "width",
    "height",
    "warnings",
    "error",
    "refusal",
    "site_warning",
]


def as_text(record: dict[str, Any]) -> dict[str, str]:
    """A record as the CSV table has it."""
    texts = record | {"warnings": " ".join(record["warnings"])}
    return {name: "" if value is None else str(value) for name, value in texts.items()}


def test_python_csv_json_http_and_page_give_the_same_record(
    detector: Detector,
    sample_cells: Path,
    shipped_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cells = find_cells(sample_cells).cells
    paths = [cell.path for cell in cells[:: len(cells) // 4]]
    paths.append(tmp_path / "broken.png")
    paths[-1].write_bytes(paths[0].read_bytes()[:200])
    names = [str(path) for path in paths]
    screening = detector.at("screening")

    answers = list(screening.predict_many([path.read_bytes() for path in paths]))
    python = [
        dataclasses.asdict(Record.of(name, answer)) for name, answer in zip(names, answers, strict=True)
    ]
    expected = json.loads(json.dumps(python))
    assert all(list(record) == KEYS for record in expected)
    assert [record["error"] is None for record in expected] == [True] * (len(paths) - 1) + [False]

    arguments = ["predict", *names, "--model", str(shipped_model), "--operating-point", "screening"]
    assert main([*arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == expected

    with serving(Worker(detector)) as server:
        answer = requests.post(
            f"{server.address}api/predict?operating_point=screening",
            files=[("pictures", (name, path.read_bytes())) for name, path in zip(names, paths, strict=True)],
            timeout=60,
        )
    assert answer.json()["results"] == expected

    page = CheckCells(detector)
    page.choice.chosen = "screening"
    page.upload.take([UploadedFile(name, path.read_bytes()) for name, path in zip(names, paths, strict=True)])
    assert main(arguments) == 1
    for table in (capsys.readouterr().out, results_csv(page.cards.results)):
        assert table.splitlines()[0] == ",".join(KEYS)
        assert list(csv.DictReader(io.StringIO(table))) == [as_text(record) for record in expected]
    for result, record in zip(page.cards.results, expected, strict=True):
        shown = card(result, page.choice.point)
        assert shown["uncertain"] == bool(record["uncertain"])
        if record["error"]:
            assert (shown["kind"], shown["notes"]) == ("refused", [record["error"]])
            continue
        details = dict(shown["details"])
        assert shown["kind"] == record["decision"].lower()
        assert float(details["Probability of parasitized"]) == record["probability_parasitized"]
        assert float(details["Before calibration"]) == record["raw_probability_parasitized"]
        assert details["Image size"] == f"{record['width']} × {record['height']} px"
        assert record["operating_point"] in details["Operating point"]


def test_a_record_names_each_reason_once() -> None:
    warned = replace(prediction(0.99, METADATA), site_warning=True)
    field = FieldResult(
        "a.jpg", (9, 9), (AnalysedCell(1, SQUARE, warned), AnalysedCell(2, SQUARE, refusal=FOREIGN))
    )
    cells = [(cell.refusal, cell.site_warning) for cell in cell_records(field)]
    assert cells == [(None, True), ("foreign", None)]
    record = field_record(field)
    assert (record.error, record.refusal, record.site_warning, record.cells) == (None, None, True, 1)
    assert len(record.warnings) == 1
    assert "(foreign 1)" in record.warnings[0]
    for told, help_from in ((notes(warned, TAB), TAB), (warnings_of([field], COMMAND), COMMAND)):
        assert sum(help_from in sentence for sentence in told) == 1
    refused = field_record(FieldResult("b.jpg", (0, 0), refusal=Refusal("The file is empty.", "empty")))
    assert (refused.error, refused.refusal, refused.site_warning) == ("The file is empty.", "empty", None)


def test_a_refused_image_has_an_error_and_nothing_else() -> None:
    record = dataclasses.asdict(Record.of("a.png", Refusal("The file is empty.", "empty")))
    assert {name for name, value in record.items() if value} == {"path", "error", "refusal"}
