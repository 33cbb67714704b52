"""Numbers as they are written: nothing is rounded into a certainty or given a false sign."""

import math

import pytest

from malaria_detect.metrics import Estimate, formatting


def plain(text: str) -> str:
    return text.replace(formatting.NO_BREAK, " ")


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        *[(0.0, 1, "0 %"), (1e-9, 1, "< 0.1 %"), (0.0005, 1, "0.1 %"), (0.5, 1, "50.0 %"), (1.0, 1, "100 %")],
        *[(0.9996, 1, "> 99.9 %"), (1e-6, 2, "< 0.01 %"), (0.99994, 2, "99.99 %"), (0.995, 0, "> 99 %")],
    ],
)
def test_percent_is_0_or_100_only_if_the_share_is(share: float, decimals: int, text: str) -> None:
    assert plain(formatting.format_percent(share, decimals)) == text
    assert " " not in formatting.format_percent(share, decimals)


@pytest.mark.parametrize("value", [0.5, 0.99961, 0.9999999, 0.0003])
def test_a_threshold_is_written_so_that_it_stays_between_0_and_1(value: float) -> None:
    assert 0 < float(formatting.format_threshold(value)) < 1
    assert 0 < float(plain(formatting.format_threshold_percent(value)).removesuffix(" %")) < 100


def test_undefined_numbers_are_a_dash() -> None:
    writers = (
        formatting.format_score,
        formatting.format_percent,
        formatting.format_parasitemia,
        formatting.format_signed,
    )
    assert {write(math.nan) for write in writers} == {formatting.MISSING}
    assert formatting.format_estimate(Estimate(0.5, math.nan, math.nan)) == "0.500"
