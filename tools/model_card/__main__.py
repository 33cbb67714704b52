"""Command line of ``python -m tools.model_card``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from malaria_detect.core.atomic import write_text
from malaria_detect.core.errors import MalariaDetectError
from tools.model_card.pages import build
from tools.model_card.results import read_results


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 if everything was written, 2 if a result file is missing or damaged."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.model_card",
        description="Write the model card, the README's table, the generated docs and the figures.",
    )
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository (default: .)")
    root = parser.parse_args(arguments).root
    try:
        # Everything is built before anything is written.
        written = build(root, read_results(root))
        for name, text in written.items():
            path = root / name
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)
                print(f"{path} written")
    except (MalariaDetectError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
