import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fastai.vision.all import Learner, load_learner
from PIL import Image
from scipy.special import logit

from malaria_detect.data.images import ImageRefused, ImageSource
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, CLASSES, find_cells
from malaria_detect.inference import detector as module
from malaria_detect.inference import network as inference
from malaria_detect.inference.calibrate import read_logits
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import PIN_VARIABLE, metadata_path
from malaria_detect.inference.prediction import Prediction, Refusal, decide
from malaria_detect.metrics import scaled
from malaria_detect.training.recalibrate import logits_path


@pytest.fixture(scope="module")
def learner(shipped_model: Path) -> Learner:
    with pytest.warns(UserWarning, match="insecure pickle"):
        return load_learner(shipped_model)


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
def learned(learner: Learner, paths: list[Path]) -> list[float]:
    """Probability of parasitized by ``learn.predict``, which computes in float32."""
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


def test_predictions_agree_with_learn_predict_and_no_decision_differs(
    learned: list[float], predictions: list[Prediction], detector: Detector
) -> None:
    agree(predictions, learned, detector.metadata)


def test_predictions_in_bfloat16_agree_with_learn_predict(
    learned: list[float], paths: list[Path], detector: Detector
) -> None:
    rounded = detector.at(detector.point.name)
    rounded.bfloat16 = True
    # Slow on processors that emulate bfloat16.
    chosen = slice(None) if detector.bfloat16 else slice(None, None, 40)
    answers = [answer for answer in rounded.predict_many(paths[chosen]) if isinstance(answer, Prediction)]
    agree(answers, learned[chosen], detector.metadata)


def test_one_by_one_equals_batched(
    detector: Detector, paths: list[Path], predictions: list[Prediction]
) -> None:
    for path, result in zip(paths[::8], predictions[::8], strict=True):
        alone = detector.predict(path)
        assert alone.probability_parasitized == pytest.approx(result.probability_parasitized, abs=0.01)
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


def test_a_prediction_is_whole(predictions: list[Prediction], detector: Detector) -> None:
    for result in predictions:
        assert sum(result.probabilities.values()) == pytest.approx(1)
        parasitized = result.probability_parasitized >= detector.metadata.point().threshold
        assert result.decision == CLASSES[0 if parasitized else 1]
        assert result.uncertain == (
            result.probabilities[result.decision] < detector.metadata.uncertainty.below
        )


def test_calibration_divides_the_log_odds_by_the_temperature(
    detector: Detector, predictions: list[Prediction]
) -> None:
    raw = np.array([result.raw_probability_parasitized for result in predictions])
    calibrated = np.array([result.probability_parasitized for result in predictions])
    inside = (raw > 1e-4) & (raw < 1 - 1e-4)
    log_odds = [np.log(p / (1 - p)) for p in (raw[inside], calibrated[inside])]
    assert log_odds[1] == pytest.approx(log_odds[0] / detector.metadata.temperature, abs=1e-4)


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
    for one in moved:
        assert (one.decision == CLASSES[0]) == (one.probability_parasitized >= point.threshold)
        assert (one.operating_point, one.threshold) == ("counting", point.threshold)
    assert [one.at(detector.point) for one in moved] == predictions


def test_an_unknown_operating_point_is_refused_before_the_model_is_opened(shipped_model: Path) -> None:
    with pytest.raises(MetadataError, match="Choose one of screening, balanced, counting"):
        load_detector(shipped_model, "best")


def test_the_shipped_logits_are_those_of_the_shipped_model(
    detector: Detector, paths: list[Path], predictions: list[Prediction], shipped_model: Path
) -> None:
    known = {
        file: value
        for logits in read_logits(logits_path(shipped_model))
        for file, value in zip(logits.files, logits.values, strict=True)
    }
    here = [
        (known[path.name], one) for path, one in zip(paths, predictions, strict=True) if path.name in known
    ]
    if os.environ.get(CELLS_VARIABLE):
        assert len(here) > 50
    for known_logit, one in here:
        assert one.probability_parasitized == pytest.approx(
            float(scaled(known_logit, detector.metadata.temperature)), abs=1e-3
        )


