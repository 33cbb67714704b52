"""Photographs that come in parts, without a browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from malaria_detect.app.widgets import field_upload
from malaria_detect.app.widgets.field_upload import MAX_FIELD_BYTES, MAX_FIELDS, PART_BYTES, FieldUpload
from malaria_detect.app.widgets.upload import UploadedFile
from tests.app.widgets.fakes import Messages, hear, saved

FILES = {"one": b"secret photograph 1", "two": b"secret 2", "empty": b""}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field_upload, "PART_BYTES", 8)


@pytest.fixture
def taken() -> list[UploadedFile]:
    return []


@pytest.fixture
def upload(taken: list[UploadedFile], told: Messages) -> FieldUpload:
    return FieldUpload(taken.append)


def offer(upload: FieldUpload, **files: int) -> None:
    hear(
        upload,
        type="offer",
        files=[{"id": name, "name": f"{name}.jpg", "size": size} for name, size in files.items()],
    )


def offer_all(upload: FieldUpload) -> None:
    offer(upload, **{name: len(content) for name, content in FILES.items()})


def send(upload: FieldUpload, file: str, at: int, length: int = 8) -> None:
    hear(upload, [FILES[file][at : at + length]], type="part", file=file, at=at)


def wanted(told: Messages) -> Iterator[tuple[str, int]]:
    """What the kernel wants, until it wants nothing."""
    while told[-1]["file"] is not None:
        yield told[-1]["file"], told[-1]["at"]


def contents(taken: list[UploadedFile]) -> dict[str, bytes]:
    return {file.name: bytes(file.content) for file in taken}


ALL = {f"{name}.jpg": content for name, content in FILES.items()}


def test_files_arrive_part_by_part_in_their_order(
    upload: FieldUpload, taken: list[UploadedFile], told: Messages
) -> None:
    offer_all(upload)
    asked = []
    for file, at in wanted(told):
        asked.append((file, at))
        send(upload, file, at)
    assert asked == [("one", 0), ("one", 8), ("one", 16), ("two", 0), ("empty", 0)]
    assert contents(taken) == ALL
    assert list(contents(taken)) == list(ALL)
    assert told[-1] == {"type": "want", "file": None, "at": 0, "left": []}
    assert "secret" not in saved(upload)


def _double(upload: FieldUpload, file: str, at: int) -> None:
    for _ in range(2):
        send(upload, file, at)


def _too_early(upload: FieldUpload, file: str, at: int) -> None:
    send(upload, file, at + 8)
    send(upload, "two", 0)
    send(upload, file, at)


def _lost(upload: FieldUpload, file: str, at: int) -> None:
    # The part or its answer is lost: the browser asks again.
    hear(upload, type="hello")
    send(upload, file, at)


def _short(upload: FieldUpload, file: str, at: int) -> None:
    send(upload, file, at, 3)


def _odd(upload: FieldUpload, file: str, at: int) -> None:
    hear(upload, [b"123456789"], type="part", file=file, at=at)  # longer than a part
    hear(upload, [], type="part", file=file, at=at)
    hear(upload, [b"1"], type="part", file=file, at=str(at))
    hear(upload, [b"1"], type="part", file="unknown", at=at)
    send(upload, file, at)


@pytest.mark.parametrize("way", [_double, _too_early, _lost, _short, _odd])
def test_doubled_early_lost_short_and_odd_parts_do_no_harm(
    way: Callable[[FieldUpload, str, int], None],
    upload: FieldUpload,
    taken: list[UploadedFile],
    told: Messages,
) -> None:
    offer_all(upload)
    for file, at in wanted(told):
        way(upload, file, at)
    assert contents(taken) == ALL


def test_a_file_that_cannot_be_read_is_skipped(
    upload: FieldUpload, taken: list[UploadedFile], told: Messages
) -> None:
    offer_all(upload)
    send(upload, "one", 0)
    hear(upload, type="skip", file="one")
    for file, at in wanted(told):
        send(upload, file, at)
    assert list(contents(taken)) == ["two.jpg", "empty.jpg"]


@pytest.mark.parametrize(
    "files",
    [
        [{"id": "a", "name": "a.jpg", "size": MAX_FIELD_BYTES + 1}],
        [{"id": f"{n}", "name": "a.jpg", "size": 9} for n in range(MAX_FIELDS + 1)],
        [{"id": "a", "name": "a.jpg", "size": -1}],
        [{"id": "a", "name": "a.jpg"}, {"id": "b", "name": "b.jpg", "size": 9}],
        ["a.jpg"],
    ],
)
def test_too_large_too_many_and_odd_files_are_refused_together(
    files: list[Any], upload: FieldUpload, told: Messages
) -> None:
    hear(upload, type="offer", files=files)
    assert [message["type"] for message in told] == ["refused", "want"]
    assert (upload.offered, told[-1]["file"]) == (0, None)


def test_the_next_file_is_asked_for_when_there_is_room(taken: list[UploadedFile], told: Messages) -> None:
    upload = FieldUpload(taken.append, room=lambda: 2, ready=lambda: not taken)
    offer_all(upload)
    assert told[0]["type"] == "refused"
    offer(upload, one=len(FILES["one"]), two=len(FILES["two"]))
    for file, at in wanted(told):
        send(upload, file, at)
    assert list(contents(taken)) == ["one.jpg"]
    taken.clear()
    upload.go_on()
    assert (told[-1]["file"], told[-1]["left"]) == ("two", ["two"])


def test_a_part_fits_into_a_small_message() -> None:
    assert PART_BYTES <= 1024 * 1024
    assert FieldUpload(lambda _: None).part_bytes == PART_BYTES
