"""The same two models behind modelsync and its peers, side by side: see README.md here."""
