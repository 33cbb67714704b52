"""Messages between kernels, server and workers: one JSON text, followed by blobs of bytes.

No pickle: a worker decodes images from strangers, and unpickling its answers could run their code in the server.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import from_json
from malaria_detect.inference.prediction import Prediction, Refusal

Frames = list[bytes]
# Environment variable of kernels: the address at which the server listens for them.
WORKERS_VARIABLE = "MALARIA_DETECT_WORKERS"
# Tasks of a worker.
PREDICT, EXPLAIN, FIELD, SLIDE = "predict", "explain", "field", "slide"
LOOK, JUDGE, PACK = TEACHING = "look", "judge", "pack"


def framed(content: dict[str, Any], blobs: Sequence[bytes | memoryview] = ()) -> Frames:
    """Frames of a message.

    Examples
    --------
    >>> framed({"task": "predict"}, [b"..."])
    [b'{"task": "predict"}', b'...']
    """
    return [json.dumps(content).encode(), *(bytes(blob) for blob in blobs)]


def unframed(frames: Sequence[bytes]) -> tuple[dict[str, Any], Frames]:
    """Content and blobs of a message, the inverse of :func:`framed`.

    Raises
    ------
    ValueError
        If the first frame is not a JSON object.
    """
    content = json.loads(frames[0]) if frames else None
    if not isinstance(content, dict):
        raise ValueError("the first frame of a message must be a JSON object")
    return content, list(frames[1:])


def send(connection: Connection, frames: Sequence[bytes]) -> None:
    """Send a message through a pipe."""
    connection.send_bytes(len(frames).to_bytes(4, "big"))
    for frame in frames:
        connection.send_bytes(frame)


def receive(connection: Connection) -> Frames:
    """Wait for a message from a pipe.

    Raises
    ------
    EOFError
        If the other end is closed.
    """
    return [connection.recv_bytes() for _ in range(int.from_bytes(connection.recv_bytes(), "big"))]


def answered(answer: Prediction | Refusal) -> dict[str, Any]:
    """A prediction or a refusal as a JSON object."""
    if isinstance(answer, Refusal):
        return {"refusal": asdict(answer)}
    return {"prediction": asdict(answer)}


def failed(error: MalariaDetectError) -> Frames:
    """Frames of the answer to a job that failed with an error which a user can correct."""
    return framed({"error": str(error), "kind": type(error).__name__, "reason": error.reason})


def answer_of(content: dict[str, Any]) -> Prediction | Refusal:
    """The prediction or refusal in a JSON object, the inverse of :func:`answered`.

    Raises
    ------
    RecordError
        If the object is neither.
    """
    if "refusal" in content:
        return from_json(Refusal, content["refusal"])
    return from_json(Prediction, content["prediction"])
