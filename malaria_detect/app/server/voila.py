"""What ``voila.json`` cannot say: where the package's page templates are, and how kernels are started.

Voila only looks for templates in Jupyter's data folders, outside the package. It creates the kernel spec manager
(``VoilaConfiguration.kernel_spec_manager_class``) before it opens the first template, so the package's own folders are
added to Voila's list there.
"""

from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from malaria_detect.app.server.kernel import OPTIONS

TEMPLATES = Path(__file__).parent / "templates"
_STYLE = Path(__file__).parent.parent / "widgets" / "style"
# Kernels compute little. With more arenas, glibc keeps the memory of each thread; NumPy's BLAS has buffers per thread.
_LIGHT = {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"}


class PageKernelSpecs(KernelSpecManager):
    """Kernel specs of which every one is that of :mod:`malaria_detect.app.server.kernel`.

    As a side effect, Voila uses the page templates of :mod:`malaria_detect`.

    Parameters
    ----------
    parent : voila.app.Voila, optional
        If it has template paths, the package's templates are put first.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.parent is not None and not hasattr(self.parent, "api_token"):
            self.log.warning("Voila alone does not protect the page. Use `malaria-detect serve` instead.")
        if self.parent is not None and hasattr(self.parent, "template_paths"):
            self.parent.template_paths = [str(TEMPLATES), str(_STYLE), *self.parent.template_paths]

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Spec of a visitor's kernel, whatever kernel a notebook names."""
        command = [
            "python",
            "-P",
            "-m",
            "malaria_detect.app.server.kernel",
            "-f",
            "{connection_file}",
            *OPTIONS,
        ]
        return KernelSpec(argv=command, display_name="Python 3", language="python", env=dict(_LIGHT))
