import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from malaria_detect.core.atomic import replaced, write_text

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX modes, links, pipes and signals")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "scores.txt"
    path.write_text("old")
    return path


def only_file_in(folder: Path) -> str:
    (name,) = (path.name for path in folder.iterdir())
    return name


def test_readers_see_the_old_file_until_the_new_one_is_complete(target: Path) -> None:
    with replaced(target) as new:
        new.write_text("new")
        assert target.read_text() == "old"
        assert new.parent == target.parent
    assert target.read_text() == "new"
    assert only_file_in(target.parent) == "scores.txt"


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["scores.txt", "new.txt"])
def test_failure_keeps_the_old_file_and_leaves_no_other(
    target: Path, name: str, error: type[BaseException]
) -> None:
    def write_half() -> None:
        with replaced(target.with_name(name)) as new:
            new.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert target.read_text() == "old"
    assert only_file_in(target.parent) == "scores.txt"


@pytest.mark.parametrize("exists", [True, False])
def test_links_are_followed(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "scores.txt", tmp_path / "link.txt"
    if exists:
        real.write_text("old")
    link.symlink_to(Path("elsewhere", "scores.txt"))
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_an_existing_file_keeps_its_mode_and_a_new_one_has_that_of_any_new_file(target: Path) -> None:
    for mode in (0o600, 0o640, 0o755):
        target.chmod(mode)
        write_text(target, "new")
        assert stat.S_IMODE(target.stat().st_mode) == mode
    ours, plain = target.with_name("ours"), target.with_name("plain")
    write_text(ours, "")
    plain.touch()
    assert ours.stat().st_mode == plain.stat().st_mode


def test_owner_is_kept_if_the_system_allows_it(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    write_text(target, "new")
    assert target.read_text() == "new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "0.977")
    reader.join()
    assert read == ["0.977"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert only_file_in(tmp_path) == "pipe"


def test_standard_output_is_written_to() -> None:
    program = "from malaria_detect.core.atomic import write_text; write_text('/dev/stdout', '0.977')"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "0.977"


def test_a_read_only_file_is_not_replaced_and_a_missing_folder_is_an_error(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.chmod(0o444)
    # Root may write everything, so the answer of the system is given here.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError):
        write_text(target, "new")
    assert target.read_text() == "old"
    with pytest.raises(FileNotFoundError):
        write_text(target.parent / "nowhere" / "scores.txt", "")


@pytest.mark.parametrize("name", ["n" * 255, "name with ü and spaces", "-x", ".hidden"])
def test_any_file_name_the_system_allows_will_do(tmp_path: Path, name: str) -> None:
    if len(os.fsencode(name)) <= os.pathconf(tmp_path, "PC_NAME_MAX"):
        write_text(tmp_path / name, "a\r\nb\n")
        assert (tmp_path / name).read_bytes() == b"a\r\nb\n"
