"""The marked part of a cell, and the check of an explanation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradientXActivation  # type: ignore[import-untyped]
from PIL import Image
from torch import nn
from torchvision.models import resnet18

from malaria_detect.data.images import ImageRefused
from malaria_detect.data.nlm_cells import CLASSES, find_cells
from malaria_detect.explain import Explainer, Explanation, overlay
from malaria_detect.explain.attribution import evidence
from malaria_detect.explain.explainer import LEAST_FALL, RANDOM_PARTS, ExplainError
from malaria_detect.explain.regions import GRID, hidden, marked_part, random_parts
from malaria_detect.inference.classifier import Classifier
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.model_files import read_model
from malaria_detect.training.convert import classifier_of
from malaria_detect.training.learner import open_learner
from tests.refused import refused

ROWS, COLUMNS = np.mgrid[:GRID, :GRID]
ROUND_CELL = np.hypot(ROWS - 27.5, COLUMNS - 27.5) < 26


def dotted_cell(x: int, y: int, width: int = 130, height: int = 110) -> Image.Image:
    """A pink ellipse on black, with a dark purple dot of 7 px radius at a place."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    inside = np.hypot((columns - width / 2) / (width / 2), (rows - height / 2) / (height / 2)) < 0.98
    pixels[inside] = (209, 152, 166)
    pixels[np.hypot(columns - x, rows - y) < 7] = (110, 25, 120)
    return Image.fromarray(pixels)


def dot_finder(strength: float = 4000.0) -> Classifier:
    """Known weights: the sum of what is much less green than a cell, behind one convolution, against a bias."""
    grain, answer = nn.Conv2d(3, 1, 8, stride=8), nn.Linear(1, 2)
    # Red without green: neither the pink cell nor the black around it has that.
    colours = torch.tensor([0.229, -0.224, 0.0]).reshape(1, 3, 1, 1) / 64
    grain.load_state_dict(
        {"weight": colours.expand(1, 3, 8, 8), "bias": torch.tensor([0.485 - 0.456 - 0.25])}
    )
    answer.load_state_dict(
        {"weight": torch.tensor([[strength], [-strength]]), "bias": torch.tensor([-2.0, 2.0])}
    )
    return classifier_of(
        nn.Sequential(grain, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), answer), exact=True
    )


def explained(judge: Detector, picture: Image.Image | np.ndarray) -> Explanation:
    """Explanation of an image as if it was called parasitized."""
    return Explainer(judge).explain(picture, replace(judge.predict(picture), decision=CLASSES[0]))


@pytest.fixture(scope="module")
def dot_explainer(detector: Detector) -> Explainer:
    return Explainer(Detector(dot_finder(), detector.metadata))


@pytest.mark.parametrize(("x", "y"), [(40, 50), (90, 40), (65, 80), (30, 70)])
def test_the_marked_part_covers_the_dot(dot_explainer: Explainer, x: int, y: int) -> None:
    explanation = dot_explainer.explain(dotted_cell(x, y))
    assert explanation.reliable
    assert explanation.marked.shape == explanation.heat.shape == (110, 130)
    assert explanation.marked[y, x]
    rows, columns = np.nonzero(explanation.marked)
    assert np.hypot(rows.mean() - y, columns.mean() - x) < 6
    assert explanation.heat[y, x] > 0.5
    assert explanation.heat.max() <= 1
    assert len(explanation.random_falls) == RANDOM_PARTS
    assert explanation.check_fall > max(explanation.random_falls)
    assert explanation.fall >= LEAST_FALL
    assert explanation.probability_without < explanation.probability


def test_the_shipped_model_is_explained_on_real_cells(detector: Detector, real_cells: Path) -> None:
    """Nearly all of the cells that it is sure of, and the falls are those of a parasite that is gone."""
    cells = [cell for cell in find_cells(real_cells).cells if cell.label == CLASSES[0]][::16]
    predictions = [(cell.path, detector.predict(cell.path)) for cell in cells]
    explainer = Explainer(detector)
    found = [explainer.explain(path, one) for path, one in predictions if one.probability_parasitized > 0.98]
    assert len(found) >= 5
    assert np.mean([one.reliable for one in found]) >= 0.7
    assert np.median([one.fall for one in found]) > 1


def test_a_network_with_random_weights_mostly_fails_the_check(detector: Detector) -> None:
    checked = []
    for seed in range(12):
        torch.manual_seed(seed)
        metadata = replace(detector.metadata, input_size=96)
        judge = Detector(classifier_of(resnet18(num_classes=2), 96), metadata)
        explanation = explained(judge, dotted_cell(*np.random.default_rng(seed).integers(40, 75, 2)))
        if explanation.random_falls:
            checked.append(explanation.reliable)
    assert len(checked) >= 4  # others find no mark, or no room for parts like it
    assert sum(checked) <= len(checked) / 3


def test_a_mark_that_hardly_matters_is_not_reliable(detector: Detector) -> None:
    # The dot still matters most, but hiding it changes the odds by next to nothing.
    explanation = explained(Detector(dot_finder(strength=40.0), detector.metadata), dotted_cell(40, 50))
    assert explanation.check_fall > max(explanation.random_falls)
    assert explanation.fall < LEAST_FALL
    assert not explanation.reliable


