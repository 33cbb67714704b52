"""Messages between kernels, server and workers: one JSON text, followed by blobs of bytes.

No pickle: a worker decodes images from strangers, and unpickling its answers could run their code in the server.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import IO, Any

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import from_json
from malaria_detect.inference.prediction import Prediction, Refusal

Frames = list[bytes]
# Environment variable of kernels: where the server listens for them, and the secret that it expects.
WORKERS_VARIABLE = "MALARIA_DETECT_WORKERS"
_SIZE = 8  # bytes of a number
# Tasks of a worker.
PREDICT, EXPLAIN, FIELD, SLIDE = "predict", "explain", "field", "slide"
FEATURES, JUDGE, PACK = TEACHING = "features", "judge", "pack"


def framed(content: dict[str, Any], blobs: Sequence[bytes | memoryview] = ()) -> Frames:
    """Frames of a message.

    Examples
    --------
    >>> framed({"task": "predict"}, [b"..."])
    [b'{"task": "predict"}', b'...']
    """
    return [json.dumps(content).encode(), *(bytes(blob) for blob in blobs)]


def unframed(frames: Sequence[bytes]) -> tuple[dict[str, Any], Frames]:
    """Content and blobs of a message, the inverse of :func:`framed`; ValueError if it is not a JSON object."""
    content = json.loads(frames[0]) if frames else None
    if not isinstance(content, dict):
        raise ValueError("the first frame of a message must be a JSON object")
    return content, list(frames[1:])


def send(stream: IO[bytes], frames: Sequence[bytes]) -> None:
    """Send a message through a pipe."""
    sizes = [len(frames), *map(len, frames)]
    stream.write(b"".join(size.to_bytes(_SIZE, "big") for size in sizes))
    stream.writelines(frames)
    stream.flush()


def receive(stream: IO[bytes]) -> Frames:
    """Wait for a message from a pipe; EOFError if its other end is closed."""
    sizes = [_number(stream) for _ in range(_number(stream))]
    return [_read(stream, size) for size in sizes]


def _number(stream: IO[bytes]) -> int:
    return int.from_bytes(_read(stream, _SIZE), "big")


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the other end of the pipe is closed")
    return data


def answered(answer: Prediction | Refusal) -> dict[str, Any]:
    """A prediction or a refusal as a JSON object."""
    return {"refusal" if isinstance(answer, Refusal) else "prediction": asdict(answer)}


def failed(error: MalariaDetectError) -> Frames:
    """Frames of the answer to a job that failed with an error which a user can correct."""
    return framed({"error": str(error), "kind": type(error).__name__, "reason": error.reason})


def answer_of(content: dict[str, Any]) -> Prediction | Refusal:
    """The prediction or refusal in a JSON object, the inverse of :func:`answered`; RecordError if it is neither."""
    if "refusal" in content:
        return from_json(Refusal, content["refusal"])
    return from_json(Prediction, content["prediction"])
