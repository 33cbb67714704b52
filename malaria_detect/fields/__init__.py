"""Whole fields of a thin smear: find the cells, classify them, count them, and write the results for other software."""
