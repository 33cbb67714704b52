"""The memory of a whole server: small machines serve some visitors, with memory that the system limits."""

import sys
from pathlib import Path

import pytest

from benchmarks.crowd import known_answers, on_a_small_machine
from benchmarks.memory import memory_group
from benchmarks.serve import SMALL_MACHINES, ours

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has control groups"),
]


@pytest.fixture
def _limited() -> None:
    with memory_group(64) as group:
        if group is None:
            pytest.skip("control groups cannot be used here: needs root, and /sys/fs/cgroup to be writable")


@pytest.mark.usefixtures("_limited")
@pytest.mark.parametrize(("visitors", "mebibytes"), SMALL_MACHINES.items())
def test_a_small_machine_serves_its_visitors(
    visitors: int, mebibytes: int, sample_cells: Path, shipped_model: Path
) -> None:
    known = known_answers(sorted(sample_cells.rglob("*.png"))[:visitors], shipped_model)
    served = on_a_small_machine(lambda group: ours(group=group), known, mebibytes)
    assert (served["right"], served["killed"]) == (visitors, 0)


@pytest.mark.usefixtures("_limited")
def test_a_machine_that_is_too_small_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="did not come up"):
        on_a_small_machine(lambda group: ours(group=group), [], 32)
    assert "killed 1 processes" in capsys.readouterr().out
