import json
import math
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from malaria_detect.core.json_io import to_json
from malaria_detect.data.corrections import Correction, Corrections
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.inference.metadata import (
    PIN_VARIABLE,
    MetadataError,
    metadata_path,
    read_metadata,
    sha256_of,
)
from malaria_detect.training.export import correct


@pytest.fixture
def pair(shipped_model: Path, tmp_path: Path) -> Path:
    """A copy of the shipped model and its metadata."""
    for path in (shipped_model, metadata_path(shipped_model)):
        shutil.copy(path, tmp_path)
    return tmp_path / shipped_model.name


def test_a_metadata_comes_back_from_json_as_it_was(pair: Path) -> None:
    metadata = read_metadata(pair)
    assert to_json(metadata) == metadata_path(pair).read_text(encoding="utf-8")
    assert isinstance(metadata.history, tuple)
    assert isinstance(metadata.roc[0], tuple)
    assert isinstance(metadata.operating_points[0].patients, tuple)


def test_an_undefined_score_survives_json(pair: Path) -> None:
    metadata = read_metadata(pair)
    point = metadata.operating_points[0]
    undefined = replace(point.test.estimates["precision"], value=math.nan)
    test = replace(point.test, estimates={**point.test.estimates, "precision": undefined})
    points = (replace(point, test=test), *metadata.operating_points[1:])
    metadata_path(pair).write_text(to_json(replace(metadata, operating_points=points)), encoding="utf-8")
    read = read_metadata(pair).operating_points[0].test.estimates
    assert math.isnan(read["precision"].value)
    assert read["accuracy"] == point.test.estimates["accuracy"]


@pytest.mark.parametrize("missing", ["export.pkl", "export.json"])
def test_half_a_pair_is_refused(pair: Path, missing: str) -> None:
    pair.with_name(missing).unlink()
    with pytest.raises(MetadataError, match=rf"{missing} is missing.*train anew"):
        read_metadata(pair)


def test_a_changed_model_is_refused(pair: Path) -> None:
    data = bytearray(pair.read_bytes())
    data[-1] ^= 1
    pair.write_bytes(data)
    with pytest.raises(MetadataError, match=r"is not the file that export\.json was written for"):
        read_metadata(pair)


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_a_malicious_pickle_is_refused_before_it_runs(pair: Path, tmp_path: Path) -> None:
    from malaria_detect.inference.detector import load_detector

    mark = tmp_path / "ran"
    pair.write_bytes(pickle.dumps(Malicious(mark)))
    with pytest.raises(MetadataError, match="so it is not opened"):
        load_detector(pair)
    assert not mark.exists()


def test_a_pinned_model_is_opened(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sha256_of(pair)
    for pin in (found, found.upper(), f" {found}\n"):
        monkeypatch.setenv(PIN_VARIABLE, pin)
        assert read_metadata(pair).sha256 == found


def test_another_model_than_the_pinned_one_is_refused_before_it_runs_even_with_a_metadata(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from malaria_detect.inference.detector import load_detector

    mark = tmp_path / "ran"
    monkeypatch.setenv(PIN_VARIABLE, sha256_of(pair))
    metadata = read_metadata(pair)
    pair.write_bytes(pickle.dumps(Malicious(mark)))
    forged = to_json(replace(metadata, sha256=sha256_of(pair)))
    metadata_path(pair).write_text(forged, encoding="utf-8")
    with pytest.raises(MetadataError, match=rf"is not the model that {PIN_VARIABLE} asks for"):
        load_detector(pair)
    assert not mark.exists()


@pytest.mark.parametrize("pin", ["", "0", "x" * 64, "0" * 63, "0" * 65, "sha256:" + "0" * 64])
def test_a_pin_that_is_no_sha256_opens_no_model(
    pair: Path, monkeypatch: pytest.MonkeyPatch, pin: str
) -> None:
    monkeypatch.setenv(PIN_VARIABLE, pin)
    with pytest.raises(MetadataError, match=rf"{PIN_VARIABLE} is .* wanted are the 64 hexadecimal digits"):
        read_metadata(pair)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema_version": 2}', '{"schema_version": 2, "sha256": 3}']
)
def test_a_damaged_or_foreign_metadata_is_refused(pair: Path, text: str) -> None:
    metadata_path(pair).write_text(text, encoding="utf-8")
    with pytest.raises(MetadataError, match="is no metadata of a model"):
        read_metadata(pair)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sha256", None, "sha256"),
        ("temperature", 0.0, "temperature is not above 0"),
        ("temperature", "1", "temperature"),
        ("default_point", "best", "default_point is none of"),
        ("size_bytes", 1.5, "size_bytes"),
        ("another", 1, "another"),
    ],
)
def test_a_metadata_with_an_impossible_value_is_refused(
    pair: Path, name: str, value: object, said: str
) -> None:
    content = json.loads(metadata_path(pair).read_text(encoding="utf-8"))
    content[name] = value
    metadata_path(pair).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(MetadataError, match=f"is no metadata of a model.*{said}"):
        read_metadata(pair)


def test_a_metadata_of_another_schema_is_refused(pair: Path) -> None:
    content = json.loads(metadata_path(pair).read_text(encoding="utf-8"))
    content["schema_version"] = 99
    metadata_path(pair).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(MetadataError, match="schema version 99"):
        read_metadata(pair)


def test_the_shipped_metadata_describes_the_shipped_model(shipped_model: Path) -> None:
    metadata = read_metadata(shipped_model)
    assert metadata.sha256 == sha256_of(shipped_model)
    assert metadata.size_bytes == shipped_model.stat().st_size <= 45_000_000
    sides = [set(side.groups) for side in (metadata.train, metadata.valid, metadata.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert [point.name for point in metadata.operating_points] == ["screening", "balanced", "counting"]
    for point in metadata.operating_points:
        assert (point.validation.cells, point.test.cells) == (metadata.valid.cells, metadata.test.cells)
        assert {one.group for one in point.patients} == set(metadata.test.groups)
        assert sum(one.true_positive for one in point.patients) == point.test.true_positive
        assert sum(one.false_positive for one in point.patients) == point.test.false_positive
        right = point.test.true_positive + point.test.true_negative
        assert point.test.estimates["accuracy"].value == pytest.approx(right / point.test.cells)
    settings = metadata.settings
    epochs = settings["freeze_epochs"] + len(settings["sizes"]) + settings["average_epochs"]
    assert len(metadata.history) == epochs
    assert "/" not in metadata.settings["weights"]


def test_an_operating_point_goes_by_its_name_and_an_unknown_one_is_told_the_known(pair: Path) -> None:
    metadata = read_metadata(pair)
    assert metadata.point().name == metadata.default_point
    assert metadata.point("counting").name == "counting"
    with pytest.raises(MetadataError, match=r"'best': choose one of screening, balanced, counting"):
        metadata.point("best")


def test_a_metadata_tells_from_the_cells_fingerprint_whether_labels_were_corrected(
    pair: Path, drawn_cells: Path
) -> None:
    metadata, cells = read_metadata(pair), find_cells(drawn_cells).cells
    assert metadata.labels_learnt == "published"
    one = Correction(cells[0].path.name, cells[0].label, "disagree")
    for corrections, learnt in ((None, "published"), (Corrections((one,)), "corrected")):
        _, fingerprint = correct(cells, corrections, "0123")
        assert replace(metadata, data_fingerprint=fingerprint).labels_learnt == learnt
