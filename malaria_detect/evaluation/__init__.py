"""Cross-validation, candidate label errors, and published results."""
