import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from malaria_detect.core.atomic import WriteError
from malaria_detect.core.csv_io import CsvError, growing_csv, read_rows, write_rows
from tests.refused import refused

COLUMNS = ("file", "label")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def test_rows_come_back_with_their_line(file: Path) -> None:
    write_rows(file, COLUMNS, [("a,b.png", "é"), ("c.png", 1)])
    assert list(read_rows(file, COLUMNS)) == [
        (f"{file}, line 2", ["a,b.png", "é"]),
        (f"{file}, line 3", ["c.png", "1"]),
    ]


def test_odd_file_names_do_not_break_the_table(file: Path) -> None:
    write_rows(file, COLUMNS, [("\udcff.png", "1"), ("a\rb.png", "2"), ('"', "3")])
    read = [values for _, values in read_rows(file, COLUMNS)]
    assert read == [[r"\udcff.png", "1"], ["a\rb.png", "2"], ['"', "3"]]


def test_a_byte_order_mark_and_empty_lines_are_skipped(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbffile,label\r\n\r\na,b\r\n")
    assert [values for _, values in read_rows(file, COLUMNS)] == [["a", "b"]]


def test_tables_begin_with_the_mark_by_which_spreadsheets_know_utf8(file: Path) -> None:
    write_rows(file, COLUMNS, [])
    assert file.read_bytes() == b"\xef\xbb\xbffile,label\r\n"


@pytest.mark.parametrize(
    "name",
    [
        *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "\uff1d1"),
        *("'=1", "''@", "'a", "'", "a=1", "細胞.png", 'a "b", c', "a\nb", " =1"),
    ],
)
def test_a_name_that_a_spreadsheet_would_run_is_guarded_and_comes_back(file: Path, name: str) -> None:
    write_rows(file, COLUMNS, [(name, -0.5)])
    with file.open(encoding="utf-8-sig", newline="") as table:
        _, (written, number) = csv.reader(table)
    assert not written.startswith(tuple("=+-@\t\r\n\uff1d"))
    assert number == "-0.5"
    assert [values for _, values in read_rows(file, COLUMNS)] == [[name, "-0.5"]]


def test_a_growing_table_has_every_line_at_once(file: Path) -> None:
    with growing_csv(file) as table:
        for number in range(3):
            table.write(f"{number}\r\n")
            assert file.read_text(encoding="utf-8-sig").split() == [str(n) for n in range(number + 1)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "bad_columns"),
        (b"label,file\n", "bad_columns"),
        (b"file,label\na\n", "bad_row"),
        (b'file,label\n"a,b\n', "unreadable"),
        (b"file,label\n\xff\xfe,b\n", "unreadable"),
        (None, "unreadable"),
    ],
)
def test_other_files_are_refused_by_name(file: Path, content: bytes | None, reason: str) -> None:
    if content is not None:
        file.write_bytes(content)
    with refused(CsvError, reason, naming=file):
        list(read_rows(file, COLUMNS))


def test_an_old_table_stays_if_the_new_one_cannot_be_finished(file: Path) -> None:
    write_rows(file, COLUMNS, [("old", "1")])

    def rows() -> Iterator[Sequence[object]]:
        yield "new", "1"
        raise OSError(28, "No space left on device")

    with refused(WriteError, "not_writable"):
        write_rows(file, COLUMNS, rows())
    assert [values for _, values in read_rows(file, COLUMNS)] == [["old", "1"]]
    assert [path.name for path in file.parent.iterdir()] == ["table.csv"]
