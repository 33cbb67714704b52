"""Write the generated pages from the result files: ``make report``, or ``python -m tools.model_card``.

Read: ``export.json``, the cross-validations, published results, and, if they exist, comparisons of designs and
benchmark reports. Written: ``reports/evaluation.json``, ``MODEL_CARD.md``, the table in ``README.md``,
``docs/performance.md``, ``docs/designs.md`` and the figures. The text of each page is in ``templates/``.
"""
