"""Log-odds that are moved so that 0 is an even chance."""

import numpy as np
import pytest
import torch
from fastai.vision.all import create_head
from scipy.special import expit

from malaria_detect.training.centred import even_chance, lower_log_odds


def test_the_even_chance_of_cells_that_are_drawn_with_one_is_found() -> None:
    rng = np.random.default_rng(3)
    odds = rng.normal(1, 4, 20_000)
    parasitized = rng.random(20_000) < expit(1.7 * (odds - 0.6))
    assert even_chance(odds, parasitized) == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_the_even_chance_of_a_network_that_knows_nothing_is_among_its_log_odds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 1e-3, 40)
    found = even_chance(odds, rng.random(40) < 0.9)
    assert found == 0 or odds.min() <= found <= odds.max()


def test_the_log_odds_of_a_head_fall_for_all_cells_alike() -> None:
    torch.manual_seed(0)
    head = create_head(32, 2).eval()[2:]
    cells = torch.randn(5, 64)
    before = head(cells).detach()
    lower_log_odds(head, 0.75)
    fallen = head(cells).detach() - before
    torch.testing.assert_close(fallen[:, 0] - fallen[:, 1], torch.full((5,), -0.75))
