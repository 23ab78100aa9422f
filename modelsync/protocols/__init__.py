"""Codecs: between the bytes of a protocol and the variables and results of the data plane."""
