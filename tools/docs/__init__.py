"""Tools that build the documentation site: tutorials from notebooks, docstrings and formulas as HTML."""
