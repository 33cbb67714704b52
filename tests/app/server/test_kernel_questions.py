"""Where kernels ask the server's workers: whose questions are taken, and which are not."""

from pathlib import Path

import pytest
import zmq

from malaria_detect.app.workers import kernel_questions
from malaria_detect.app.workers.messages import Frames, framed
from malaria_detect.app.workers.remote import RemoteDetector
from malaria_detect.inference.detector import Detector
from tests.app.server.crew import working
from tests.waiting import SECONDS


def test_what_is_no_question_is_not_answered_and_the_others_are(
    shipped_model: Path, detector: Detector, pictures: list[bytes]
) -> None:
    socket: zmq.Socket[bytes]
    with working(shipped_model) as crew, zmq.Context.instance().socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 1000)
        socket.connect(crew.address.partition("#")[0])
        socket.send_multipart([b"x"])
        assert RemoteDetector(detector.metadata, None, crew.address).predict(pictures[0])
        assert not crew.door.done()


def test_a_question_without_the_servers_secret_is_not_answered(
    shipped_model: Path, monkeypatch: pytest.MonkeyPatch, detector: Detector
) -> None:
    asked: list[Frames] = []

    async def note(frames: Frames, place: int) -> Frames:
        asked.append(frames)
        return framed({})

    with working(shipped_model, started=False) as crew:
        monkeypatch.setattr(crew.workers, "ask", note)
        address, _, secret = crew.address.partition("#")
        assert len(secret) >= 32
        socket: zmq.Socket[bytes]
        with zmq.Context.instance().socket(zmq.DEALER) as socket:
            socket.setsockopt(zmq.LINGER, 1000)
            socket.connect(address)
            for wrong in (b"", secret[:-1].encode(), secret.swapcase().encode()):
                socket.send_multipart([b"", wrong, b"predict", b"stranger"])
            # Of the same sender, and so after the others.
            socket.send_multipart([b"", secret.encode(), b"predict", b"kernel"])
            assert socket.recv_multipart() == [b"", b"{}"]
        assert asked == [[b"kernel"]]


def test_a_question_over_the_limit_is_not_taken(shipped_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_questions, "MAX_MESSAGE_BYTES", 2**20)
    asked: list[int] = []

    async def note(frames: list[bytes], place: int) -> list[bytes]:
        asked.append(sum(map(len, frames)))
        return frames

    large: zmq.Socket[bytes]
    small: zmq.Socket[bytes]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    with (
        working(shipped_model, started=False) as crew,
        context.socket(zmq.DEALER) as large,
        context.socket(zmq.REQ) as small,
    ):
        monkeypatch.setattr(crew.workers, "ask", note)
        for socket in (large, small):
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVTIMEO, 1000 * SECONDS)
            socket.connect(crew.address.partition("#")[0])
        secret = crew.address.partition("#")[2].encode()
        large.send_multipart([b"", secret, b"predict", bytes(2**20 + 1)])
        small.send_multipart([secret, b"predict", b"x"])
        assert small.recv_multipart() == [b"x"]
        assert asked == [1]
