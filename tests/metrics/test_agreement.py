import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malaria_detect.metrics import MetricsError
from malaria_detect.metrics.agreement import BANDS, agreement, detection_by_band
from tests.refused import refused


def test_agreement_known_by_hand() -> None:
    found = agreement([0.0, 0.01, 0.04, 0.2], [0.005, 0.015, 0.05, 0.18])
    # Relative errors 0.5, 0.25 and 0.1; differences +0.5, +0.5, +1 and -2 points.
    assert found.median_error == pytest.approx(0.25)
    assert (found.within_quarter.hits, found.within_quarter.total) == (2, 3)
    assert (found.within_half_point.hits, found.within_half_point.total) == (2, 4)
    spread = np.std([0.005, 0.005, 0.01, -0.02], ddof=1)
    assert [found.bias, found.low, found.high] == pytest.approx([0, -1.96 * spread, 1.96 * spread], abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_every_patient_is_in_one_band(patients: list[tuple[float, bool]]) -> None:
    true, detected = zip(*patients, strict=True)
    bands = detection_by_band(true, detected)
    assert sum(band.detected.total or 0 for band in bands) == len(true)
    assert sum(band.detected.hits or 0 for band in bands) == sum(detected)
    for band in bands:
        inside = [one for one in true if band.above < one <= band.upto or one == band.upto == 0]
        assert len(inside) == band.detected.total
    assert [band.upto for band in bands] == [upto for upto in BANDS if upto in {band.upto for band in bands}]


@pytest.mark.parametrize(("true", "estimated"), [([0.1], [0.1, 0.2]), ([0.0], [0.1]), ([], [])])
def test_agreement_needs_infected_patients_with_estimates(true: list[float], estimated: list[float]) -> None:
    with refused(MetricsError, "bad_counts"):
        agreement(true, estimated)
