"""What is said of other people's designs: in README, on the card, and in single sentences."""

from dataclasses import replace
from pathlib import Path

import pytest

from malaria_detect.designs.comparison import DESIGNS, Comparison, Row, Trained
from malaria_detect.metrics import Estimate
from tests.tools.conftest import run
from tests.tools.records import made_up_comparison
from tools.model_card import designs

OURS, WORSE, ALIKE, NOT_RUN = range(4)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return made_up_comparison()


def block_of(folder: Path) -> str:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    return readme.partition("<!-- designs:begin -->\n")[2].partition("\n<!-- designs:end -->")[0]


def trained(row: Row) -> Trained:
    assert row.trained is not None
    return row.trained


def changed(comparison: Comparison, place: int, **fields: object) -> Comparison:
    """The same comparison with other facts of one network."""
    rows = list(comparison.rows)
    rows[place] = replace(rows[place], trained=replace(trained(rows[place]), **fields))  # type: ignore[arg-type]
    return replace(comparison, rows=tuple(rows))


def with_accuracy(comparison: Comparison, place: int, low: float, high: float) -> Comparison:
    row = trained(comparison.rows[place])
    estimates = row.scores.estimates | {"accuracy": Estimate((low + high) / 2, low, high)}
    return changed(comparison, place, scores=replace(row.scores, estimates=estimates))


def test_every_network_stands_with_scores_difference_costs_and_what_is_in_print(
    written: Path, comparison: Comparison
) -> None:
    block = block_of(written)
    for row in comparison.rows[WORSE:NOT_RUN]:
        found = trained(row)
        scores, costs = [
            next(line for line in lines if line.startswith(f"| `{row.network}` "))
            for lines in (table.splitlines() for table in (block, block.partition("| parameters |")[2]))
        ]
        for name in ("accuracy", "roc_auc"):
            estimate = found.scores.estimates[name]
            assert f"| {estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f}) |" in scores
        less = found.minus_ours["accuracy"]
        assert f"{100 * abs(less.value):.1f} (" in scores
        assert "| 128 px | 8,452,130 | 33.9 MB |" in costs
        for name in ("sensitivity", "specificity", "precision", "f1"):
            assert f"{found.scores.estimates[name].value:.3f} (" in block
    assert "accuracy 0.960 (random 70/30) |" in block
    assert "**`resnet34`, ours**" in block
    assert "| `keras-cnn` (2 epochs instead of 30) | " in block
    assert (
        "- `keras-cnn`: Three convolutions; a tutorial; chosen here: the rate; also in print: loss 0.1214; "
        in block
    )


def test_a_row_of_ours_that_is_not_the_shipped_model_is_told(comparison: Comparison) -> None:
    ours = trained(comparison.rows[OURS]).scores
    assert designs.NOT_SHIPPED not in designs.lead(comparison, ours)
    other = with_accuracy(comparison, OURS, 0.2, 0.3)
    assert designs.NOT_SHIPPED in designs.lead(other, ours)


def test_without_ours_nobody_is_called_ours(comparison: Comparison) -> None:
    alone = replace(comparison, rows=comparison.rows[WORSE:])
    ours = trained(comparison.rows[OURS]).scores
    assert "2 networks, ours not among them" in designs.lead(alone, ours)
    assert designs.NOT_SHIPPED not in designs.lead(alone, ours)
    assert "ours**" not in designs.first_table(alone)
    assert designs.overlaps(alone) == designs.training(alone) == ""


def test_a_network_that_was_not_run_stands_with_why_and_in_no_table(written: Path) -> None:
    block = block_of(written)
    (line,) = [line for line in block.splitlines() if line.startswith("- `vgg16-frozen`: A frozen trunk; ")]
    assert " Its weights were not at hand. In print: accuracy 0.960 (random 70/30)." in line
    assert "| `vgg16-frozen` |" not in block


def test_the_block_shows_its_figure_and_stands_on_the_card(written: Path) -> None:
    assert '<img src="reports/designs.svg"' in block_of(written)
    assert block_of(written) in (written / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_differences_are_read_as_their_intervals_allow(comparison: Comparison) -> None:
    less = {"accuracy": Estimate(0.02, 0.01, 0.03)}
    said = designs.differences(changed(comparison, ALIKE, minus_ours=less))
    assert "accuracy is lower than ours by more than differing patients explain for keras-cnn;" in said
    assert "accuracy is higher than ours by more than differing patients explain for resnet18." in said
    less = {"accuracy": Estimate(0.0, -0.01, 0.01)}
    said = designs.differences(changed(comparison, ALIKE, minus_ours=less))
    assert "the difference from ours may be chance among these patients for resnet18." in said
    assert "higher than ours" not in said


def test_whose_interval_overlaps_ours_is_told(comparison: Comparison) -> None:
    apart = with_accuracy(with_accuracy(comparison, OURS, 0.95, 0.98), WORSE, 0.90, 0.94)
    assert "the interval of accuracy of resnet18 overlaps ours" in designs.overlaps(
        with_accuracy(apart, ALIKE, 0.93, 0.96)
    )
    assert "Nobody’s interval" in designs.overlaps(with_accuracy(apart, ALIKE, 0.985, 0.99))
    both = with_accuracy(with_accuracy(apart, ALIKE, 0.97, 0.99), WORSE, 0.90, 0.96)
    assert "the intervals of accuracy of keras-cnn and resnet18 overlap ours" in designs.overlaps(both)


def test_longer_training_and_cut_designs_are_told(comparison: Comparison) -> None:
    said = designs.training(comparison)
    assert said.startswith("Ours was trained for 5 h 33 min, the others for 10 min to 20 min: a part of any")
    assert "1 of the 2 others was not trained quite as designed" in said
    shorter = designs.training(changed(comparison, OURS, training_seconds=60.0))
    assert "Ours was trained for 60 s, the others for 10 min to 20 min. 1 of" in shorter
    uncut = designs.training(changed(comparison, WORSE, changed=()))
    assert "as designed" not in uncut


def test_authors_splits_are_shown_where_they_were_run_and_stamped(
    written: Path,
) -> None:
    block = block_of(written)
    assert "By each author's own split, which puts patients on both sides:" in block
    table = block.partition("By each author's own split")[2]
    assert "| `keras-cnn` |" in table
    assert "| `resnet18` |" not in table  # none of its numbers is in print
    assert designs.beside_authors(None) == ()


def test_without_a_comparison_the_block_says_how_to_make_one(folder: Path) -> None:
    (folder / "reports" / DESIGNS).unlink()
    assert run(folder) == 0
    assert block_of(folder).startswith("No other design was trained here yet: `malaria-detect compare`")


def test_check_notices_a_new_comparison(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "reports" / DESIGNS
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("Its weights were not at hand.", "Nobody had its weights."), encoding="utf-8"
    )
    assert run(folder, "--check") == 1
    said = capsys.readouterr().err
    for name in ("README.md", "MODEL_CARD.md", "designs.svg"):
        assert name in said


def test_a_damaged_comparison_is_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "reports" / DESIGNS).write_text("[1]", encoding="utf-8")
    assert run(folder) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert DESIGNS in line
