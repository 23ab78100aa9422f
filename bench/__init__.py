"""The figures that modelsync promises, measured on the real service: see README.md here."""
