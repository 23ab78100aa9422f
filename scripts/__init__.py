"""Scripts that people or `make` run: artefacts of the examples, generated files, test machines."""
