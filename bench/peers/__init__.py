"""The same two models behind modelsync and its peers, side by side in one run: see README.md here."""
