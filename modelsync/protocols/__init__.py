"""Codecs: translate between the bytes of a protocol and variables and results of the data plane."""
