"""Syncing: one update of the state directory from its source; the status and the schedule."""
