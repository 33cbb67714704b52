"""The server: Voila, restricted to the page, and the HTTP API in one tornado process."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_config_path
from jupyter_core.utils import run_sync
from jupyter_server.utils import url_path_join
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import HTTPError
from traitlets import Integer, Type, Unicode, default
from voila.app import Voila

from malaria_detect.app.server.api import api_rules
from malaria_detect.app.server.guards import SecurityHeaders, page_policy, page_scripts
from malaria_detect.app.server.kernel_handlers import KERNEL_ID, KernelEnd, KernelSocket, KernelStatus
from malaria_detect.app.server.origins import read_origins
from malaria_detect.app.server.page import AddSlash, Anybody, NotFound, PageHandler
from malaria_detect.app.server.reception import Limits
from malaria_detect.app.server.service import Service
from malaria_detect.app.server.static_files import Extensions, Scripts, files_version, with_version
from malaria_detect.app.server.telemetry import Telemetry, log_to
from malaria_detect.app.server.visits import PageKernels, Visits
from malaria_detect.app.workers.kernel_questions import KernelQuestions
from malaria_detect.app.workers.messages import WORKERS_VARIABLE
from malaria_detect.app.workers.pool import Workers
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.shipped import MODEL_VARIABLE, shipped_folder
from malaria_detect.inference.engine import processors
from malaria_detect.inference.model_files import default_model, read_metadata, references_content
from malaria_detect.inference.runtime import graph_content

# A socket's path has at most 107 characters, and the folder and file of a kernel need the rest.
LONGEST_PLACE = 40
# Bytes of a request's headers, and of its body where nobody sends files.
MAX_HEADER_BYTES, MAX_BODY_BYTES = 32 * 1024, 64 * 1024
# Connections that the operating system holds until the server accepts them.
BACKLOG = 1024
_POSIX = os.name == "posix"


class Server(Voila):
    """Serves the page of one notebook to visitors, and predictions to programs.

    Its settings are those of Voila and those below, in ``voila.json`` or as flags.
    :func:`malaria_detect.app.server.start.serve` starts it.
    """

    api_token = Unicode(None, config=True, allow_none=True, help="Bearer token that programs must send.")
    allow_origin = Unicode(
        config=True,
        help="Origins of pages that may use the server although a proxy changes Host, with commas in between.",
    )
    worker_count = Integer(min=1, config=True, help="Number of prediction processes.")
    max_visitors = Integer(
        30, min=1, config=True, help="Visitors at the same time; further visitors get an error page."
    )
    unclaimed_seconds = Integer(
        120, config=True, help="A session is ended if its page has not connected by then."
    )
    answer_seconds = Integer(30, config=True, help="Time for the prediction of an API request.")
    header_seconds = Integer(60, config=True, help="Time for the headers of a request.")
    body_seconds = Integer(30, config=True, help="Time for the body of a request.")
    identity_provider_class = Type(Anybody, config=True, help="Who may see the page: everybody.")

    # A misspelled setting may be one that protects the server.
    raise_config_file_errors = True
    _workers: Workers | None = None

    @default("worker_count")
    def _default_worker_count(self) -> int:
        # One worker with two processors answers a single image sooner than two with one each, and needs less memory.
        return max(1, min(2, processors() // 2))

    @default("config_file_paths")
    def _config_file_paths(self) -> list[str]:
        # The first one that has a setting decides: settings of the package protect the server, those of a user's
        # other Voila pages do not belong to it.
        return [str(Path.cwd()), str(shipped_folder()), *jupyter_config_path()]

    @default("connection_dir_root")
    def _connection_dir_root(self) -> str:
        # Kernels are reached through sockets in this folder, and the operating system limits the length of their paths.
        for place in (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/dev/shm"):
            if place and (len(place) <= LONGEST_PLACE or not _POSIX) and os.access(place, os.W_OK):
                return place
        raise MalariaDetectError(
            "Found no temporary folder to write to. Set TMPDIR to a folder whose path has at most "
            f"{LONGEST_PLACE} characters.",
            reason="no_temporary_folder",
        )

    def init_settings(self) -> dict[str, Any]:
        """Prepare the environment of kernels before the first one is started, and the workers."""
        log_to()
        origins = read_origins(self.allow_origin)
        # Voila appends to them, and "/malaria" must not become "/malariavoila".
        self.server_url: str = url_path_join("/", self.server_url or self.base_url, "/")
        self.base_url: str = url_path_join("/", self.base_url, "/")
        self._files_version = files_version([*self.static_paths, *self.labextensions_path])
        self.voila_configuration.page_config_hook = self._page_config
        self.voila_configuration.multi_kernel_manager_class = PageKernels
        self._prepare_kernels()
        settings: dict[str, Any] = super().init_settings()
        self._telemetry = Telemetry(
            queue_length=lambda: self._workers.waiting if self._workers else 0,
            workers_alive=lambda: self._workers.alive if self._workers else 0,
            kernels_running=lambda: len(self.kernel_manager),
        )
        return settings | {
            "log_function": self._telemetry.log_request,
            "telemetry": self._telemetry,
            "allowed_origins": origins,
            "files_version": self._files_version,
            "default_handler_class": NotFound,
        }

    def _prepare_kernels(self) -> None:
        model = default_model().absolute()
        # Kernels have the folder of the notebook as their current folder, and read no settings of a user's IPython.
        os.environ |= {MODEL_VARIABLE: str(model), "IPYTHONDIR": str(Path(self.connection_dir, "ipython"))}
        # A page whose kernel died has lost its widgets: another process would not help it.
        self.config.KernelManager.autorestart = False
        if _POSIX:
            # Over TCP, other users of this machine could read what kernels publish: images and file names.
            self.config.KernelManager.transport = "ipc"
        try:
            self._metadata = read_metadata(model)
            # Without them, every request would fail.
            references_content(model, self._metadata)
            graph_content(model, self._metadata)
        except MalariaDetectError as error:
            # The page says so itself; the HTTP API needs a valid model.
            self.log.error("%s", error)
            return
        threads = max(1, processors() // self.worker_count)
        self._workers = Workers(model, self._metadata.sha256, self.worker_count, threads)
        self._questions = KernelQuestions(self.connection_dir)
        os.environ[WORKERS_VARIABLE] = self._questions.address

    def init_handlers(self) -> list[Any]:
        """Rules for everything that is served; all other addresses get 404."""
        self.kernel_manager.visits = Visits(self.max_visitors, self.unclaimed_seconds)
        visits = {"visits": self.kernel_manager.visits}
        page = {
            "notebook_path": os.path.relpath(self.notebook_path, self.root_dir),
            "template_paths": self.template_paths,
            "config": self.config,
            "voila_configuration": self.voila_configuration,
        }
        files = f"(?:{self._files_version}/)?(.*)"
        rules: list[Any] = [
            (self._at("()"), PageHandler, page | visits),
            (self._at("api/kernels", KERNEL_ID), KernelStatus, visits),
            (self._at("api/kernels", KERNEL_ID, "channels"), KernelSocket, visits),
            (self._at("voila/api/shutdown", KERNEL_ID), KernelEnd, visits),
            (self._at("voila/static", files), Scripts, {"paths": self.static_paths}),
            (self._at("voila/labextensions", files), Extensions, {"path": self.labextensions_path}),
        ]
        if self.server_url != "/":
            rules.append((self._at().rstrip("/"), AddSlash, {"page": self.base_url}))
        if self._workers is None:
            self.log.warning("The HTTP API is not available: it needs a valid model.")
            return rules
        limits = Limits(body_seconds=self.body_seconds, answer_seconds=self.answer_seconds)
        token, telemetry = self.api_token, self._telemetry
        return rules + api_rules(
            Service(self.server_url, self._workers, self._metadata, limits, token, telemetry)
        )

    def listen(self) -> None:
        """Serve until stopped."""
        cells = len(json.loads(Path(self.notebook_path).read_text(encoding="utf-8"))["cells"])
        policy = page_policy(page_scripts(self.template_paths, cells))
        self.app.add_transform(type("PageHeaders", (SecurityHeaders,), {"policy": policy}))
        server = HTTPServer(
            self.app,
            xheaders=True,
            max_header_size=MAX_HEADER_BYTES,
            max_body_size=MAX_BODY_BYTES,
            idle_connection_timeout=self.header_seconds,
            body_timeout=self.body_seconds,
            # A browser may send a message as one frame, which is read completely.
            max_buffer_size=self.app.settings["websocket_max_message_size"] + MAX_BODY_BYTES,
        )
        self.ioloop = IOLoop.current()
        try:
            server.listen(self.port, self.ip, backlog=BACKLOG)
        except OSError as error:
            raise MalariaDetectError(
                f"The server cannot listen on {self.ip}, port {self.port} ({error.strerror}). Choose another --port.",
                reason="cannot_listen",
            ) from error
        print(f"The page: {self.display_url}  (press Ctrl-C to stop)", flush=True)
        self.ioloop.add_callback(self._work)
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            self.log.info("Stopping …")
        finally:
            server.stop()

    def start(self) -> None:
        """Serve, and clean up afterwards."""
        try:
            super().start()
        finally:
            self.stop()

    def stop(self) -> None:
        """End workers and kernels immediately: they have nothing to save."""
        if self._workers:
            IOLoop.current().run_sync(self._workers.stop)
            self._questions.close()
        if hasattr(self, "kernel_manager"):
            # A kernel that is still starting is not found; it ends with this process.
            with contextlib.suppress(HTTPError):
                run_sync(self.kernel_manager.shutdown_all)(now=True)
        shutil.rmtree(self.connection_dir, ignore_errors=True)

    async def _work(self) -> None:
        if self._workers is None:
            return
        self._workers.start()
        # asyncio itself keeps no reference to tasks.
        self._answering = asyncio.create_task(self._questions.answer(self._workers))
        for task in (self._answering, *self._workers.tasks):
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Without one of these tasks some requests would hang; the service manager restarts a server that ended.
        if not task.cancelled():
            self.log.critical("A part of the server failed. The server ends.", exc_info=task.exception())
            self.ioloop.stop()

    def _page_config(self, page_config: dict[str, Any], **_: Any) -> dict[str, Any]:
        return with_version(page_config, self._files_version)

    def _at(self, *parts: str) -> str:
        return str(url_path_join(re.escape(self.server_url), *parts))
