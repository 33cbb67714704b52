"""What a fresh clone offers: the package, pins, the Makefile, notebooks, and the rule that CI skips nothing."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

import malaria_detect
from tools.doctor import pins, tools

PROJECT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted([*PROJECT.glob("*.ipynb"), *(PROJECT / "notebooks").glob("*.ipynb")])


def run(*command: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, **settings)


# The package


def test_importing_the_package_costs_no_torch() -> None:
    code = "import sys, malaria_detect as m; m.read_image, m.read_metadata, m.MalariaDetectError; "
    result = run(sys.executable, "-c", code + "print({'torch', 'fastai'} & set(sys.modules))")
    assert (result.returncode, result.stdout, result.stderr) == (0, "set()\n", "")


def test_every_exported_name_exists() -> None:
    assert all(getattr(malaria_detect, name) is not None for name in malaria_detect.__all__)
    assert set(dir(malaria_detect)) == set(malaria_detect.__all__)
    with pytest.raises(AttributeError):
        malaria_detect.diagnose  # noqa: B018 - the access is the test


def test_commands_start_without_modules_that_only_posix_has() -> None:
    # A module that is None in sys.modules cannot be imported, as on Windows.
    code = """
import sys
sys.modules.update(dict.fromkeys(["fcntl", "resource", "pwd", "grp", "termios"]))
import malaria_detect.app.html_report, malaria_detect.app.results_table, malaria_detect.inference.prediction
import malaria_detect.app.server.start, malaria_detect.app.workers.pool, malaria_detect.app.workers.worker
from malaria_detect.cli import main
main(["info", "--model", "nothing.pkl"])
"""
    result = run(sys.executable, "-c", code)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.startswith("malaria-detect: ")


def test_installed_command_citation_and_changelog_have_the_version_of_the_package() -> None:
    assert metadata.version("malaria-detect") == malaria_detect.__version__
    for name, line in (("CITATION.cff", "version: {}\n"), ("CHANGELOG.md", "## {}")):
        assert line.format(malaria_detect.__version__) in (PROJECT / name).read_text(encoding="utf-8"), name


# Pins and ranges


def declared(*extras: str) -> dict[NormalizedName, Requirement]:
    """What the package requires, or what these extras add, by canonical name."""
    chosen = [line for extra in extras for line in PYPROJECT["optional-dependencies"][extra]]
    found = map(Requirement, chosen if extras else PYPROJECT["dependencies"])
    return {canonicalize_name(requirement.name): requirement for requirement in found}


# For those who edit notebooks; nothing imports it.
JUPYTERLAB = {canonicalize_name("jupyterlab")}


def test_every_dependency_is_pinned_inside_its_range() -> None:
    for pinned, dependencies in zip(pins(), (declared(), declared("train")), strict=True):
        check_pins({canonicalize_name(pin.name): pin for pin in pinned}, dependencies)


def check_pins(
    pinned: dict[NormalizedName, Requirement], dependencies: dict[NormalizedName, Requirement]
) -> None:
    for name, dependency in dependencies.items():
        if name not in JUPYTERLAB:
            (version,) = [specifier.version for specifier in pinned[name].specifier]
            assert dependency.specifier.contains(version), f"{pinned[name]} is outside {dependency}"


def test_every_tool_for_tests_and_documentation_is_pinned() -> None:
    assert [tool for tool in tools() if not re.fullmatch(r"==[\d.]+", str(tool.specifier))] == []


def imports(tree: ast.AST) -> set[str]:
    """Packages that a piece of code imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


# Rooms that need the extra `train`; what others need of it is imported in a block `with from_extra("train")`.
TRAINING_ROOMS = ("training", "evaluation", "designs")


def test_the_package_imports_exactly_what_it_declares() -> None:
    base, further = set[str](), set[str]()
    for source in (PROJECT / "malaria_detect").rglob("*.py"):
        tree = ast.parse(source.read_text(encoding="utf-8"))
        blocks = [node for node in ast.walk(tree) if isinstance(node, ast.With)]
        guarded = [one for one in blocks if ast.unparse(one.items[0]) == "from_extra('train')"]
        of_extra = set[str]().union(*map(imports, guarded))
        further |= of_extra
        if source.relative_to(PROJECT / "malaria_detect").parts[0] in TRAINING_ROOMS:
            further |= imports(tree)
        else:
            base |= imports(tree) - of_extra
    owners, own = metadata.packages_distributions(), set(sys.stdlib_module_names) | {"malaria_detect"}
    needed = [
        {canonicalize_name(owners.get(one, [one])[0]) for one in names - own} for names in (base, further)
    ]
    assert needed[0] == declared().keys()
    assert needed[1] - needed[0] == declared("train").keys() - JUPYTERLAB


# Without the extra `train`

# What only the extra installs; a module that is None in sys.modules cannot be imported.
OF_EXTRA = (
    "torch torchvision fastai captum sklearn skimage timm pandas spacy torchstain pooch requests cloudpickle"
)
WITHOUT_EXTRA = f"import sys; sys.modules.update(dict.fromkeys({OF_EXTRA!r}.split())); "


