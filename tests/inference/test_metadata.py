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
from malaria_detect.inference.metadata import MetadataError
from malaria_detect.inference.model_files import PIN_VARIABLE, metadata_path, read_metadata, sha256_of
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


def refusal(model: Path) -> str:
    """The reason code of the error that reading the metadata raises."""
    with pytest.raises(MetadataError) as caught:
        read_metadata(model)
    return caught.value.reason


def changed(model: Path, **values: object) -> None:
    """Change values in the metadata file."""
    content = json.loads(metadata_path(model).read_text(encoding="utf-8"))
    metadata_path(model).write_text(json.dumps(content | values), encoding="utf-8")


@pytest.mark.parametrize("missing", ["export.pkl", "export.json"])
def test_half_a_pair_is_refused(pair: Path, missing: str) -> None:
    pair.with_name(missing).unlink()
    assert refusal(pair) == "missing"


def test_a_changed_model_is_refused(pair: Path) -> None:
    data = bytearray(pair.read_bytes())
    data[-1] ^= 1
    pair.write_bytes(data)
    assert refusal(pair) == "wrong_sha256"


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_a_malicious_pickle_is_refused_before_it_runs(pair: Path, tmp_path: Path) -> None:
    from malaria_detect.inference.detector import load_detector

    mark = tmp_path / "ran"
    pair.write_bytes(pickle.dumps(Malicious(mark)))
    with pytest.raises(MetadataError) as caught:
        load_detector(pair)
    assert caught.value.reason == "wrong_sha256"
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
    with pytest.raises(MetadataError) as caught:
        load_detector(pair)
    assert caught.value.reason == "wrong_pin"
    assert not mark.exists()


@pytest.mark.parametrize("pin", ["", "0", "x" * 64, "0" * 63, "0" * 65, "sha256:" + "0" * 64])
def test_a_pin_that_is_not_a_sha256_opens_no_model(
    pair: Path, monkeypatch: pytest.MonkeyPatch, pin: str
) -> None:
    monkeypatch.setenv(PIN_VARIABLE, pin)
    assert refusal(pair) == "bad_pin"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema_version": 2}', '{"schema_version": 2, "sha256": 3}']
)
def test_damaged_metadata_is_refused(pair: Path, text: str) -> None:
    metadata_path(pair).write_text(text, encoding="utf-8")
    assert refusal(pair) == "invalid"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sha256", None),
        ("temperature", 0.0),
        ("temperature", "1"),
        ("default_point", "best"),
        ("size_bytes", 1.5),
        ("another", 1),
    ],
)
def test_an_error_names_the_impossible_value(pair: Path, name: str, value: object) -> None:
    changed(pair, **{name: value})
    with pytest.raises(MetadataError, match=name) as caught:
        read_metadata(pair)
    assert caught.value.reason == "invalid"


def test_metadata_of_an_unknown_schema_is_refused(pair: Path) -> None:
    changed(pair, schema_version=99)
    assert refusal(pair) == "schema"


def test_schema_version_2_can_still_be_read(pair: Path) -> None:
    current = read_metadata(pair)
    content = json.loads(metadata_path(pair).read_text(encoding="utf-8"))
    content["doubt"] = content.pop("uncertainty")
    metadata_path(pair).write_text(json.dumps(content | {"schema_version": 2}), encoding="utf-8")
    assert read_metadata(pair) == current


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


def test_an_operating_point_has_a_name_and_an_error_lists_the_known_ones(pair: Path) -> None:
    metadata = read_metadata(pair)
    assert metadata.point().name == metadata.default_point
    assert metadata.point("counting").name == "counting"
    with pytest.raises(MetadataError, match="screening, balanced, counting") as caught:
        metadata.point("best")
    assert caught.value.reason == "unknown_operating_point"


def test_the_fingerprint_of_the_cells_shows_whether_labels_were_corrected(
    pair: Path, drawn_cells: Path
) -> None:
    metadata, cells = read_metadata(pair), find_cells(drawn_cells).cells
    assert metadata.labels_learnt == "published"
    one = Correction(cells[0].path.name, cells[0].label, "disagree")
    for corrections, learnt in ((None, "published"), (Corrections((one,)), "corrected")):
        _, fingerprint = correct(cells, corrections, "0123")
        assert replace(metadata, data_fingerprint=fingerprint).labels_learnt == learnt
