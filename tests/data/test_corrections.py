"""Corrections: what verdicts do to cells and scores, and a file that loses none of them."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.corrections import (
    WITHDRAWN,
    Correction,
    Corrections,
    LabelsError,
    account,
    append_corrections,
    corrected_labels,
    read_corrections,
)
from malaria_detect.data.nlm_cells import CLASSES
from tests.refused import refused

PARASITIZED, UNINFECTED = CLASSES
HEAD = "file,label,verdict,corrected\r\n"
THREE = (
    Correction("a.png", PARASITIZED, "disagree"),
    Correction("b.png", UNINFECTED, "agree"),
    Correction("c.png", UNINFECTED, "unsure"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corrections.csv"


def test_a_verdict_is_about_the_published_label() -> None:
    for verdict, corrected in (("agree", UNINFECTED), ("disagree", PARASITIZED), (WITHDRAWN, UNINFECTED)):
        assert Correction("a.png", UNINFECTED, verdict).corrected == corrected
    with refused(LabelsError, "unknown_verdict"):
        Correction("a.png", PARASITIZED, "yes")
    with refused(LabelsError, "unknown_class"):
        Correction("a.png", "infected", "agree")


def test_labels_are_changed_left_out_or_kept_as_the_verdicts_say() -> None:
    files, labels = ["d.png", "c.png", "b.png", "a.png"], [PARASITIZED, UNINFECTED, UNINFECTED, PARASITIZED]
    assert corrected_labels(files, labels, Corrections(THREE)) == (PARASITIZED, None, UNINFECTED, UNINFECTED)
    assert corrected_labels(files, labels, Corrections()) == tuple(labels)


@pytest.mark.parametrize(("file", "reason"), [("x.png", "other_cells"), ("b.png", "other_labels")])
def test_corrections_of_other_cells_or_labels_are_refused(file: str, reason: str) -> None:
    with refused(LabelsError, reason):
        corrected_labels([file], [PARASITIZED], Corrections(THREE))


def test_verdicts_on_other_cells_are_counted() -> None:
    said = "2 verdicts: 1 kept, 0 changed, 1 left out as unsure. 1 more are about other cells."
    assert account(["b.png", "c.png", "d.png"], Corrections(THREE)) == said


def test_verdicts_are_appended_and_read_again(path: Path) -> None:
    assert append_corrections(path, THREE) == Corrections(THREE) == read_corrections(path)
    start = path.read_bytes()
    assert start.decode() == (
        f"\ufeff{HEAD}a.png,Parasitized,disagree,Uninfected\r\nb.png,Uninfected,agree,Uninfected\r\n"
        "c.png,Uninfected,unsure,\r\n"
    )
    missing = path.parent / "nowhere" / path.name
    with refused(LabelsError, "unwritable"):
        append_corrections(missing, THREE)
    more = Correction("d, é\n.png", PARASITIZED, "agree")
    assert append_corrections(path, [more]).verdicts == (*THREE, more)
    assert path.read_bytes().startswith(start)


def test_the_last_verdict_counts_and_can_be_withdrawn(path: Path) -> None:
    for word in ("agree", "unsure", WITHDRAWN, "agree"):
        verdict = Correction("a.png", PARASITIZED, word)
        assert append_corrections(path, [verdict]).verdicts == (() if word == WITHDRAWN else (verdict,))
    assert len(path.read_text(encoding="utf-8").splitlines()) == 5


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + HEAD.encode() + b"b.png,Uninfected,agree,Uninfected\r\n\r\n",
        HEAD.replace("\r", "").encode() + b"b.png,Uninfected,agree,Uninfected",
        2 * f"\ufeff{HEAD}".encode() + b"b.png,Uninfected,agree,Uninfected\r\n",
        HEAD.encode() + b"b.png,Uninfected,unsure,\r\nb.png,Uninfected,agree,Uninfected\r\n",
    ],
    ids=["saved by a spreadsheet", "no last line end", "two headers", "two verdicts"],
)
def test_files_that_others_have_written_are_read_and_continued(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_corrections(path).verdicts == THREE[1:2]
    assert append_corrections(path, THREE[:1]).verdicts == (THREE[1], THREE[0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("file;label;verdict;corrected\n", "bad_columns"),
        (HEAD + "a.png,Parasitized\n", "bad_row"),
        (HEAD + "a.png,Parasitized,maybe,\n", "unknown_verdict"),
        (HEAD + "a.png,infected,agree,infected\n", "unknown_class"),
        (HEAD + "a.png,Parasitized,disagree,Parasitized\n", "wrong_corrected"),
        (HEAD + '"a.png,Parasitized\n', "unreadable"),
    ],
)
def test_a_broken_file_is_refused_by_name_and_left_alone(content: str, reason: str, path: Path) -> None:
    path.write_text(content, encoding="utf-8", newline="")
    with refused(MalariaDetectError, reason, naming=path):
        read_corrections(path)
    with refused(MalariaDetectError, reason, naming=path):
        append_corrections(path, THREE)
    assert path.read_bytes().decode() == content


def test_many_writers_at_once_lose_nothing(path: Path) -> None:
    def write(number: int) -> None:
        append_corrections(path, [Correction(f"{number}.png", PARASITIZED, "agree")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert {one.file for one in read_corrections(path).verdicts} == {f"{number}.png" for number in range(40)}


@pytest.mark.skipif(os.name == "nt", reason="POSIX resource limits")
def test_a_full_disk_leaves_the_file_as_it_was(path: Path) -> None:
    append_corrections(path, THREE)
    before = path.read_bytes()
    program = f"""
import resource
from malaria_detect.data.corrections import Correction, LabelsError, append_corrections
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 10}, {len(before) + 10}))
try:
    append_corrections({str(path)!r}, [Correction("d.png", "Parasitized", "agree")])
except LabelsError as error:
    print(error.reason)
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "unwritable\n"
    assert path.read_bytes() == before
