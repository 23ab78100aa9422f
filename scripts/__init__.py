"""What is run by hand or by `make`: artefacts of the examples, generated files."""
