"""Ratios to plain fastai, measured in one run; ``make bench`` runs them."""
