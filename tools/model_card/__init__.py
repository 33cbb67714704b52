"""Write README's numbers, the model card and the reports' figures from result files; no number in them is typed.

``python -m tools.model_card`` (``make report``) reads the metadata, ``reports/evaluation.json``, the cells that
the cross-validation held out, the benchmarks' reports and what others published, and writes

- README.md, between marks like ``<!-- numbers:begin -->`` and ``<!-- numbers:end -->``,
- MODEL_CARD.md,
- reports/*.svg.

With ``--check`` it writes nothing and exits with 1 where one of them says something else than the files. The prose is
in ``templates/``, which hold no results.
"""

from malaria_detect.core.errors import MalariaDetectError


class ReportError(MalariaDetectError):
    """A result file is missing or damaged, or a text has no place for the numbers."""
