import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from malaria_detect.core.json_io import to_json
from malaria_detect.data.corrections import Correction, Corrections
from malaria_detect.data.labelled_cells import labelled_cells
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.inference.metadata import MetadataError
from malaria_detect.inference.model_files import PIN_VARIABLE, metadata_path, read_metadata, sha256_of
from malaria_detect.training.run import believing
from tests.refused import refused


def changed(model: Path, **values: object) -> None:
    """Change values in the metadata file."""
    content = json.loads(metadata_path(model).read_text(encoding="utf-8"))
    metadata_path(model).write_text(json.dumps(content | values), encoding="utf-8")


@pytest.mark.parametrize("missing", ["export.pkl", "export.json"])
def test_half_a_pair_is_refused(pair: Path, missing: str) -> None:
    pair.with_name(missing).unlink()
    with refused(MetadataError, "missing"):
        read_metadata(pair)


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("pinned", [False, True])
def test_a_malicious_pickle_is_refused_before_it_runs(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    from malaria_detect.inference.detector import load_detector

    mark, metadata, shipped = tmp_path / "ran", read_metadata(pair), sha256_of(pair)
    pair.write_bytes(pickle.dumps(Malicious(mark)))
    if pinned:
        # Then forged metadata does not help.
        monkeypatch.setenv(PIN_VARIABLE, shipped)
        forged = to_json(replace(metadata, sha256=sha256_of(pair)))
        metadata_path(pair).write_text(forged, encoding="utf-8")
    with refused(MetadataError, "wrong_pin" if pinned else "wrong_sha256"):
        load_detector(pair)
    assert not mark.exists()


def test_a_pinned_model_is_opened_and_none_if_the_pin_is_not_a_sha256(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sha256_of(pair)
    for pin in (found, found.upper(), f" {found}\n"):
        monkeypatch.setenv(PIN_VARIABLE, pin)
        assert read_metadata(pair).sha256 == found
    for pin in ("", "0", "x" * 64, "0" * 63, "0" * 65, "sha256:" + found):
        monkeypatch.setenv(PIN_VARIABLE, pin)
        with refused(MetadataError, "bad_pin"):
            read_metadata(pair)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema_version": 2}', '{"schema_version": 2, "sha256": 3}']
)
def test_damaged_metadata_is_refused(pair: Path, text: str) -> None:
    metadata_path(pair).write_text(text, encoding="utf-8")
    with refused(MetadataError, "invalid"):
        read_metadata(pair)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("sha256", None), ("temperature", 0.0), ("temperature", "1")),
        *(("default_point", "best"), ("size_bytes", 1.5), ("another", 1)),
    ],
)
def test_an_error_names_the_impossible_value(pair: Path, name: str, value: object) -> None:
    changed(pair, **{name: value})
    with refused(MetadataError, "invalid", naming=name):
        read_metadata(pair)


def test_schema_version_2_can_still_be_read_and_unknown_ones_are_refused(pair: Path) -> None:
    current = read_metadata(pair)
    changed(pair, schema_version=99)
    with refused(MetadataError, "schema"):
        read_metadata(pair)
    content = json.loads(metadata_path(pair).read_text(encoding="utf-8"))
    content["doubt"] = content.pop("uncertainty")
    metadata_path(pair).write_text(json.dumps(content | {"schema_version": 2}), encoding="utf-8")
    assert read_metadata(pair) == current


# Fields that a model of before has not.
_ADDED_LATER: dict[str, object] = {
    "references_sha256": None,
    "screened": {},
    "parent": None,
    "borrowed": {},
    "expectations": {},
}


def test_the_shipped_metadata_describes_the_shipped_model(shipped_model: Path) -> None:
    metadata = read_metadata(shipped_model)
    written = json.loads(metadata_path(shipped_model).read_text(encoding="utf-8"))
    assert json.loads(to_json(metadata)) == _ADDED_LATER | written
    assert metadata.sha256 == sha256_of(shipped_model)
    assert metadata.size_bytes == shipped_model.stat().st_size <= 45_000_000
    sides = [set(side.groups) for side in (metadata.train, metadata.valid, metadata.test)]
    assert len(set.union(*sides)) == sum(map(len, sides))
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
    known = "screening, balanced, counting"
    with refused(MetadataError, "unknown_operating_point", naming=known):
        metadata.point("best")


def test_the_fingerprint_of_the_cells_shows_what_was_learnt_instead_of_the_labels(
    pair: Path, drawn_cells: Path
) -> None:
    metadata, folder = read_metadata(pair), find_cells(drawn_cells)
    assert metadata.labels_learnt == "mean of published label and cross-validated probability"
    one = Correction(folder.cells[0].path.name, folder.cells[0].label, "disagree")
    for corrections, learnt in ((None, "published"), (Corrections((one,)), "corrected")):
        fingerprint = labelled_cells(folder, corrections).fingerprint
        assert replace(metadata, data_fingerprint=fingerprint).labels_learnt == learnt
        data = believing(labelled_cells(folder, corrections), {cell.name: 0.5 for cell in folder.cells})
        believed = replace(metadata, data_fingerprint=data.fingerprint).labels_learnt
        assert believed == f"mean of {learnt} label and cross-validated probability"
