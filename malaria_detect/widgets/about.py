"""The view "About": what the model was trained on, what it cannot do, where it comes from."""

import math
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import malaria_detect
from malaria_detect.passport import Passport
from malaria_detect.sentences import count, percent, threshold
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
        "Temperature": f"{passport.temperature:.3f}",
        "Libraries": ", ".join(f"{name} {version}" for name, version in passport.versions.items()),
        "Model file": f"{passport.file_name}, {passport.size_bytes / 1e6:.1f} MB",
        "SHA-256": passport.sha256,
        "Licence": passport.licence,
    }
    healthy = [point.test.estimates["specificity"].value for point in passport.operating_points]
    return Template(TEXT.read_text(encoding="utf-8")).substitute(
        intended_use=escape(passport.intended_use),
        false_alarms=f"{percent(1 - max(healthy))} to {percent(1 - min(healthy))}",
        temperature=f"{passport.temperature:.3f}",
        ece_raw=f"{passport.ece_raw:.4f}",
        ece=f"{passport.point().test.estimates['ece'].value:.4f}",
        test_patients=count(passport.point().test.patients, "test patient"),
        points="".join(
            f"<li><b>{escape(point.name.capitalize())}</b>, from {threshold(point)} on. {escape(point.rule)}</li>"
            for point in passport.operating_points
        ),
        default=escape(passport.default_point),
        doubt=_doubt(passport),
        sides=_sides(passport),
        facts="".join(f"<div><dt>{name}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items()),
    )


def _doubt(passport: Passport) -> str:
    doubt = passport.doubt
    caught = (
        ""
        if math.isnan(doubt.test_caught)
        else f", and {percent(doubt.test_caught)} of the wrong calls are among them"
    )
    return (
        f"A call is marked doubtful where its own probability is under {percent(doubt.below)}. On test patients, at "
        f"“{escape(passport.default_point)}”, {percent(doubt.test_share)} of the cells are doubtful{caught}."
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
