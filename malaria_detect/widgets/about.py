"""The view "About": what the model was trained on, what it cannot do, where it comes from."""

from html import escape
from pathlib import Path
from string import Template
from typing import Any

import malaria_detect
from malaria_detect.passport import Passport
from malaria_detect.widgets.parts import Text

TEXT = Path(__file__).parent / "texts" / "about.html"


class About(Text):
    """What the model is and is not.

    Parameters
    ----------
    passport : Passport
    """

    def __init__(self, passport: Passport, **kwargs: Any) -> None:
        super().__init__(lambda: about(passport), **kwargs)


def about(passport: Passport) -> str:
    """Write the view as HTML: what is known of the data in general, and the passport's facts."""
    facts = {
        "Version": malaria_detect.__version__,
        "Network": f"{passport.architecture}, {passport.input_size} px",
        "Started from": str(passport.weights),
        "Trained": f"{passport.created}, {len(passport.history)} epochs",
        "Libraries": ", ".join(f"{name} {version}" for name, version in passport.versions.items()),
        "Model file": f"{passport.file_name}, {passport.size_bytes / 1e6:.1f} MB",
        "SHA-256": passport.sha256,
        "Licence": passport.licence,
    }
    return Template(TEXT.read_text(encoding="utf-8")).substitute(
        intended_use=escape(passport.intended_use),
        sides=_sides(passport),
        facts="".join(f"<div><dt>{name}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items()),
    )


def _sides(passport: Passport) -> str:
    sides = (passport.train, passport.valid, passport.test)
    rows = {
        "Patients": [len(side.groups) for side in sides],
        "Cells": [side.cells for side in sides],
        "Parasitized": [side.parasitized for side in sides],
        "Uninfected": [side.uninfected for side in sides],
    }
    return "".join(
        f"<tr><th scope='row'>{name}</th>{''.join(f'<td>{number:,}</td>' for number in numbers)}</tr>"
        for name, numbers in rows.items()
    )
