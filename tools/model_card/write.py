"""Write README's blocks, the deployment guide's, the model card and the figures, or check them."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import to_json
from malaria_detect.evaluation.cross_validation import EVALUATION
from tools.model_card import ReportError
from tools.model_card.facts import slide_readings
from tools.model_card.figures import FIGURES, draw, shown
from tools.model_card.render import render
from tools.model_card.results import Results, read_results
from tools.model_card.serving import sizing

_TAG = re.compile("(<[^>]*>)")
# What figures may differ by from one machine to another: places by 0.05 pt, and ids, which are digests of them.
_ROUNDING = 0.05
_ID = re.compile(r"figure-[0-9a-f]{10}(?:-[0-9A-Za-z_]+)?")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def with_block(text: str, name: str, block: str) -> str:
    """Put a block into a text, at every place that is marked for it.

    Parameters
    ----------
    text : str
        Holds at least one pair of the two marks.
    name : str
        Stands in the marks, ``<!-- name:begin -->`` and ``<!-- name:end -->``.
    block : str
        What shall stand between them.

    Raises
    ------
    ReportError
        Where a mark is missing.

    Examples
    --------
    >>> print(with_block("Good? <!-- numbers:begin -->old<!-- numbers:end -->", "numbers", "new"))
    Good? <!-- numbers:begin -->
    new
    <!-- numbers:end -->
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    written, places = place.subn(lambda _: f"{begin}\n{block}\n{end}", text)
    if not places or text.count(begin) != places or text.count(end) != places:
        raise ReportError(f"The {name} block has no place: put {begin} and {end} around it.")
    return written


def same_figure(first: str, second: str) -> bool:
    """Whether two SVG show the same, but for what the places of things differ by between machines.

    Examples
    --------
    >>> same_figure('<text x="10.00">0.97</text>', '<text x="10.01">0.97</text>')
    True
    >>> same_figure('<text x="10.00">0.97</text>', '<text x="11.00">0.97</text>')
    False
    >>> same_figure('<text x="10.00">0.97</text>', '<text x="10.00">0.98</text>')
    False
    """
    parts = [_TAG.split(_ID.sub("id", figure)) for figure in (first, second)]
    if len(parts[0]) != len(parts[1]):
        return False
    return all(
        one == other or (one.startswith("<") and _alike(one, other))
        for one, other in zip(*parts, strict=True)
    )


def _alike(one: str, other: str) -> bool:
    if _NUMBER.sub("#", one) != _NUMBER.sub("#", other):
        return False
    pairs = zip(*(map(float, _NUMBER.findall(tag)) for tag in (one, other)), strict=True)
    return all(abs(first - second) <= _ROUNDING for first, second in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write everything, or check it; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.model_card",
        description="Write README's numbers, the model card and the figures from result files.",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 1 where something is not what the files say",
    )
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--card", type=Path, default=Path("MODEL_CARD.md"))
    parser.add_argument("--deployment", type=Path, default=Path("docs/deployment.md"))
    parser.add_argument("--model", type=Path, default=Path("export.pkl"), help="its metadata lies beside it")
    parser.add_argument("--reports", type=Path, default=Path("reports"), help="result files and figures")
    options = parser.parse_args(arguments)
    try:
        results = read_results(options.model, options.reports, sum_up=not options.check)
        texts = _texts(results, options.readme, options.card, options.deployment, options.reports)
    except (MalariaDetectError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    wrong = [path for path, text in texts.items() if not _says(path, text)]
    if options.check:
        for path in wrong:
            print(f"{path} does not show what the result files say: run `make report`.", file=sys.stderr)
        return 1 if wrong else 0
    for path in wrong:
        path.write_text(texts[path], encoding="utf-8")
        print(f"{path} written")
    return 0


def _texts(
    results: Results, readme: Path, card_path: Path, deployment: Path, reports: Path
) -> dict[Path, str]:
    """What each file should hold."""
    where = {name: reports / f"{name}.svg" for name in FIGURES}
    counted = tuple(results.published.counting.cells.values())
    readings = slide_readings(results.metadata, results.evaluation.grouped, counted)
    links = {name: shown(name, _link(path, card_path)) for name, path in where.items()}
    blocks, card = render(results, readings, links)
    text = readme.read_text(encoding="utf-8")
    for name, block in blocks.items():
        text = with_block(text, name, block)
    guide = with_block(deployment.read_text(encoding="utf-8"), "serving", sizing(results.serve_speed))
    texts = {readme: text, card_path: card, deployment: guide}
    texts |= {where[name]: figure for name, figure in draw(results, readings).items()}
    if results.summed_up:
        texts[reports / EVALUATION] = to_json(results.evaluation)
    return texts


def _link(path: Path, card_path: Path) -> str:
    return Path(os.path.relpath(path.resolve(), card_path.resolve().parent)).as_posix()


def _says(path: Path, text: str) -> bool:
    if not path.is_file():
        return False
    found = path.read_text(encoding="utf-8")
    return same_figure(found, text) if path.suffix == ".svg" else found == text
