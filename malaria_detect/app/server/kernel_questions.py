"""Questions of kernels: passed on to the workers, of those that take long only one at a time."""

import asyncio
import logging

import zmq
import zmq.asyncio

from malaria_detect.app.server.errors import WorkerLost
from malaria_detect.app.server.messages import JUDGE, PACK, Frames, failed, unframed
from malaria_detect.app.server.workers import ADAPTATION, PAGE, Workers
from malaria_detect.core.errors import MalariaDetectError

# Size of one frame of a kernel's question: an image, possibly decoded and saved as PNG.
MAX_MESSAGE_BYTES = 128 * 2**20

_LOG = logging.getLogger("malaria_detect.app.server")
_TOO_LONG = "The server could not finish. Try again later or with fewer cells, or use `malaria-detect adapt`."
_BUSY = "The server is busy: it is adapting the model for another visitor. Try again in a minute."


async def _adapted(workers: Workers, frames: Frames) -> Frames:
    try:
        return await workers.ask(frames, ADAPTATION)
    except WorkerLost as error:
        raise MalariaDetectError(_TOO_LONG, error.reason) from error


async def answer_kernels(address: str, workers: Workers) -> None:
    """Pass questions of kernels to the workers, until cancelled.

    Parameters
    ----------
    address : str
        Address of zmq in a folder that no other user can enter.
    workers : Workers
    """
    # Answers are sent as soon as they are ready, not in the order of the questions.
    pending: dict[bytes, asyncio.Task[None]] = {}
    adapting = asyncio.Lock()

    async def answer(sender: bytes, frames: Frames) -> None:
        try:
            if unframed(frames)[0].get("task") not in (JUDGE, PACK):
                answered = await workers.ask(frames, PAGE)
            elif adapting.locked():
                raise MalariaDetectError(_BUSY, "busy")
            else:
                async with adapting:
                    answered = await _adapted(workers, frames)
        except MalariaDetectError as error:
            answered = failed(error)
        # zmq drops the answer if the kernel has ended.
        await socket.send_multipart([sender, b"", *answered])

    with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        # The limit applies to later calls of bind.
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        socket.bind(address)
        while True:
            match await socket.recv_multipart():
                # Each socket of a kernel asks one question at a time.
                case [sender, b"", *frames] if frames and sender not in pending:
                    pending[sender] = task = asyncio.create_task(answer(sender, frames))
                    task.add_done_callback(lambda _, sender=sender: pending.pop(sender))  # type: ignore[misc]
                case _:
                    _LOG.warning("Ignored an unexpected message of a kernel.")
