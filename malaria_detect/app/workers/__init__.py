"""Processes that compute for the page and the HTTP API, and detectors of kernels that ask them."""
