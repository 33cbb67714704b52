"""The memory of a whole server: small machines serve some visitors, with memory that the system really limits."""

from pathlib import Path

import pytest

from benchmarks.crowd import known_answers, on_a_small_machine
from benchmarks.serve import SMALL_MACHINES, ours

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("visitors", "megabytes"), SMALL_MACHINES.items())
def test_a_small_machine_serves_its_visitors(
    visitors: int, megabytes: int, sample_cells: Path, shipped_model: Path
) -> None:
    known = known_answers(sorted(sample_cells.rglob("*.png"))[:visitors], shipped_model)
    served = on_a_small_machine(lambda group: ours(group=group), known, megabytes)
    assert served["right"] == visitors
    # None where this user may not limit the memory of processes.
    assert not served["killed"]