def test_a_network_that_sees_hsv_is_not_explained(detector: Detector) -> None:
    hsv = replace(detector.metadata, preprocess=("hsv",))
    with refused(ExplainError, "hsv"):
        Explainer(Detector(dot_finder(), hsv))


def test_a_network_for_one_size_only_is_explained_at_its_own_size(detector: Detector) -> None:
    layers = nn.Conv2d(3, 4, 8, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 12, 2)
    judge = Detector(classifier_of(nn.Sequential(*layers), 96), replace(detector.metadata, input_size=96))
    assert explained(judge, dotted_cell(40, 50)).heat.shape == (110, 130)


def test_an_uninfected_cell_is_not_explained(detector: Detector) -> None:
    prediction = replace(detector.predict(dotted_cell(40, 50)), decision=CLASSES[1])
    explanation = Explainer(detector).explain(dotted_cell(40, 50), prediction)
    assert not explanation.marked.any()
    assert explanation.finding == "not_parasitized"


def test_an_image_without_a_cell_is_no_crash(detector: Detector) -> None:
    for shape in ((40, 60), (300, 40)):
        pixels = np.linspace(90, 255, shape[0] * shape[1]).reshape(shape).astype(np.uint8)
        explanation = explained(Detector(dot_finder(), detector.metadata), pixels)
        assert explanation.heat.shape == pixels.shape
        assert not explanation.reliable
        assert explanation.finding in ("no_mark", "mark_too_large", "not_confirmed")


def test_an_unreadable_image_is_refused(dot_explainer: Explainer) -> None:
    with pytest.raises(ImageRefused):
        dot_explainer.explain(b"no picture")


def test_evidence_is_gradient_times_activation(detector: Detector, shipped_model: Path) -> None:
    """As captum computes it with torch."""
    network = open_learner(read_model(shipped_model)[1]).model.eval()
    attribution = LayerGradientXActivation(
        lambda pictures: network(pictures) @ torch.tensor([1.0, -1.0]), network.get_submodule("0")
    )
    exact = classifier_of(network, exact=True)
    assert exact.head is not None
    for x, y in ((50, 40), (90, 60)):
        shown = detector.metadata.input_transform([dotted_cell(x, y)])
        expected = attribution.attribute(torch.from_numpy(shown).requires_grad_()).sum(dim=1)[0]
        seen = exact.see(shown)
        assert seen is not None
        np.testing.assert_allclose(evidence(seen, exact.head), expected.detach().numpy(), atol=1e-3)


def test_the_mark_is_never_more_than_a_fifth_of_the_cell() -> None:
    part = marked_part(1 + np.hypot(ROWS, COLUMNS) / 1000, ROUND_CELL)
    assert 0 < part.sum() <= 0.2 * ROUND_CELL.sum()
    assert not (part & ~ROUND_CELL).any()
    assert not marked_part(-np.ones((GRID, GRID)), ROUND_CELL).any()


def test_random_parts_are_alike_in_size_inside_the_cell_and_away_from_the_mark() -> None:
    part = (np.abs(ROWS - 20) < 3) & (np.abs(COLUMNS - 30) < 6)
    parts = random_parts(part, ROUND_CELL, RANDOM_PARTS)
    assert len({one.tobytes() for one in parts}) == RANDOM_PARTS
    for one in parts:
        assert one.sum() == part.sum()
        assert (one & ROUND_CELL).sum() >= 0.95 * part.sum() - 1
        assert (one & part).sum() <= 0.5 * part.sum() + 1
    assert any(one.any(axis=0).sum() == 5 for one in parts)  # turned
    assert np.array_equal(random_parts(part, ROUND_CELL, RANDOM_PARTS), parts)
    assert random_parts(ROUND_CELL, ROUND_CELL, 3) == []


def test_hiding_paints_the_cells_own_colour_and_leaves_the_rest() -> None:
    picture = np.zeros((1, 3, GRID, GRID), np.float32)
    picture[0, :, ROUND_CELL] = 0.7
    dot = np.hypot(ROWS - 27, COLUMNS - 40) < 3
    picture[0, :, dot] = 0.1
    (without,) = hidden(picture, ROUND_CELL, [dot])
    assert np.allclose(without[:, ROUND_CELL], 0.7)
    assert np.array_equal(without[:, ~ROUND_CELL], picture[0][:, ~ROUND_CELL])


def test_the_overlay_is_the_picture_at_no_strength_and_changes_only_what_is_hot_or_marked() -> None:
    picture = dotted_cell(40, 50)
    marked = np.zeros((110, 130), dtype=bool)
    marked[45:55, 35:45] = True
    explanation = Explanation("Parasitized", "reliable", marked.astype(np.float32), marked)
    assert overlay(picture, explanation, 0).tobytes() == picture.tobytes()
    changed = (np.asarray(overlay(picture, explanation, 1)) != np.asarray(picture)).any(axis=2)
    assert changed[50, 40]
    assert not changed[80:].any()
    with pytest.raises(ValueError, match="strength"):
        overlay(picture, explanation, 2)
    with pytest.raises(ValueError, match="got"):
        overlay(Image.new("RGB", (50, 50)), explanation)
