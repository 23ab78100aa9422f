"""Continuous training: each day is filled, checked, trained with, compared and promoted."""
