"""Cells at random looks, and what is learnt for them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from malaria_detect.data.labelled_cells import labelled_cells
from malaria_detect.data.nlm_cells import CLASSES, Cell, find_cells
from malaria_detect.designs.registry import find_network
from malaria_detect.training.absorbance import Absorbance
from malaria_detect.training.borrowed import borrowed_cells, borrowed_fields, fields_of
from malaria_detect.training.dataloaders import CellLoaders
from malaria_detect.training.randomized_cells import randomized
from malaria_detect.training.resnet34 import DESIGN
from malaria_detect.training.run import TrainingRun, believing, run_by_patient
from malaria_detect.training.settings import TrainingError, TrainSettings
from malaria_detect.training.transplants import transplanted
from tests.drawn_fields import Drawn, drawn_field
from tests.refused import refused


def cells_on_black(number: int, infected: bool, side: int = 64) -> torch.Tensor:
    """Even pink cells, uint8, shape (number, 3, side, side); a dark dot in those that are infected."""
    y, x = np.mgrid[:side, :side] - side / 2 + 0.5
    cell = np.where(np.hypot(x, y)[..., None] < 0.42 * side, [220, 150, 170], 0)
    if infected:
        cell[np.hypot(x - side / 6, y) < 0.07 * side] = [110, 40, 120]
    return torch.from_numpy(cell.astype(np.uint8)).permute(2, 0, 1).expand(number, 3, side, side).contiguous()


# Cells, their probabilities, and whether they are borrowed.
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def batch() -> Batch:
    """400 cells: 100 parasitized, 100 uninfected, 200 borrowed."""
    cells = torch.cat([cells_on_black(100, infected=True), cells_on_black(300, infected=False)])
    number = torch.arange(400)
    return cells, (number < 100).float(), number >= 200


def test_images_are_colours_of_the_chosen_size(batch: Batch) -> None:
    torch.manual_seed(0)
    images, shares = randomized(*batch, size=48)
    assert images.shape == (400, 3, 48, 48)
    assert 0 <= images.min() < images.max() <= 1
    assert bool(torch.isfinite(images).all())
    assert shares.shape == (400,)


def test_the_same_seed_gives_the_same_looks(batch: Batch) -> None:
    looks = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        looks.append(randomized(*batch, size=32)[0])
    assert torch.equal(looks[0], looks[1])
    assert not torch.equal(looks[0], looks[2])


def test_looks_are_drawn_where_the_cells_are_whatever_the_default_device_is(batch: Batch) -> None:
    torch.manual_seed(0)
    expected = randomized(*batch, size=32)
    torch.manual_seed(0)
    # A tensor on the default device cannot be mixed with those of the batch.
    with torch.device("meta"):
        images, shares = randomized(*batch, size=32)
    assert torch.equal(images, expected[0])
    assert torch.equal(shares, expected[1])


def test_no_two_images_have_the_same_look(batch: Batch) -> None:
    torch.manual_seed(0)
    colours = randomized(*batch, size=32)[0][100:200].amax((2, 3))
    assert float(colours.std(0).min()) > 0.08


def test_neither_camera_nor_stain_of_borrowed_cells_predicts_the_class(
    batch: Batch,
) -> None:
    torch.manual_seed(0)
    cells, _, borrowed = batch
    shares = torch.cat([randomized(*batch, size=32)[1][borrowed] for _ in range(4)])
    assert 0.4 < float((shares > 0.5).float().mean()) < 0.6
    assert len(cells) == 400


def test_labels_of_other_parasitized_cells_stay(batch: Batch) -> None:
    torch.manual_seed(0)
    shares = randomized(*batch, size=32)[1]
    assert float(shares[:100].min()) > 0.9
    uninfected = shares[100:200]
    assert 0.8 < float((uninfected < 0.1).float().mean()) < 1


def test_parasites_are_only_added_within_a_cell_and_where_the_label_says_so(
    batch: Batch,
) -> None:
    torch.manual_seed(0)
    cells, shares, borrowed = batch
    before = Absorbance.of(cells)
    after, changed = transplanted(before, shares, borrowed)
    added = (after.total - before.total).abs().sum(1)
    assert float((added * (1 - before.cover[:, 0])).max()) == 0
    now_parasitized = (changed > 0.9) & (shares < 0.1)
    assert int(now_parasitized.sum()) > 50
    # A parasite that was turned out of its cell is rare.
    assert float((added[now_parasitized].amax((1, 2)) > 0.1).float().mean()) > 0.9


def test_absorbance_is_that_of_the_cell_relative_to_its_brightest_part() -> None:
    parts = Absorbance.of(cells_on_black(2, infected=True))
    assert float(parts.total[parts.cover.expand_as(parts.total) == 0].abs().max()) == 0
    # -ln(110 / 220), the dot in the red channel.
    assert float(parts.total[0, 0].max()) == pytest.approx(0.693, abs=0.02)
    assert parts.even.abs().max() < 0.02


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three fields with their centres, as Chula RBC-12 has them."""
    folder = tmp_path_factory.mktemp("healthy")
    for seed in range(3):
        pixels, outlines, _ = drawn_field(seed, Drawn(cells=12, parasitized=0, on_edge=0, white_cells=1))
        Image.fromarray(pixels).save(folder / f"f{seed}.png")
        centres = [outline.mean(axis=0) for outline in outlines]
        (folder / f"f{seed}.txt").write_text("\n".join(f"{x:.0f} {y:.0f} 0" for x, y in centres))
    return folder


