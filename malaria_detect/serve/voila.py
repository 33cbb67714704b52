"""What Voila is given beyond ``voila.json``: our page templates.

Voila looks for templates in Jupyter's data folders only, so that they would have to be installed outside the package.
The kernel specs are the first of our objects that it makes (``VoilaConfiguration.kernel_spec_manager_class``),
before it opens the first template: here the package's own folders are put in front of Voila's list.
"""

from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

TEMPLATES = Path(__file__).parent / "templates"
STYLE = Path(__file__).parent.parent / "widgets" / "style"


class PageKernelSpecs(KernelSpecManager):
    """The ordinary kernel specs; as a side effect Voila's pages come from :mod:`malaria_detect`.

    Parameters
    ----------
    parent : voila.app.Voila, optional
        Where it has template paths, ours go in front. Other applications are left alone.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.parent is not None and hasattr(self.parent, "template_paths"):
            self.parent.template_paths = [str(TEMPLATES), str(STYLE), *self.parent.template_paths]
