"""Griffe extension: the reStructuredText of numpydoc docstrings as the Markdown that mkdocstrings reads."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc|obj):`~?(?P<name>[\w.]+)`")
PLAIN = re.compile(r"(?<![`\w])`(?P<name>malaria_detect(?:\.\w+)+)`(?!`)")
CITED = re.compile(r"(?P<before>\w|\s|\)|\(|^)\[(?P<number>\d+)\]_")
CITATION = re.compile(r"^\.\. \[(?P<number>\d+)\] ", re.MULTILINE)


class Markdown(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(text: str) -> str:
    """Docstring with Markdown instead of reStructuredText.

    Examples
    --------
    >>> to_markdown("As `malaria_detect.metrics.score` does [1]_.")
    'As <autoref identifier="malaria_detect.metrics.score" optional><code>score</code></autoref> does [1].'
    >>> to_markdown(".. [1] C. Guo, ICML 2017.")
    '1. C. Guo, ICML 2017.'
    """
    text = ROLE.sub(_reference, text)
    text = PLAIN.sub(_reference, text)
    text = CITED.sub(r"\g<before>[\g<number>]", text)
    text = CITATION.sub(r"\g<number>. ", text)
    return re.sub(r"(?<=\w)::\n\n(?= )", ":\n\n", text)


def _reference(found: re.Match[str]) -> str:
    """Link that stays plain code if the target has no page."""
    name = found["name"]
    return f'<autoref identifier="{name}" optional><code>{name.rpartition(".")[2]}</code></autoref>'
