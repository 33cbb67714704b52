"""Work that is done piece by piece, such as one uploaded file after the other, while the kernel still answers."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from logging import Logger
from typing import Generic, TypeVar

from malaria_detect.core.errors import MalariaDetectError

_Piece = TypeVar("_Piece")


class WorkQueue(Generic[_Piece]):
    """Files, or other pieces of work, waiting for their turn.

    Parameters
    ----------
    work : callable
        Works on one file.
    tell : callable
        Gets the number of files done, the number of all, and a message about a problem or an empty text.
    log : Logger
        Gets errors that the user cannot correct.

    Attributes
    ----------
    waiting : deque
        The first one is being worked on.
    task : asyncio.Task or None
        The work in the event loop; None in plain Python, where `add` returns when everything is done.
    """

    def __init__(
        self,
        work: Callable[[_Piece], Awaitable[None]],
        tell: Callable[[int, int, str], None],
        log: Logger,
    ) -> None:
        self.waiting: deque[_Piece] = deque()
        self.task: asyncio.Task[None] | None = None
        self._work, self._tell, self._log = work, tell, log
        self._done = 0

    def add(self, files: Sequence[_Piece]) -> None:
        """Put files at the end."""
        busy = bool(self.waiting)
        if not busy:
            self._done = 0
        self.waiting.extend(files)
        self._report()
        if busy:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # In plain Python, outside a kernel.
            try:
                asyncio.run(self._run())
            finally:
                # After an error the other files are not checked; the next upload is.
                self.waiting.clear()
        else:
            self.task = loop.create_task(self._run())
            self.task.add_done_callback(self._ended)

    def stop(self) -> None:
        """Forget all files."""
        self.waiting.clear()
        self._done = 0
        if self.task is not None:
            self.task.cancel()

    async def _run(self) -> None:
        while self.waiting:
            # Lets the kernel send the results so far and handle messages that arrived meanwhile.
            await asyncio.sleep(0)
            await self._work(self.waiting[0])
            self.waiting.popleft()
            self._done += 1
            self._report()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._log.error("Checking images failed", exc_info=error)
        self.waiting.clear()
        why = str(error) if isinstance(error, MalariaDetectError) else "The cause is in the server's log."
        self._tell(0, 0, f"Not all images could be checked. {why}")

    def _report(self) -> None:
        self._tell(self._done, self._done + len(self.waiting), "")
