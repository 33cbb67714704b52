"""What the README tells people to type works."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria_detect.cli import parser
from tests.drawn import draw_cell
from tests.drawn_fields import Drawn, drawn_field

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_python_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in PROJECT.glob("export.*"):
        (tmp_path / file.name).symlink_to(file)
    draw_cell(np.random.default_rng(0), parasitized=True).save(tmp_path / "cell.png")
    for number in (1, 2):
        pixels, _, _ = drawn_field(number, Drawn(cells=20, on_edge=0))
        Image.fromarray(pixels).save(tmp_path / f"field{number}.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    for example in blocks("python"):
        exec(compile(example, "README.md", "exec"), {})
    of_slide, of_cell, _ = capsys.readouterr().out.splitlines()
    assert of_slide.startswith("40 ")
    assert re.match(r"(Parasitized|Uninfected) [01]\.", of_cell)


def test_commands_are_understood() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if "malaria-detect " in line]
    commands = [shlex.split(line, comments=True) for line in lines]
    assert commands
    for _, *arguments in commands:
        parser().parse_args(arguments)


def test_linked_files_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_readme_is_short() -> None:
    assert len(TEXT.splitlines()) <= 150
