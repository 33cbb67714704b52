import numpy as np
import pytest
import torch

from malaria_detect.fields.cell import KINDS, PLATELET, RED_CELL, FoundCell
from malaria_detect.fields.maps import RAY_ANGLES, RAYS, STRIDE, Maps
from malaria_detect.fields.outlines import Stars, separated, shared_areas, stars_of, without_duplicates
from malaria_detect.fields.synthetic import SyntheticField
from malaria_detect.training.finder_targets import batch_of, finder_loss, star, targets_of


def discs(*circles: tuple[float, float, float, float], kinds: tuple[int, ...] | None = None) -> Stars:
    """Stars of circles: x, y, radius, score."""
    x, y, radius, score = np.array(circles, dtype=float).reshape(-1, 4).T
    return Stars(
        np.column_stack([x, y]),
        np.repeat(radius[:, None], RAYS, axis=1),
        score,
        np.zeros(len(x), int) if kinds is None else np.array(kinds),
    )


def test_area_and_diameter_are_those_of_the_polygon() -> None:
    stars = discs((50, 50, 20, 1))
    polygon = 0.5 * RAYS * 20**2 * np.sin(2 * np.pi / RAYS)
    assert stars.areas[0] == pytest.approx(polygon)
    assert stars.diameters[0] == pytest.approx(2 * np.sqrt(polygon / np.pi))


def test_the_more_certain_of_two_outlines_of_a_cell_is_kept() -> None:
    kept = without_duplicates(discs((50, 50, 20, 0.7), (53, 50, 20, 0.9), (90, 50, 20, 0.4)))
    assert sorted(kept.scores) == [0.4, 0.9]


def test_outlines_are_cut_at_the_frame_along_their_rays() -> None:
    stars = discs((5, 6, 10, 1), (50, 50, 10, 1), (-3, 50, 10, 1))
    cut = stars.within(100, 100)
    assert cut.corners[:2].min() >= -1e-9
    assert np.allclose(cut.corners[1], stars.corners[1])
    assert cut.areas[2] == 0
    # Along the frame, no edge turns back.
    step = np.diff(cut.corners[0], axis=0, append=cut.corners[0, :1])
    turn = np.roll(step, -1, axis=0)
    assert (step[:, 0] * turn[:, 1] - step[:, 1] * turn[:, 0] >= -1e-9).all()


def test_touching_and_moderately_overlapping_cells_are_both_kept() -> None:
    assert len(without_duplicates(discs((50, 50, 20, 0.7), (90, 50, 20, 0.9), (76, 80, 20, 0.8)))) == 3


def test_a_platelet_gives_way_to_the_cell_on_which_it_lies() -> None:
    platelet, red = KINDS.index(PLATELET), KINDS.index(RED_CELL)
    kept = without_duplicates(discs((50, 50, 4, 0.9), (52, 50, 20, 0.5), kinds=(platelet, red)))
    assert list(kept.kinds) == [red]


def test_overlapping_outlines_are_cut_along_the_line_between_them() -> None:
    cut = separated(discs((50, 50, 20, 1), (80, 50, 20, 1), (200, 50, 20, 1)))
    corners = cut.corners
    assert corners[0, :, 0].max() == pytest.approx(65)
    assert corners[1, :, 0].min() == pytest.approx(65)
    assert np.ptp(corners[2, :, 0]) == pytest.approx(40)
    assert shared_areas(cut, cut)[0, 1] == 0


def test_shared_areas_are_intersection_over_union() -> None:
    ratio = shared_areas(discs((50, 50, 20, 1)), discs((50, 50, 20, 1), (70, 50, 20, 1), (200, 0, 5, 1)))
    # Two circles of radius r at a distance r share (2π/3 - √3/2) r².
    lens = 2 * np.pi / 3 - np.sqrt(3) / 2
    assert ratio[0] == pytest.approx([1, lens / (2 * np.pi - lens), 0], abs=0.02)


def test_nothing_is_found_in_nothing() -> None:
    empty = discs()
    assert len(without_duplicates(empty)) == len(separated(empty)) == 0
    assert shared_areas(empty, discs((1, 1, 1, 1))).shape == (0, 1)


def one_cell_field() -> SyntheticField:
    outline = 20 * np.column_stack([np.cos(RAY_ANGLES), np.sin(RAY_ANGLES)]) + (61, 47)
    cell = FoundCell(outline.astype(np.float32), 1.0, RED_CELL, False)
    return SyntheticField(np.zeros((96, 128, 3), np.uint8), (cell,), np.zeros((0, 3)), 40.0)


def test_a_perfect_answer_gives_back_the_outline() -> None:
    field = one_cell_field()
    centre, _, shape, kind = batch_of([targets_of(field)])
    kinds = torch.nn.functional.one_hot(kind, len(KINDS)).permute(0, 3, 1, 2).float()
    maps = Maps(torch.logit(centre.clamp(1e-4, 1 - 1e-4)), shape[:, :2], shape[:, 2:], kinds)
    found = stars_of(Maps(*(part.numpy() for part in vars(maps).values())), 0.5)
    assert found.centres == pytest.approx(np.array([[61, 47]]), abs=0.01)
    assert found.radii == pytest.approx(20, abs=0.01)
    assert shape.shape[-2:] == (96 // STRIDE, 128 // STRIDE)
    losses = finder_loss(maps, batch_of([targets_of(field)]))
    assert float(losses["rays"]) == pytest.approx(0, abs=1e-5)


def test_the_centroid_of_a_star_is_that_of_its_area() -> None:
    """The corners of a cell at the edge crowd there, and must not pull its centre to them."""
    corners = np.array([[0, 0], [0, 5], [0, 10], [0, 15], [0, 20], [30, 20], [30, 0]], np.float32)
    x, y, radii = star(FoundCell(corners, 1.0, RED_CELL, True))
    assert (x, y) == pytest.approx((15, 10))
    assert radii[0] == pytest.approx(np.hypot(15, 10) * np.interp(0, [-1, 1], [1, 1]), rel=0.2)
