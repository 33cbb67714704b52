"""Errors, versions, and reading and writing of JSON and CSV files."""
