from pathlib import Path

import pytest

from malaria_detect.core.csv_io import CsvError, read_rows, write_rows

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


def test_a_byte_order_mark_and_empty_lines_are_passed_over(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbffile,label\r\n\r\na,b\r\n")
    assert [values for _, values in read_rows(file, COLUMNS)] == [["a", "b"]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has the columns ''"),
        (b"label,file\n", "has the columns 'label,file'"),
        (b"file,label\na\n", "line 2 has 1 values"),
        (b'file,label\n"a,b\n', "cannot be read"),
        (b"file,label\n\xff\xfe,b\n", "cannot be read"),
    ],
)
def test_what_is_no_such_table_is_refused_with_its_place(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    with pytest.raises(CsvError, match=rf"{said}.*the columns file,label"):
        list(read_rows(file, COLUMNS))


def test_a_missing_file_is_refused(file: Path) -> None:
    with pytest.raises(CsvError, match=r"cannot be read \(No such file"):
        list(read_rows(file, COLUMNS))


def test_an_old_table_stays_where_a_new_one_cannot_be_finished(file: Path) -> None:
    write_rows(file, COLUMNS, [("old", "1")])

    def rows() -> object:
        yield "new", "1"
        raise OSError(28, "No space left on device")

    with pytest.raises(CsvError, match=r"cannot be written \(No space left"):
        write_rows(file, COLUMNS, rows())  # type: ignore[arg-type]
    assert [values for _, values in read_rows(file, COLUMNS)] == [["old", "1"]]
    assert [path.name for path in file.parent.iterdir()] == ["table.csv"]
