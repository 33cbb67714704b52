import io
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from fastai.vision.all import load_learner
from PIL import Image
from scipy.special import logit

from malaria_detect.data.image_checks import COLOURLESS
from malaria_detect.data.images import ImageRefused, ImageSource, read_image
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, CLASSES, find_cells
from malaria_detect.inference import detector as module
from malaria_detect.inference.calibrate import read_logits
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import PIN_VARIABLE
from malaria_detect.inference.prediction import Prediction, Record, Refusal, decide
from malaria_detect.inference.runtime import open_classifier
from malaria_detect.metrics import scaled
from malaria_detect.training.recalibrate import logits_path
from tests.refused import refused


@pytest.fixture(scope="module")
def paths(sample_cells: Path) -> list[Path]:
    """At most 320 cells."""
    cells = find_cells(sample_cells).cells
    return [cell.path for cell in cells[:: -(-len(cells) // 320)]]


@pytest.fixture(scope="module")
def predictions(detector: Detector, paths: list[Path]) -> list[Prediction]:
    results = list(detector.predict_many(paths))
    assert all(isinstance(result, Prediction) for result in results)
    return [result for result in results if isinstance(result, Prediction)]


@pytest.fixture(scope="module")
def learned(shipped_model: Path, paths: list[Path]) -> list[float]:
    """Probability of parasitized by ``learn.predict``, which computes in float32."""
    with pytest.warns(UserWarning, match="insecure pickle"):
        learner = load_learner(shipped_model)
    with learner.no_bar(), learner.no_logging():
        return [float(learner.predict(path)[2][0]) for path in paths]


def agree(predictions: list[Prediction], learned: list[float], metadata: ModelMetadata) -> None:
    """Probabilities within 0.01 of ``learn.predict``, and the same decisions at all operating points."""
    for probability, result in zip(learned, predictions, strict=True):
        expected = float(scaled(logit(probability), metadata.temperature))
        assert result.raw_probability_parasitized == pytest.approx(probability, abs=0.01)
        assert result.probability_parasitized == pytest.approx(expected, abs=0.01)
        for point in metadata.operating_points:
            assert result.at(point).decision == decide(expected, point)
        confidence = expected if result.decision == CLASSES[0] else 1 - expected
        assert result.uncertain == (confidence < metadata.uncertainty.below)
        assert sum(result.probabilities.values()) == pytest.approx(1)


def test_predictions_agree_with_learn_predict_and_no_decision_differs(
    learned: list[float], predictions: list[Prediction], detector: Detector
) -> None:
    agree(predictions, learned, detector.metadata)


def test_one_by_one_equals_batched(
    detector: Detector, paths: list[Path], predictions: list[Prediction]
) -> None:
    for path, result in zip(paths[::8], predictions[::8], strict=True):
        alone = detector.predict(path)
        assert alone.probability_parasitized == pytest.approx(result.probability_parasitized, abs=0.001)
        assert (alone.decision, alone.uncertain) == (result.decision, result.uncertain)


def test_the_shipped_model_is_right_on_real_cells(
    real_cells: Path, paths: list[Path], predictions: list[Prediction]
) -> None:
    right = [result.decision == path.parent.name for path, result in zip(paths, predictions, strict=True)]
    assert np.mean(right) >= 0.95


def test_path_bytes_picture_and_array_are_the_same_cell(detector: Detector, paths: list[Path]) -> None:
    with Image.open(paths[0]) as image:
        picture = image.convert("RGB")
    sources = (paths[0], str(paths[0]), paths[0].read_bytes(), picture, np.asarray(picture))
    results = [detector.predict(source) for source in sources]
    assert all(result == results[0] for result in results)
    assert results[0].image_size == picture.size


def test_an_operating_point_changes_decisions_and_nothing_else(
    detector: Detector, paths: list[Path], predictions: list[Prediction]
) -> None:
    counting = detector.at("counting")
    point = detector.metadata.point("counting")
    assert counting.point == point
    for path, result in list(zip(paths, predictions, strict=True))[:8]:
        assert counting.predict(path).decision == result.at(point).decision
    moved = [result.at(point) for result in predictions]
    assert [one.probabilities for one in moved] == [one.probabilities for one in predictions]
    assert {(one.operating_point, one.threshold) for one in moved} == {("counting", point.threshold)}
    assert [one.at(detector.point) for one in moved] == predictions


def test_the_shipped_logits_are_those_of_the_shipped_model(
    detector: Detector, paths: list[Path], predictions: list[Prediction], shipped_model: Path
) -> None:
    known: dict[str, float] = {}
    for logits in read_logits(logits_path(shipped_model)):
        known |= zip(logits.files, logits.probability(detector.metadata.temperature), strict=True)
    found = {path.name: one.probability_parasitized for path, one in zip(paths, predictions, strict=True)}
    here = known.keys() & found.keys()
    assert len(here) > 50 or not os.environ.get(CELLS_VARIABLE)
    assert {name: found[name] for name in here} == pytest.approx(
        {name: known[name] for name in here}, abs=0.01
    )


def test_bad_pictures_are_refused_in_their_place_and_the_others_answered(
    detector: Detector, paths: list[Path]
) -> None:
    images: list[ImageSource] = [paths[0], b"", paths[1], Path("nowhere.png"), b"<svg/>", paths[2]]
    wide, file = Image.new("1", (20_000, 1_000)), io.BytesIO()
    wide.save(file, "PNG")  # 2.5 kB, and 400 million pixels once it is made square
    images[3:3] = [file.getvalue()]
    results = list(detector.predict_many(images, batch_size=2))
    assert "".join("-+"[isinstance(result, Prediction)] for result in results) == "+-+---+"
    assert all(
        answer.reason and answer.message[-1] == "." for answer in results if isinstance(answer, Refusal)
    )
    with pytest.raises(ImageRefused):
        detector.predict(b"")


def test_many_pictures_are_read_one_batch_ahead(detector: Detector, paths: list[Path]) -> None:
    source = iter([paths[0]] * 10)
    results = detector.predict_many(source, batch_size=3)
    for _ in range(4):
        next(results)
    assert len(list(source)) == 10 - 9


def test_a_bar_shows_progress_when_asked(
    detector: Detector, paths: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    list(detector.predict_many(paths[:3]))
    assert capsys.readouterr().err == ""
    list(detector.predict_many(paths[:3], progress=True))
    assert "3/3" in capsys.readouterr().err


def test_a_picture_unlike_a_cell_in_size_gets_a_warning(detector: Detector, paths: list[Path]) -> None:
    large = read_image(paths[0]).resize((1280, 960))
    (sentence,) = detector.predict(large).warnings
    assert "1280 x 960" in sentence


def test_a_cell_without_colour_is_answered_with_a_warning_and_never_certain(
    detector: Detector, paths: list[Path]
) -> None:
    detector = detector.at(detector.point.name)
    detector.known = None  # with it, a drawn cell without colour is refused as foreign
    pictures = [read_image(path) for path in paths[:8]]
    for colour, grey in zip(
        detector.predict_many(pictures),
        detector.predict_many([np.asarray(picture.convert("L")) for picture in pictures]),
        strict=True,
    ):
        assert isinstance(colour, Prediction)
        assert isinstance(grey, Prediction)
        assert not colour.poor_quality
        assert not colour.warnings
        assert grey.poor_quality
        assert grey.warnings == (COLOURLESS,)
        for point in detector.metadata.operating_points:
            assert grey.at(point).uncertain
            assert Record.of("grey.png", grey.at(point)).uncertain


def test_turning_a_cell_hardly_changes_the_answer(detector: Detector, paths: list[Path]) -> None:
    changes = []
    for path in paths[:: len(paths) // 20]:
        with Image.open(path) as image:
            turned = image.convert("RGB").transpose(Image.Transpose.ROTATE_90)
        before, after = detector.predict(path), detector.predict(turned)
        changes.append(abs(before.probability_parasitized - after.probability_parasitized))
    assert np.median(changes) < 0.05


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Records which networks are compiled; no model is open yet."""
    recorder = Mock(wraps=open_classifier)
    monkeypatch.setattr(module, "open_classifier", recorder)
    monkeypatch.setattr(module, "_OPENED", {})
    return recorder


def test_an_unchanged_model_is_opened_once(
    pair: Path, compiled: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_detector(pair)
    monkeypatch.chdir(pair.parent)
    second = load_detector(pair.name, "counting")
    assert second.classifier is first.classifier
    assert (first.point.name, second.point.name) == ("balanced", "counting")
    assert compiled.call_count == 1


@pytest.mark.parametrize(("suffix", "reason"), [(".pkl", "wrong_sha256"), (".json", "invalid")])
def test_a_changed_file_is_noticed_whatever_its_times_say(
    pair: Path, compiled: Mock, suffix: str, reason: str
) -> None:
    load_detector(pair)
    file = pair.with_suffix(suffix)
    times, content = file.stat(), bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    with refused(MetadataError, reason):
        load_detector(pair)
    assert compiled.call_count == 1


def test_an_open_model_is_not_handed_out_where_another_is_asked_for(
    pair: Path, compiled: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refused(MetadataError, "unknown_operating_point"):
        load_detector(pair, "best")
    assert not compiled.called
    load_detector(pair)
    monkeypatch.setenv(PIN_VARIABLE, "0" * 64)
    with refused(MetadataError, "wrong_pin"):
        load_detector(pair)
    pair.unlink()
    with refused(MetadataError, "missing"):
        load_detector(pair)
    assert compiled.call_count == 1
