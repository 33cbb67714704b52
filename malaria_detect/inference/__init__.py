"""The shipped model: its metadata, its input, the network, and predictions."""
