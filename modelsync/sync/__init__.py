"""Bringing the state directory to what the source wants: one update, its sources, its status, its
schedule.
"""
