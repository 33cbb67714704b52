"""Corrections: what verdicts do to cells and scores, and a file that loses none of them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data import corrections as module
from malaria_detect.data.corrections import (
    Correction,
    Corrections,
    LabelsError,
    account,
    change_verdict,
    corrected_labels,
    read_corrections,
    write_corrections,
)
from malaria_detect.data.nlm_cells import CLASSES, Cell, find_cells
from malaria_detect.evaluation.cross_validation import HeldOut
from malaria_detect.evaluation.label_issues import with_corrections

PARASITIZED, UNINFECTED = CLASSES
HEAD = "file,label,verdict,corrected\n"
THREE = Corrections(
    (
        Correction("a.png", PARASITIZED, "disagree"),
        Correction("b.png", UNINFECTED, "agree"),
        Correction("c.png", UNINFECTED, "unsure"),
    )
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corrections.csv"


def verdicts_of(cells: Sequence[Cell], *verdicts: str) -> Corrections:
    """The verdicts on the first cells, in this order."""
    return Corrections(
        tuple(
            Correction(cell.path.name, cell.label, verdict)
            for cell, verdict in zip(cells, verdicts, strict=False)
        )
    )


# What a verdict means


@pytest.mark.parametrize(
    ("label", "verdict", "corrected"),
    [
        (PARASITIZED, "agree", PARASITIZED),
        (PARASITIZED, "disagree", UNINFECTED),
        (UNINFECTED, "disagree", PARASITIZED),
        (UNINFECTED, "unsure", None),
    ],
)
def test_a_verdict_is_about_the_published_label(label: str, verdict: str, corrected: str | None) -> None:
    assert Correction("a.png", label, verdict).corrected == corrected


@pytest.mark.parametrize(
    ("label", "verdict", "words"),
    [
        (PARASITIZED, "yes", "'yes'; wanted is agree, disagree or unsure"),
        ("infected", "agree", "'infected'; wanted is Para"),
    ],
)
def test_what_is_no_verdict_or_no_class_is_refused(label: str, verdict: str, words: str) -> None:
    with pytest.raises(LabelsError, match=words):
        Correction("a.png", label, verdict)


def test_two_verdicts_on_one_cell_are_refused() -> None:
    with pytest.raises(LabelsError, match=r"a\.png has 2 verdicts"):
        Corrections((Correction("a.png", PARASITIZED, "agree"), Correction("a.png", PARASITIZED, "unsure")))


# What corrections do


def test_labels_are_turned_over_left_out_or_kept_as_the_verdicts_say(drawn_cells: Path) -> None:
    cells = find_cells(drawn_cells).cells
    files, labels = [cell.path.name for cell in cells], [cell.label for cell in cells]
    corrected = corrected_labels(files, labels, verdicts_of(cells, "disagree", "unsure", "agree"))
    assert corrected == (UNINFECTED, None, *labels[2:])


def test_held_out_predictions_get_the_corrected_labels_beside_the_published_ones() -> None:
    labels = (PARASITIZED, UNINFECTED, UNINFECTED, PARASITIZED)
    held_out = HeldOut(
        ("a.png", "b.png", "c.png", "d.png"), ("P",) * 4, (1,) * 4, labels, (0.1, 0.2, 0.3, 0.4), labels
    )
    corrected = with_corrections(held_out, THREE)
    assert corrected.corrected == (UNINFECTED, UNINFECTED, "", PARASITIZED)
    assert (corrected.labels, corrected.probability) == (labels, held_out.probability)


def test_no_corrections_change_nothing() -> None:
    assert corrected_labels(["x.png"], [PARASITIZED], Corrections()) == (PARASITIZED,)


def test_corrections_of_other_cells_are_refused_and_one_is_named() -> None:
    with pytest.raises(LabelsError, match=r"None of the 3 verdicts is on any of these 1 cells.*a\.png"):
        corrected_labels(["x.png"], [PARASITIZED], THREE)


def test_a_verdict_about_another_label_than_the_published_one_is_refused() -> None:
    with pytest.raises(LabelsError, match=r"b\.png is about the label Uninfected.*published as Parasitized"):
        corrected_labels(["b.png"], [PARASITIZED], THREE)


def test_verdicts_on_cells_that_are_not_here_change_nothing_and_are_counted() -> None:
    files, labels = ["b.png", "c.png", "d.png"], [UNINFECTED, UNINFECTED, PARASITIZED]
    assert corrected_labels(files, labels, THREE) == (UNINFECTED, None, PARASITIZED)
    assert account(files, THREE) == (
        "2 verdicts: 1 kept, 0 turned over, 1 left out as unsure. There are 1 more, on cells that are not here."
    )


# The file


def test_the_file_has_the_four_columns_and_is_read_again(path: Path) -> None:
    assert write_corrections(THREE, path) == THREE == read_corrections(path)
    assert path.read_text(encoding="utf-8") == (
        HEAD
        + "a.png,Parasitized,disagree,Uninfected\n"
        + "b.png,Uninfected,agree,Uninfected\n"
        + "c.png,Uninfected,unsure,\n"
    )


def test_a_file_that_a_spreadsheet_has_saved_is_read(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.strip().encode() + b"\r\na.png,Parasitized,unsure,\r\n\r\n")
    assert read_corrections(path) == Corrections((Correction("a.png", PARASITIZED, "unsure"),))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has the columns ''"),
        ("file;label;verdict;corrected\n", "has the columns 'file;label"),
        (HEAD + "a.png,Parasitized\n", "line 2 has 2 values"),
        (HEAD + "a.png,Parasitized,maybe,\n", "line 2: The verdict on a.png is 'maybe'"),
        (HEAD + "a.png,infected,agree,infected\n", "line 2: The label of a.png is 'infected'"),
        (
            HEAD + "a.png,Parasitized,disagree,Parasitized\n",
            "line 2: disagree about Parasitized makes it Uninfected, and not 'Parasitized'",
        ),
        (HEAD + "a.png,Parasitized,unsure,Uninfected\n", "makes it no label at all"),
        (HEAD + "a.png,Parasitized,unsure,\na.png,Parasitized,unsure,\n", "a.png has 2 verdicts"),
        (HEAD + '"a.png,Parasitized\n', "cannot be read"),
    ],
)
def test_a_broken_file_is_refused_by_line_and_never_written_over(
    content: str, words: str, path: Path
) -> None:
    path.write_text(content, encoding="utf-8")
    with pytest.raises(MalariaDetectError, match=words) as refusal:
        read_corrections(path)
    assert "\n" not in str(refusal.value)
    with pytest.raises(MalariaDetectError, match=words):
        write_corrections(THREE, path)
    with pytest.raises(MalariaDetectError, match=words):
        change_verdict(path, "z.png", Correction("z.png", PARASITIZED, "agree"), None)
    assert path.read_text(encoding="utf-8") == content


def test_a_missing_file_is_told_when_it_is_read(path: Path) -> None:
    with pytest.raises(MalariaDetectError, match="cannot be read"):
        read_corrections(path)


def test_writing_keeps_the_verdicts_that_are_there_and_the_new_one_stands(path: Path) -> None:
    write_corrections(THREE, path)
    more = Corrections((Correction("d.png", PARASITIZED, "agree"), Correction("a.png", PARASITIZED, "agree")))
    found = write_corrections(more, path)
    assert [(one.file, one.verdict) for one in found.verdicts] == [
        ("a.png", "agree"),
        ("b.png", "agree"),
        ("c.png", "unsure"),
        ("d.png", "agree"),
    ]
    assert read_corrections(path) == found


def test_a_verdict_is_given_changed_and_taken_back(path: Path) -> None:
    first, second = (Correction("a.png", PARASITIZED, verdict) for verdict in ("agree", "unsure"))
    assert change_verdict(path, "a.png", first, None).verdicts == (first,)
    assert change_verdict(path, "a.png", second, first).verdicts == (second,)
    assert change_verdict(path, "a.png", None, second).verdicts == ()
    assert path.read_text(encoding="utf-8") == HEAD


@pytest.mark.parametrize("theirs", ["disagree", None])
def test_a_verdict_that_somebody_else_changed_meanwhile_is_not_written_over(
    theirs: str | None, path: Path
) -> None:
    ours = Correction("a.png", PARASITIZED, "agree")
    write_corrections(Corrections((Correction("a.png", PARASITIZED, theirs),) if theirs else ()), path)
    before = path.read_bytes()
    with pytest.raises(LabelsError, match="changed by somebody else"):
        change_verdict(path, "a.png", Correction("a.png", PARASITIZED, "unsure"), ours)
    assert path.read_bytes() == before


def test_many_writers_at_once_lose_nothing(path: Path) -> None:
    def write(number: int) -> None:
        change_verdict(path, f"{number}.png", Correction(f"{number}.png", PARASITIZED, "agree"), None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert {one.file for one in read_corrections(path).verdicts} == {f"{number}.png" for number in range(40)}


def test_a_file_that_another_program_holds_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0)
    with (
        FileLock(path.with_name(f".{path.name}.lock")),
        pytest.raises(LabelsError, match="being written by another program"),
    ):
        write_corrections(THREE, path)


def test_a_failed_write_leaves_the_old_file(path: Path) -> None:
    write_corrections(THREE, path)
    path.with_name("corrections.csv.part").mkdir()  # stands in the way of the new file
    with pytest.raises(MalariaDetectError, match="cannot be written"):
        write_corrections(Corrections((Correction("d.png", PARASITIZED, "agree"),)), path)
    assert read_corrections(path) == THREE


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MalariaDetectError, match="cannot be written"):
        write_corrections(THREE, tmp_path / "nowhere" / "corrections.csv")