def test_red_cells_are_borrowed_from_two_thirds_of_the_fields(fields: Path, tmp_path: Path) -> None:
    left_over = tmp_path / "borrowed" / fields.name / "f1_99.png"
    left_over.parent.mkdir(parents=True)
    left_over.touch()
    cells = borrowed_cells([fields], tmp_path, progress=False)
    assert not left_over.exists()
    assert borrowed_fields(["f0.png", "f1.png", "f2.png"]) == ("f1.png", "f2.png")
    assert fields_of(cells) == {fields.name: ("f1.png", "f2.png")}
    assert 20 <= len(cells) <= 24
    assert {cell.label for cell in cells} == {CLASSES[1]}
    corners = [np.asarray(Image.open(cell.path))[0, 0].tolist() for cell in cells]
    assert corners.count([0, 0, 0]) > 0.9 * len(cells)


def test_a_laboratory_with_parasitized_cells_is_not_borrowed_from(tmp_path: Path) -> None:
    Image.fromarray(drawn_field(0, Drawn())[0]).save(tmp_path / "a.png")
    box = '{"type": "ring", "x": 5, "y": 5, "w": 60, "h": 60}'
    (tmp_path / "annotations.json").write_text(f'[{{"image": "a.png", "boxes": [{box}]}}]')
    with refused(TrainingError, "parasitized"):
        borrowed_cells([tmp_path], tmp_path, progress=False)


_TINY: dict[str, Any] = {"sizes": (48,), "batch_size": 16, "weights": "none", "looks": "random"}


def run_of(cells: Path, work: Path, **settings: Any) -> TrainingRun:
    given = TrainSettings(
        **{"sizes": (48,), "batch_size": 16, "weights": "none", "looks": "random", **settings}
    )
    return run_by_patient(DESIGN, given, labelled_cells(find_cells(cells)), work, progress=False)


def test_training_batches_have_random_looks_and_probabilities(few_cells: Path, tmp_path: Path) -> None:
    run = run_of(few_cells, tmp_path)
    path = next(cell.path for cell in run.cells if cell.label == CLASSES[1])
    run = replace(run, borrowed=(Cell(path, CLASSES[1], "Elsewhere"),) * 8)
    loaders = CellLoaders(run)
    batches = list(loaders.at(48).train)
    loaders.discard()
    images, targets = (torch.cat([batch[part] for batch in batches]) for part in (0, 1))
    assert images.shape[1:] == (3, 48, 48)
    assert targets.shape == (len(images), 2)
    assert torch.allclose(targets.sum(1), torch.ones(len(targets)))
    assert len(images) == len(run.learnt()[0]) + 8


def test_believed_labels_are_halfway_to_what_cross_validation_says(few_cells: Path, tmp_path: Path) -> None:
    data = labelled_cells(find_cells(few_cells))
    doubted = data.cells[0].name
    probabilities = {cell.name: float(cell.label == CLASSES[0]) for cell in data.cells}
    believed = believing(data, {**probabilities, doubted: 1 - probabilities[doubted]})
    assert believed.believed is not None
    assert believed.believed[0] == 0.5
    assert set(believed.believed[1:]) == {0.0, 1.0}
    assert believed.fingerprint != data.fingerprint
    run = replace(run_of(few_cells, tmp_path), data=believed)
    assert run.targets().shape == (len(run.learnt()[0]), 2)
    with refused(TrainingError, "other_cells", naming=doubted):
        believing(data, {name: share for name, share in probabilities.items() if name != doubted})


def test_a_checkpoint_is_not_resumed_with_other_borrowed_cells(few_cells: Path, tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    run = replace(run_of(few_cells, tmp_path), borrowed=(Cell(path, CLASSES[1], "Elsewhere"),))
    identities = []
    for colour in ("red", "red", "blue"):
        Image.new("RGB", (30, 30), colour).save(path)
        identities.append(run.identity)
    assert identities[0] == identities[1] != identities[2]


def test_borrowed_cells_need_random_looks(few_cells: Path, tmp_path: Path) -> None:
    run = run_of(few_cells, tmp_path, looks="own")
    with refused(TrainingError, "looks"):
        replace(run, borrowed=run.cells[:1]).check()


def test_a_frozen_trunk_has_no_random_looks(few_cells: Path, tmp_path: Path) -> None:
    run = run_of(few_cells, tmp_path)
    with refused(TrainingError, "looks"):
        replace(run, design=find_network("vgg16-frozen")).check()
