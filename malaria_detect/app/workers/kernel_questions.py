"""Questions of kernels: passed on to the workers, of those that take long only one at a time."""

import asyncio
import hmac
import logging
import os
import secrets

import zmq
import zmq.asyncio

from malaria_detect.app.workers.messages import JUDGE, PACK, Frames, failed
from malaria_detect.app.workers.pool import ADAPTATION, PAGE, WorkerLost, Workers
from malaria_detect.core.errors import MalariaDetectError

# Size of one frame of a kernel's question: an image, possibly decoded and saved as PNG.
MAX_MESSAGE_BYTES = 128 * 2**20
_THIS_MACHINE = "127.0.0.1"

_LOG = logging.getLogger("malaria_detect.app.server")
_TOO_LONG = "The server could not finish. Try again later or with fewer cells, or use `malaria-detect adapt`."
_BUSY = "The server is busy: it is adapting the model for another visitor. Try again in a minute."


class KernelQuestions:
    """Where kernels ask, and what is passed on to the workers; questions wait until :meth:`answer` runs.

    Parameters
    ----------
    folder : str
        A folder that no other user can enter, for the socket. Systems without such sockets use the local network, where
        the secret keeps other users out.

    Attributes
    ----------
    address : str
        Address and secret, for the environment of kernels.
    """

    def __init__(self, folder: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        # The limit applies to later calls of bind.
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.bind(f"ipc://{folder}/workers" if os.name == "posix" else f"tcp://{_THIS_MACHINE}:*")
        secret = secrets.token_urlsafe(32)
        self._secret = secret.encode()
        self.address = f"{self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip(chr(0))}#{secret}"
        self._adapting = asyncio.Lock()

    def close(self) -> None:
        """Close the socket."""
        self._context.destroy(linger=0)

    async def answer(self, workers: Workers) -> None:
        """Pass questions to the workers, until cancelled; answers are sent as soon as they are ready."""
        pending: dict[bytes, asyncio.Task[None]] = {}
        socket = zmq.asyncio.Socket.shadow(self._socket)

        async def reply(sender: bytes, task: bytes, frames: Frames) -> None:
            try:
                answer = await self._asked(workers, task, frames)
            except MalariaDetectError as error:
                answer = failed(error)
            # zmq drops the answer if the kernel has ended.
            await socket.send_multipart([sender, b"", *answer])

        while True:
            match await socket.recv_multipart():
                # Each socket of a kernel asks one question at a time.
                case [sender, b"", secret, task, *frames] if (
                    frames and sender not in pending and hmac.compare_digest(secret, self._secret)
                ):
                    pending[sender] = replying = asyncio.create_task(reply(sender, task, frames))
                    replying.add_done_callback(lambda _, sender=sender: pending.pop(sender))  # type: ignore[misc]
                case _:
                    _LOG.warning("Ignored an unexpected message of a kernel.")

    async def _asked(self, workers: Workers, task: bytes, frames: Frames) -> Frames:
        # The task has a frame of its own, so that only a worker has to parse the rest, which can be large.
        if task.decode(errors="replace") not in (JUDGE, PACK):
            return await workers.ask(frames, PAGE)
        if self._adapting.locked():
            raise MalariaDetectError(_BUSY, "busy")
        async with self._adapting:
            try:
                return await workers.ask(frames, ADAPTATION)
            except WorkerLost as error:
                raise MalariaDetectError(_TOO_LONG, error.reason) from error
