import os
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from malaria_detect.core.atomic import WriteError, check_writable, growing, replaced, write_text
from tests.refused import refused

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX modes, links, pipes and signals")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "scores.txt"
    path.write_text("old")
    return path


def only_file_in(folder: Path) -> str:
    (name,) = (path.name for path in folder.iterdir())
    return name


def write_with(writer: Any, path: Path, content: bytes) -> None:
    with writer(path) as new:
        if isinstance(new, Path):
            new.write_bytes(content)
        else:
            new.write(content)


def test_readers_see_the_old_file_until_the_new_one_is_complete(target: Path) -> None:
    with replaced(target) as new:
        new.write_text("new")
        assert target.read_text() == "old"
        assert new.parent == target.parent
    assert target.read_text() == "new"
    assert only_file_in(target.parent) == "scores.txt"


@pytest.mark.parametrize(
    ("error", "raised"), [(ValueError,) * 2, (KeyboardInterrupt,) * 2, (OSError, WriteError)]
)
@pytest.mark.parametrize("name", ["scores.txt", "new.txt"])
def test_failure_keeps_the_old_file_and_leaves_no_other(
    target: Path, name: str, error: type[BaseException], raised: type[BaseException]
) -> None:
    def write_half() -> None:
        with replaced(target.with_name(name)) as new:
            new.write_text("half")
            raise error

    with pytest.raises(raised):
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


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize(
    "write", ["write_text(path, 'scores')", "with growing(path) as f: f.write(b'scores')"]
)
def test_standard_output_is_continued_whatever_it_is(tmp_path: Path, name: str, write: str) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    program = (
        "import sys; from malaria_detect.core.atomic import growing, write_text; path = sys.argv[1]\n" + write
    )
    command = [sys.executable, "-c", program, str(tmp_path / name)]
    assert subprocess.check_output(command, text=True) == "scores"
    with (tmp_path / "log").open("a") as log:
        log.write("before ")
        log.flush()
        subprocess.run(command, check=True, stdout=log)
        subprocess.run(["echo", " after"], check=True, stdout=log)
    assert (tmp_path / "log").read_text() == "before scores after\n"


@pytest.mark.parametrize("writer", [replaced, growing])
def test_devices_stay_devices(tmp_path: Path, writer: Any) -> None:
    link = tmp_path / "link"
    for device in ("/dev/null", "/dev/full"):
        link.symlink_to(device)
        for path in (Path(device), link):
            with refused(WriteError, "not_writable") if device == "/dev/full" else nullcontext():
                write_with(writer, path, b"scores")
            assert stat.S_ISCHR(path.stat().st_mode)
        link.unlink()


@pytest.mark.parametrize("writer", [replaced, growing])
def test_a_reader_that_ends_early_is_no_fault_of_the_file(tmp_path: Path, writer: Any) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: pipe.open("rb").close())
    reader.start()
    with pytest.raises(BrokenPipeError):
        write_with(writer, pipe, bytes(1_000_000))
    reader.join()


def test_a_second_name_of_a_file_stays_one(target: Path) -> None:
    second = target.with_name("second.txt")
    second.hardlink_to(target)
    write_text(target, "new")
    assert (second.read_text(), second.stat().st_nlink) == ("new", 2)


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o000])
@pytest.mark.parametrize("writer", [replaced, growing, check_writable])
def test_a_read_only_file_stays_even_if_root_writes(target: Path, mode: int, writer: Any) -> None:
    target.chmod(mode)
    with refused(WriteError, "not_writable"), writer(target) or nullcontext():
        pass
    target.chmod(0o600)
    assert target.read_text() == "old"
    assert only_file_in(target.parent) == "scores.txt"


@pytest.mark.parametrize("writer", [replaced, growing, check_writable])
@pytest.mark.parametrize("name", ["", "nowhere/scores.txt", "scores.txt/scores.txt", "loop"])
def test_what_is_no_place_for_a_file_is_refused(target: Path, name: str, writer: Any) -> None:
    target.with_name("loop").symlink_to("loop")
    with refused(WriteError, "not_writable"), writer(target.parent / name) or nullcontext():
        pass


# Root may write everywhere: another user does it.
_WRITE_AS_A_USER = """
import os, sys
from malaria_detect.core.atomic import write_text
if os.geteuid() == 0:
    os.setuid(65534)
write_text(sys.argv[1], "new")
"""


def test_a_writable_file_in_a_read_only_folder_is_written() -> None:
    # Not in tmp_path, which no other user may enter.
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "scores.txt")
        target.write_text("old")
        target.chmod(0o666)
        target.parent.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", _WRITE_AS_A_USER, target], capture_output=True, text=True, check=False
        )
        target.parent.chmod(0o755)
        assert (done.returncode, done.stderr) == (0, "")
        assert target.read_text() == "new"
        assert only_file_in(target.parent) == "scores.txt"


def test_what_was_written_before_a_stop_is_kept_but_an_old_file_as_well(target: Path) -> None:
    def write(path: Path, stop: bool) -> None:
        with growing(path) as file:
            file.write(b"new\n")
            if stop:
                raise KeyboardInterrupt

    partial, other, empty = (target.with_name(name) for name in ("scores.partial.txt", "other", "empty"))
    empty.touch()
    for path in (target, other, empty):
        with pytest.raises(KeyboardInterrupt):
            write(path, stop=True)
    assert (target.read_text(), partial.read_text()) == ("old", "new\n")
    assert other.read_text() == empty.read_text() == "new\n"
    write(target, stop=False)
    assert target.read_text() == "new\n"
    assert not partial.exists()


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    program = f"""
import resource
from malaria_detect.core.atomic import WriteError, growing
resource.setrlimit(resource.RLIMIT_FSIZE, (25, 25))
try:
    with growing({str(tmp_path / "rows")!r}) as file:
        for _ in range(9):
            file.write(b"ten bytes\\n")
except WriteError as error:
    print(error.reason)
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "not_writable\n"
    assert (tmp_path / "rows").read_text() == 2 * "ten bytes\n"


@pytest.mark.parametrize("name", ["n" * 255, "name with ü and spaces", "-x", ".hidden"])
def test_any_file_name_the_system_allows_will_do(tmp_path: Path, name: str) -> None:
    if len(os.fsencode(name)) <= os.pathconf(tmp_path, "PC_NAME_MAX"):
        write_text(tmp_path / name, "a\r\nb\n")
        assert (tmp_path / name).read_bytes() == b"a\r\nb\n"