def test_the_page_fields_and_the_command_line_need_no_extra() -> None:
    code = "import malaria_detect.app.widgets, malaria_detect.fields.analyse, malaria_detect.cli"
    result = run(sys.executable, "-c", WITHOUT_EXTRA + code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_every_command_explains_itself_without_the_extra() -> None:
    code = """
from malaria_detect.cli import parser
def leaves(one):
    under = [action for action in one._actions if hasattr(action, "_name_parser_map")]
    return [leaf for action in under for sub in action.choices.values() for leaf in leaves(sub)] or [one]
for one in leaves(parser()):
    assert one.format_help()
    print(one.prog)
"""
    result = run(sys.executable, "-c", WITHOUT_EXTRA + code)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) >= 12


@pytest.mark.parametrize(
    "command",
    [
        "train --cells {cells}",
        "train --cells {cells} --network resnet50v2-frozen",
        "calibrate --cells {cells}",
        "evaluate --cells {cells}",
        "compare --cells {cells}",
        "fields train --cells {cells} --weights resnet18.pth",
        "cells fetch",
    ],
)
def test_a_command_for_training_says_which_extra_to_install(
    command: str, drawn_cells: Path, tmp_path: Path
) -> None:
    words = command.format(cells=drawn_cells).split()
    code = f"{WITHOUT_EXTRA}from malaria_detect.cli import main; sys.exit(main({words!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2, result.stderr
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("malaria-detect: ")
    assert "pip install 'malaria-detect[train]'" in sentence


def test_the_kernel_of_a_visitor_loads_nothing_that_it_does_not_need_yet() -> None:
    code = """
import sys
import malaria_detect
assert not {"numpy", "PIL", "pydantic"} & set(sys.modules)
from malaria_detect.app.widgets import About, OperatingPointChoice, ScoreReport
from malaria_detect.inference.model_files import read_metadata
import malaria_detect.app.widgets.dashboard
metadata = read_metadata()
About(metadata), ScoreReport(metadata)
heavy = ["torch", "openvino", "matplotlib", "sklearn", "skimage", "pandas", "requests", "multiprocessing.pool"]
heavy += [f"scipy.{part}" for part in ("linalg", "ndimage", "optimize", "signal", "sparse", "special", "stats")]
print([name for name in heavy if name in sys.modules])
"""
    result = run(sys.executable, "-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", "")


# Makefile


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # The variables of an outer `make test` would change the output.
    outer = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    quiet = {name: value for name, value in os.environ.items() if name not in outer}
    return run("make", *arguments, env={**quiet, **environment})


def test_make_lists_targets_that_exist() -> None:
    listed = re.findall(r"^make ([\w-]+) +\S", make().stdout, re.MULTILINE)
    assert {"dashboard", "test", "train"} <= set(listed)
    assert make("--dry-run", *listed).returncode == 0


def test_make_refuses_an_old_python(tmp_path: Path) -> None:
    old = "import sys\nsys.version_info = (3, 10, 14)\n"
    (tmp_path / "sitecustomize.py").write_text(old, encoding="utf-8")
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    python = f"PYTHON={sys.executable}"
    refused = make("-C", str(tmp_path), "dashboard", python, PYTHONPATH=str(tmp_path))
    assert refused.returncode != 0
    assert "Python 3.11" in refused.stdout
    assert not (tmp_path / ".venv").exists()


# Notebooks as they are committed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_committed_without_outputs_and_widget_state(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.source
        assert "attachments" not in cell


def test_badges_and_the_first_cell_of_the_training_notebook_lead_to_the_repository() -> None:
    address = PYPROJECT["urls"]["Repository"]
    name = address.removeprefix("https://github.com/")
    title, _, setup, *_ = nbformat.read(PROJECT / "train.ipynb", as_version=4).cells
    assert f"(https://colab.research.google.com/github/{name}/blob/main/train.ipynb)" in title.source
    raw = f"https://raw.githubusercontent.com/{name}/main/train.ipynb"
    assert f"(https://kaggle.com/kernels/welcome?src={raw})" in title.source
    (line,) = (line for line in setup.source.splitlines() if "%pip" in line)
    requirement = Requirement(line.split('"')[1])
    assert (requirement.name, requirement.extras) == (PYPROJECT["name"], {"train"})
    assert requirement.url == f"{address}/archive/main.zip"


# CI skips nothing


def test_a_skipped_test_fails_if_skipping_is_forbidden(tmp_path: Path) -> None:
    for name, source in {
        "passing": "def test_passing(): pass",
        "skipping": "import pytest\ndef test_cells(): pytest.skip('no cells')",
        "skipped": "import pytest\npytest.skip('no browser', allow_module_level=True)",
    }.items():
        (tmp_path / f"test_{name}.py").write_text(source, encoding="utf-8")
    options = ("-ra", "-p", "tests.conftest", "-p", "no:cacheprovider", "--continue-on-collection-errors")
    result = run(
        *(sys.executable, "-m", "pytest", *options, str(tmp_path)),
        env={**os.environ, "MALARIA_DETECT_NO_SKIP": "1"},
    )
    for expected in ("1 failed, 1 passed, 1 error", "no cells", "no browser"):
        assert expected in result.stdout
