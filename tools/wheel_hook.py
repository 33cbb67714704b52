"""Hatch build hook: a wheel gets the model and the page, which a checkout has at its top level."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SHIPPED = (
    "dashboard.ipynb",
    "voila.json",
    "reports/compare.json",
    "reports/evaluation.json",
    "reports/parasitemia.json",
    "reports/published.json",
)


class ShippedFiles(BuildHookInterface):
    """Puts these files where :func:`malaria_detect.core.shipped.shipped_folder` finds them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a wheel; an editable installation uses those of the checkout."""
        if version == "standard":
            root = Path(self.root)
            # The last one is written by a command that needs fields which a checkout may lack.
            found = [*root.glob("export.*"), *root.glob("reports/laboratories.json")]
            names = [file.relative_to(root).as_posix() for file in found]
            shipped = {name: f"malaria_detect/shipped/{name}" for name in (*names, *_SHIPPED)}
            build_data["force_include"] |= shipped
