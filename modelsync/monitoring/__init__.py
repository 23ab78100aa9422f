"""Monitoring: samples of live requests, drift, and how often predictions were right."""
