import io
from pathlib import Path

import numpy as np
import pytest
from fastai.vision.all import Learner, load_learner
from PIL import Image

from malaria_detect.cells import CLASSES, find_cells
from malaria_detect.detector import Detector, Prediction, Refusal
from malaria_detect.images import ImageRefused, ImageSource


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


def test_the_detector_says_what_learn_predict_says_of_every_cell(
    learner: Learner, paths: list[Path], predictions: list[Prediction]
) -> None:
    with learner.no_bar(), learner.no_logging():
        for path, result in zip(paths, predictions, strict=True):
            label, _, probabilities = learner.predict(path)
            assert result.label == label
            assert result.probability_parasitized == pytest.approx(float(probabilities[0]), abs=1e-3)


def test_one_by_one_equals_batched(
    detector: Detector, paths: list[Path], predictions: list[Prediction]
) -> None:
    for path, result in zip(paths, predictions, strict=True):
        alone = detector.predict(path)
        assert alone.probability_parasitized == pytest.approx(result.probability_parasitized, abs=1e-4)
        assert alone.decision == result.decision


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
        assert result.label == max(result.probabilities, key=result.probabilities.__getitem__)
        called = result.probability_parasitized >= detector.passport.threshold
        assert result.decision == CLASSES[0 if called else 1]


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
    assert all(result.reason.endswith(".") for result in results if isinstance(result, Refusal))
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
