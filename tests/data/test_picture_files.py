import os
from pathlib import Path

import pytest
from PIL import Image

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.picture_files import (
    HIDDEN,
    OTHER,
    REPEATED,
    UNREADABLE,
    find_pictures,
    pictures_in,
    skipped_sentence,
)
from tests.refused import refused

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(*names: str, kind: str = "PNG") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(name, kind)


def found(*given: str) -> list[str]:
    return [path.as_posix() for path in find_pictures(given).paths]


def test_pictures_are_known_by_their_content_or_their_name(folder: Path) -> None:
    save("a.PNG", "no suffix", "cell.txt", "below/more/z.dat")
    for name, kind in (
        ("b.jfif", "JPEG"),
        ("c.jpe", "JPEG"),
        ("d", "BMP"),
        ("e", "WEBP"),
        ("f", "TIFF"),
        ("g", "GIF"),
    ):
        save(name, kind=kind)
    for name in ("h.HEIC", "i"):
        Path(name).write_bytes(HEIC)
    Path("damaged.png").touch()
    pictures = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    for name, text in (
        ("notes.md", "text"),
        ("table.csv", "BMI,patient\n"),
        ("film.mov", "\0\0\0\x14ftypqt  "),
    ):
        Path(name).write_text(text, encoding="utf-8")
    assert list(pictures_in(Path()).paths) == pictures
    assert {path.name for kind, path in pictures_in(Path()).skipped if kind == OTHER} == {
        "notes.md",
        "table.csv",
        "film.mov",
    }


def test_what_a_mac_and_windows_leave_behind_is_skipped_and_counted(folder: Path) -> None:
    save("cells/a.png")
    hidden = [
        "._a.png",
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "__MACOSX/b.png",
        ".trash/c.png",
        "@eaDir/d.png",
    ]
    save(*(f"cells/{name}" for name in hidden))
    assert found("cells") == ["cells/a.png"]
    skipped = find_pictures(["cells"]).skipped
    assert {kind for kind, _ in skipped} == {HIDDEN}
    assert len(skipped) == len(hidden)
    sentence = skipped_sentence(skipped)
    assert str(len(hidden)) in sentence
    assert len(sentence.splitlines()) == 1
    # What is given by its name is never skipped.
    assert found("cells/._a.png", "cells/.trash") == ["cells/._a.png", "cells/.trash/c.png"]


@pytest.mark.skipif(os.name == "nt", reason="needs the right to make links")
def test_links_are_followed_circles_end_and_no_file_is_listed_twice(folder: Path) -> None:
    save("cells/b.png", "elsewhere/c.png", "elsewhere/.store/d.png")
    for target, link in (
        *((".", "cells/self"), ("..", "cells/up"), ("b.png", "cells/a.png"), ("lost", "cells/lost.png")),
        *(("../elsewhere", "cells/linked"), ("../elsewhere/.store/d.png", "cells/d.png"), ("cells", "shelf")),
    ):
        Path(link).symlink_to(target)
    below = ["b.png", "d.png", "linked/c.png", "lost.png"]
    assert found("cells") == [f"cells/{name}" for name in below]
    assert found("shelf") == [f"shelf/{name}" for name in below]
    assert (REPEATED, Path("cells/a.png")) in find_pictures(["cells"]).skipped
    assert found("cells", "cells/b.png", "shelf", "cells/*.png") == ["cells/" + name for name in below]
    assert found("cells/a.png", "cells/b.png") == ["cells/a.png", "cells/b.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_in_a_folder_is_not_waited_for(folder: Path) -> None:
    os.mkfifo("pipe")
    assert pictures_in(Path()).skipped == ((OTHER, Path("pipe")),)


def test_names_with_brackets_are_names_before_they_are_patterns(folder: Path) -> None:
    save(
        "batch [1]/a.png", "batch [1]/b [2] c.png", "batch [1]/d7.png", "batch 1/e.png", "x[1].png", "x1.png"
    )
    first = ["batch [1]/a.png", "batch [1]/b [2] c.png", "batch [1]/d7.png"]
    for pattern in ("batch [1]", "batch [1]/*.png", "batch [1]/*", "batch [1]/**"):
        assert found(pattern) == first
        assert found(str(folder / pattern)) == [(folder / name).as_posix() for name in first]
    assert found("batch [1]/d[0-9].png") == ["batch [1]/d7.png"]
    assert found("batch [1]/b [2]*.png") == ["batch [1]/b [2] c.png"]
    assert found("x[1].png") == ["x[1].png"]
    assert found("batch*") == ["batch 1/e.png", *first]
    assert found("**/*7.png", "no*.png") == ["batch [1]/d7.png", "no*.png"]


def test_the_home_folder_is_known_and_impossible_names_are_left_to_the_reader(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    save("a.png")
    assert found("~/*.png") == [(folder / "a.png").as_posix()]
    impossible = ["~nobody-of-this-name/a.png", "x" * 300, "y" * 300 + "*"]
    assert found(*impossible) == impossible


@pytest.mark.parametrize("given", [("",), ("a.png", "")])
def test_an_empty_name_does_not_stand_for_this_folder(folder: Path, given: tuple[str, ...]) -> None:
    save("a.png")
    with refused(MalariaDetectError, "empty_path"):
        find_pictures(given)
    assert found(".") == ["a.png"]


def test_what_is_skipped_is_counted_in_one_and_in_many() -> None:
    files = [Path(f"a/{number}") for number in range(4)]
    for kind in (HIDDEN, OTHER, REPEATED, UNREADABLE):
        assert kind in skipped_sentence(tuple((kind, path) for path in files))
        one = skipped_sentence(((kind, files[0]),))
        assert one.startswith("1 ")
        assert kind not in one


def test_a_folder_that_cannot_be_read_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save("cells/a.png", "cells/locked/b.png")
    scandir = os.scandir

    def refusing(path: Path) -> "os._ScandirIterator[str]":
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root may read everything
    assert find_pictures(["cells"]).skipped == ((UNREADABLE, Path("cells/locked")),)
    assert find_pictures(["cells/locked"]).skipped == ((UNREADABLE, Path("cells/locked")),)
