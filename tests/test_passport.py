import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from malaria_detect.passport import PassportError, passport_path, read_passport, sha256_of, to_json


@pytest.fixture
def pair(shipped_model: Path, tmp_path: Path) -> Path:
    """A copy of the shipped model and its passport."""
    for path in (shipped_model, passport_path(shipped_model)):
        shutil.copy(path, tmp_path)
    return tmp_path / shipped_model.name


def test_a_passport_comes_back_from_json_as_it_was(pair: Path) -> None:
    passport = read_passport(pair)
    assert to_json(passport) == passport_path(pair).read_text(encoding="utf-8")
    assert isinstance(passport.history, tuple)
    assert isinstance(passport.test_scores.roc[0], tuple)


def test_an_undefined_score_survives_json(pair: Path) -> None:
    passport = read_passport(pair)
    scores = passport.test_scores
    undefined = replace(scores.estimates["precision"], value=float("nan"))
    changed = replace(
        passport, test_scores=replace(scores, estimates={**scores.estimates, "precision": undefined})
    )
    passport_path(pair).write_text(to_json(changed), encoding="utf-8")
    assert read_passport(pair).test_scores.estimates["precision"].value != undefined.value  # NaN
    assert read_passport(pair).test_scores.estimates["accuracy"] == scores.estimates["accuracy"]


@pytest.mark.parametrize("missing", ["export.pkl", "export.json"])
def test_half_a_pair_is_refused(pair: Path, missing: str) -> None:
    pair.with_name(missing).unlink()
    with pytest.raises(PassportError, match=rf"{missing} is missing.*train anew"):
        read_passport(pair)


def test_a_changed_model_is_refused(pair: Path) -> None:
    data = bytearray(pair.read_bytes())
    data[-1] ^= 1
    pair.write_bytes(data)
    with pytest.raises(PassportError, match=r"is not the file that export\.json was written for"):
        read_passport(pair)


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_a_malicious_pickle_is_refused_before_it_runs(pair: Path, tmp_path: Path) -> None:
    from malaria_detect.detector import load_detector

    mark = tmp_path / "ran"
    pair.write_bytes(pickle.dumps(Malicious(mark)))
    with pytest.raises(PassportError, match="so it is not opened"):
        load_detector(pair)
    assert not mark.exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema_version": 1}', '{"schema_version": 1, "sha256": 3}']
)
def test_a_damaged_or_foreign_passport_is_refused(pair: Path, text: str) -> None:
    passport_path(pair).write_text(text, encoding="utf-8")
    with pytest.raises(PassportError, match="is no passport of a model"):
        read_passport(pair)


@pytest.mark.parametrize(("name", "value"), [("sha256", None), ("threshold", 7.0), ("threshold", "x")])
def test_a_passport_with_an_impossible_value_is_refused(pair: Path, name: str, value: object) -> None:
    content = json.loads(passport_path(pair).read_text(encoding="utf-8"))
    content[name] = value
    passport_path(pair).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(PassportError, match=f"is no passport of a model.*{name}"):
        read_passport(pair)


def test_a_passport_of_another_schema_is_refused(pair: Path) -> None:
    content = json.loads(passport_path(pair).read_text(encoding="utf-8"))
    content["schema_version"] = 99
    passport_path(pair).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(PassportError, match="schema version 99"):
        read_passport(pair)


def test_the_shipped_passport_describes_the_shipped_model(shipped_model: Path) -> None:
    passport = read_passport(shipped_model)
    assert passport.sha256 == sha256_of(shipped_model)
    assert passport.size_bytes == shipped_model.stat().st_size <= 45_000_000
    sides = [set(side.groups) for side in (passport.train, passport.valid, passport.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert passport.test_scores.cells == passport.test.cells
    assert passport.validation_scores.cells == passport.valid.cells
    scores = passport.test_scores
    right = scores.true_positive + scores.true_negative
    assert scores.estimates["accuracy"].value == pytest.approx(right / scores.cells)
    assert len(passport.history) == len(passport.settings["sizes"]) + passport.settings["freeze_epochs"]
    assert "/" not in passport.settings["weights"]
