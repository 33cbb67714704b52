"""Say what is installed differently from the tested set, and what this machine lacks: `make doctor`."""

import importlib.util
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.inference.model_files import default_model, graph_path, read_metadata, sha256_of

PROJECT = Path(__file__).resolve().parents[1]


def pins() -> tuple[list[Requirement], list[Requirement]]:
    """The requirements in requirements.txt, each pinned to one version: of the page, and of training."""
    light, _, training = (PROJECT / "requirements.txt").read_text(encoding="utf-8").partition("\n# Training")
    page, further = (
        [Requirement(line) for line in part.splitlines() if "==" in line] for part in (light, training)
    )
    return page, further


def tools() -> list[Requirement]:
    """The tools for tests and documentation, each pinned to one version."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [Requirement(line) for line in (*extras["test"], *extras["docs"])]


def differences(pinned: Iterable[Requirement], optional: Iterable[Requirement] = ()) -> Iterator[str]:
    """One sentence for each requirement that is installed in another version, or, unless optional, not at all."""
    installed = {canonicalize_name(one.name): one.version for one in metadata.distributions()}
    needed = {one.name for one in pinned}
    for requirement in (*pinned, *optional):
        version = installed.get(canonicalize_name(requirement.name))
        if version is None and requirement.name in needed:
            yield f"{requirement.name} is not installed (tested: {requirement.specifier})."
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} {version} is installed (tested: {requirement.specifier})."


def missing() -> Iterator[str]:
    """One sentence for each thing that this machine lacks, and what does not work without it."""
    try:
        described, graph = read_metadata(default_model()), graph_path(default_model())
        if not graph.is_file() or sha256_of(graph) != described.graph_sha256:
            yield f"{graph} is missing or stale: the first prediction makes it, with the extra `train`."
    except MalariaDetectError as error:
        yield f"Nothing can be predicted: {error}"
    try:
        find_cells()
    except MalariaDetectError as error:
        yield f"There are no cells to train on, and tests use drawn ones: {error}"
    if importlib.util.find_spec("fastai") is None:
        yield "The extra `train` is not installed: nothing can be trained or evaluated."
    if shutil.which("chromium") is None:
        yield "There is no program `chromium`: tests of the page are skipped."


def main() -> int:
    """Print the report; 1 if an installed version is not the tested one."""
    page, training = pins()
    different = list(differences(page, [*training, *tools()]))
    print(f"Python {sys.version.split()[0]}, model {default_model()}")
    for sentence in (*different, *missing()):
        print(f"- {sentence}")
    print(
        f"{len(different)} versions differ from the tested ones. `make clean` and `make test` install those."
        if different
        else "All installed versions are the tested ones."
    )
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
