"""The server: Voila with the page alone, and the HTTP interface beside it, in one tornado process."""

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from jupyter_core.utils import run_sync
from jupyter_server.base.handlers import FileFindHandler
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop
from tornado.web import HTTPError
from traitlets import Integer, Type, Unicode, default
from voila.app import Voila
from voila.static_file_handler import MultiStaticFileHandler

from malaria_detect.app.server.api import Limits, api_rules
from malaria_detect.app.server.connections import ConnectionLimits, GuardedServer
from malaria_detect.app.server.guards import SecurityHeaders, page_policy, page_scripts
from malaria_detect.app.server.messages import WORKERS_VARIABLE
from malaria_detect.app.server.parent import forks_here, keep_parent, start_parent
from malaria_detect.app.server.sessions import (
    KERNEL_ID,
    Anybody,
    KernelEnd,
    KernelSocket,
    KernelStatus,
    PageHandler,
    Visits,
)
from malaria_detect.app.server.telemetry import LogsFailures, Telemetry, log_to
from malaria_detect.app.server.workers import Workers, answer_kernels
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.inference.model_files import read_metadata

MODEL = "export.pkl"
# Of the 107 letters that a socket's path may have, a folder and a kernel's name take the rest.
LONGEST_PLACE = 40


class NotFound(LogsFailures):
    """Whatever is not served."""

    route = "not found"

    def prepare(self) -> None:
        """Refuse."""
        raise HTTPError(404)


class Scripts(LogsFailures, MultiStaticFileHandler):
    """Voila's scripts."""

    route, quiet = "/voila/static", True


class Extensions(LogsFailures, FileFindHandler):
    """The widgets' scripts."""

    route, quiet = "/voila/labextensions", True


