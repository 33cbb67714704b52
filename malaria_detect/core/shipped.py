"""Files that come with the package: the model and its results, the page's notebook and Voila's settings."""

from pathlib import Path

import malaria_detect

MODEL, NOTEBOOK, SETTINGS = "export.pkl", "dashboard.ipynb", "voila.json"
# Names the model that is used if none is given; `malaria-detect serve` sets it for its kernels.
MODEL_VARIABLE = "MALARIA_DETECT_MODEL"


def shipped_folder() -> Path:
    """Folder with export.pkl, export.json, dashboard.ipynb, voila.json and reports.

    A wheel has them inside the package. In a checkout they are at the top level, where they are edited.

    Examples
    --------
    >>> (shipped_folder() / "export.json").is_file()
    True
    """
    package = Path(malaria_detect.__file__).parent
    inside = package / "shipped"
    return inside if inside.is_dir() else package.parent