def test_bad_pictures_are_refused_in_their_place_and_the_others_answered(
    detector: Detector, paths: list[Path]
) -> None:
    images: list[ImageSource] = [paths[0], b"", paths[1], Path("nowhere.png"), b"<svg/>", paths[2]]
    wide, file = Image.new("1", (20_000, 1_000)), io.BytesIO()
    wide.save(file, "PNG")  # 2.5 kB, and 400 million pixels once it is made square
    images[3:3] = [file.getvalue()]
    results = list(detector.predict_many(images, batch_size=2))
    assert [isinstance(result, Refusal) for result in results] == [
        *(False, True, False, True, True, True, False)
    ]
    assert all(
        result.message.endswith(".") and result.reason for result in results if isinstance(result, Refusal)
    )
    with pytest.raises(ImageRefused):
        detector.predict(b"")


def test_many_pictures_are_read_a_batch_at_a_time(detector: Detector, paths: list[Path]) -> None:
    taken: list[Path] = []

    def endless() -> object:
        while True:
            taken.append(paths[0])
            yield paths[0]

    results = detector.predict_many(endless(), batch_size=3)  # type: ignore[arg-type]
    for _ in range(4):
        next(results)
    assert len(taken) == 6


def test_a_bar_shows_progress_when_asked(
    detector: Detector, paths: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    list(detector.predict_many(paths[:3]))
    assert capsys.readouterr().err == ""
    list(detector.predict_many(paths[:3], progress=True))
    assert "3/3" in capsys.readouterr().err


def test_a_picture_unlike_a_cell_in_size_gets_a_warning(detector: Detector) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1280, 960), (200, 180, 190)).save(buffer, "PNG")
    assert detector.predict(buffer.getvalue()).warnings


def test_turning_a_cell_hardly_changes_the_answer(detector: Detector, paths: list[Path]) -> None:
    changes = []
    for path in paths[:: len(paths) // 20]:
        with Image.open(path) as image:
            turned = image.convert("RGB").transpose(Image.Transpose.ROTATE_90)
        before, after = detector.predict(path), detector.predict(turned)
        changes.append(abs(before.probability_parasitized - after.probability_parasitized))
    assert np.median(changes) < 0.05


@pytest.fixture
def pair(shipped_model: Path, tmp_path: Path) -> Path:
    """A copy of the shipped model with its metadata."""
    for file in (shipped_model, metadata_path(shipped_model)):
        shutil.copy(file, tmp_path)
    return tmp_path / shipped_model.name


@pytest.fixture
def unpickled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the models that were unpickled."""
    sizes: list[int] = []
    real = inference.open_learner

    def listening(data: bytes) -> Learner:
        sizes.append(len(data))
        return real(data)

    monkeypatch.setattr(module, "open_learner", listening)
    monkeypatch.setattr(module, "_OPENED", {})
    return sizes


def test_an_unchanged_model_is_opened_once(
    pair: Path, unpickled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_detector(pair)
    monkeypatch.chdir(pair.parent)
    second = load_detector(pair.name, "counting")
    assert second.network is first.network
    assert (first.point.name, second.point.name) == ("balanced", "counting")
    assert len(unpickled) == 1


@pytest.mark.parametrize("suffix", [".pkl", ".json"])
def test_a_changed_file_is_noticed_whatever_its_times_say(
    pair: Path, unpickled: list[int], suffix: str
) -> None:
    load_detector(pair)
    file = pair.with_suffix(suffix)
    times, content = file.stat(), bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(MetadataError):
        load_detector(pair)
    assert len(unpickled) == 1


def test_a_missing_model_is_an_error_even_if_it_was_opened_before(pair: Path, unpickled: list[int]) -> None:
    load_detector(pair)
    pair.unlink()
    with pytest.raises(MetadataError) as caught:
        load_detector(pair)
    assert caught.value.reason == "missing"


def test_an_open_model_is_not_handed_out_where_another_is_asked_for(
    pair: Path, unpickled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_detector(pair)
    monkeypatch.setenv(PIN_VARIABLE, "0" * 64)
    with pytest.raises(MetadataError, match=PIN_VARIABLE):
        load_detector(pair)
    assert len(unpickled) == 1
