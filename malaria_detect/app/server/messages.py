"""What goes between kernels, server and workers: messages of one JSON text and the bytes that it speaks of.

No pickle: whoever decodes strangers' pictures could otherwise run code in whoever asked for it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from malaria_detect.core.json_io import from_json
from malaria_detect.inference.prediction import Prediction, Refusal

Frames = list[bytes]
# Where the server listens for its kernels, in their environment.
WORKERS_VARIABLE = "MALARIA_DETECT_WORKERS"
# What a worker can be asked to do.
PREDICT, EXPLAIN = "predict", "explain"


def framed(content: dict[str, Any], blobs: Sequence[bytes | memoryview] = ()) -> Frames:
    """The frames of a message.

    Examples
    --------
    >>> framed({"task": "predict"}, [b"..."])
    [b'{"task": "predict"}', b'...']
    """
    return [json.dumps(content).encode(), *(bytes(blob) for blob in blobs)]


def unframed(frames: Sequence[bytes]) -> tuple[dict[str, Any], Frames]:
    """What :func:`framed` was given.

    Raises
    ------
    ValueError
        Where the first frame is no JSON object.
    """
    content = json.loads(frames[0]) if frames else None
    if not isinstance(content, dict):
        raise ValueError("a message begins with a JSON object")
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
        Where the other end is closed.
    """
    return [connection.recv_bytes() for _ in range(int.from_bytes(connection.recv_bytes(), "big"))]


def answered(answer: Prediction | Refusal) -> dict[str, Any]:
    """A prediction or a refusal as JSON knows it."""
    if isinstance(answer, Refusal):
        return {"refusal": answer.reason}
    return {"prediction": asdict(answer)}


def answer_of(content: dict[str, Any]) -> Prediction | Refusal:
    """What :func:`answered` was given.

    Raises
    ------
    RecordError
        Where it is no prediction.
    """
    if "refusal" in content:
        return Refusal(str(content["refusal"]))
    return from_json(Prediction, content["prediction"])