class Server(Voila):
    """Serves one notebook's page to many visitors, and predictions to programs.

    Its settings are Voila's and those below, in ``voila.json`` or as flags; :func:`serve` starts it.
    """

    api_token = Unicode(None, config=True, allow_none=True, help="What programs must show to be answered.")
    workers_wanted = Integer(min=1, config=True, help="Processes that predict.")
    max_visitors = Integer(
        30, min=1, config=True, help="Visitors at once; further ones are told to come later."
    )
    unclaimed_seconds = Integer(
        120, config=True, help="A session whose page has not called by then is ended."
    )
    header_seconds = Integer(60, config=True, help="Until a request's headers must be there.")
    body_seconds = Integer(30, config=True, help="That a body may take to arrive.")
    identity_provider_class = Type(Anybody, config=True, help="Who sees the page: everybody.")

    # A setting that is misspelled could be one that keeps somebody out.
    raise_config_file_errors = True
    _workers: Workers | None = None

    @default("workers_wanted")
    def _workers_wanted(self) -> int:
        # One that may use two processors answers a single picture sooner than two with one each, and takes less memory.
        return max(1, min(2, _processors() // 2))

    @default("connection_dir_root")
    def _connection_dir_root(self) -> str:
        # Kernels are reached through files there, whose paths the operating system wants to be short.
        for place in (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/dev/shm"):
            if 0 < len(place) <= LONGEST_PLACE and os.access(place, os.W_OK):
                # multiprocessing's own are there as well.
                tempfile.tempdir = place
                return place
        raise MalariaDetectError(
            f"No temporary folder can be written to: set TMPDIR to one whose path has at most {LONGEST_PLACE} letters."
        )

    def init_settings(self) -> dict[str, Any]:
        """Start what takes longest, and make the kernels know of it."""
        log_to()
        model = Path(self.root_dir) / MODEL
        # A wrong pair of model and metadata is told on the page, too; but programs need a model.
        self._metadata = None
        try:
            self._metadata = read_metadata(model)
        except MalariaDetectError as error:
            self.log.error("%s", error)
        if forks_here():
            start_parent(model)
            # Over TCP others on this machine could read what kernels publish: pictures and names.
            self.config.KernelManager.transport = "ipc"
        if forks_here() and self._metadata:
            threads = max(1, _processors() // self.workers_wanted)
            self._workers = Workers(model, self._metadata.sha256, self.workers_wanted, threads)
            # In a folder of the server's own that nobody else may enter.
            self._address = f"ipc://{self.connection_dir}/workers"
            os.environ[WORKERS_VARIABLE] = self._address
        settings: dict[str, Any] = super().init_settings()
        self._telemetry = Telemetry(
            queue_length=lambda: self._workers.waiting if self._workers else 0,
            workers_alive=lambda: self._workers.alive if self._workers else 0,
            kernels_running=lambda: len(self.kernel_manager),
        )
        return settings | {
            "log_function": self._telemetry.log_request,
            "telemetry": self._telemetry,
            "default_handler_class": NotFound,
        }

    def init_handlers(self) -> list[Any]:
        """All that is served; whatever is not in this list is not found."""
        visits = {"visits": Visits(self.max_visitors, self.unclaimed_seconds)}
        page = {
            "notebook_path": os.path.relpath(self.notebook_path, self.root_dir),
            "template_paths": self.template_paths,
            "config": self.config,
            "voila_configuration": self.voila_configuration,
        }
        rules: list[Any] = [
            (self._at("()"), PageHandler, page | visits),
            (self._at("api/kernels", KERNEL_ID), KernelStatus, visits),
            (self._at("api/kernels", KERNEL_ID, "channels"), KernelSocket, visits),
            (self._at("voila/api/shutdown", KERNEL_ID), KernelEnd, visits),
            (self._at("voila/static/(.*)"), Scripts, {"paths": self.static_paths}),
            (self._at("voila/labextensions/(.*)"), Extensions, {"path": self.labextensions_path}),
        ]
        if self._workers and self._metadata:
            rules += api_rules(
                self.server_url,
                self._workers,
                self._metadata,
                Limits(body_seconds=self.body_seconds),
                self.api_token,
                self._telemetry,
            )
        else:
            self.log.warning("The HTTP interface is not served: it needs a model, and processes that fork.")
        return rules

    def listen(self) -> None:
        """Serve until told to end."""
        cells = len(json.loads(Path(self.notebook_path).read_text(encoding="utf-8"))["cells"])
        policy = page_policy(page_scripts(self.template_paths, cells))
        self.app.add_transform(SecurityHeaders.with_policy(policy))
        server = GuardedServer(
            self.app,
            ConnectionLimits(header_seconds=self.header_seconds, body_seconds=self.body_seconds),
            self.app.settings["websocket_max_message_size"],
        )
        self.ioloop = IOLoop.current()
        try:
            server.listen(self.port, self.ip)
        except OSError as error:
            raise MalariaDetectError(
                f"The server cannot listen on {self.ip}, port {self.port} ({error.strerror}): choose another --port."
            ) from error
        print(f"The page: {self.display_url}  (Ctrl-C ends it)", flush=True)
        self.ioloop.add_callback(self._work)
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            self.log.info("Stopping …")
        finally:
            server.stop()

    def start(self) -> None:
        """Serve; whatever ends it, nothing is left behind."""
        try:
            super().start()
        finally:
            self.stop()

    def stop(self) -> None:
        """End workers and kernels, at once: they have nothing to save."""
        if self._workers:
            IOLoop.current().run_sync(self._workers.stop)
        if hasattr(self, "kernel_manager"):
            run_sync(self.kernel_manager.shutdown_all)(now=True)
        shutil.rmtree(self.connection_dir, ignore_errors=True)

    async def _work(self) -> None:
        if self._workers:
            self._workers.start()
            # Kept here, as nobody else does.
            self._tasks = [
                asyncio.create_task(task)
                for task in (keep_parent(), answer_kernels(self._address, self._workers))
            ]
            for task in (*self._tasks, *self._workers.tasks):
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Without any of them some are not served, and nobody would know: whoever started the server starts it anew.
        if not task.cancelled():
            self.log.critical(
                "A part of the server ended, and so does the server.", exc_info=task.exception()
            )
            self.ioloop.stop()

    def _at(self, *parts: str) -> str:
        return str(url_path_join(self.server_url, *parts))


def serve(
    notebook: str,
    host: str,
    port: int,
    api_token: str | None = None,
    workers: int | None = None,
    pool: int | None = None,
    max_visitors: int | None = None,
) -> None:
    """Serve a notebook's page and the HTTP interface until told to end.

    Parameters
    ----------
    notebook : str
        Path of the notebook; voila.json is read from the folder that this is called in.
    host, port
        Where to listen.
    api_token : str, optional
        What programs must show; without one all are answered.
    workers, pool, max_visitors : int, optional
        Processes that predict, sessions that are ready before a visitor comes, sessions at once; else as in voila.json.

    Raises
    ------
    MalariaDetectError
        Where the port is taken, the token cannot stand in a header, or voila.json is damaged.
    """
    settings = {
        "Voila.ip": host,
        "Voila.port": port,
        "Voila.open_browser": False,
        "Server.api_token": api_token,
        "Server.workers_wanted": workers,
        "Server.max_visitors": max_visitors,
        "VoilaConfiguration.preheat_kernel": None if pool is None else pool > 0,
        "VoilaConfiguration.default_pool_size": pool,
    }
    # As on a command line: there they come before voila.json.
    flags = [f"--{name}={value}" for name, value in settings.items() if value is not None]
    server = Server.instance()
    try:
        server.initialize([notebook, *flags])
    except ValueError as error:
        raise MalariaDetectError(f"voila.json cannot be understood: {error}") from error
    server.start()


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if forks_here() else os.cpu_count() or 1
