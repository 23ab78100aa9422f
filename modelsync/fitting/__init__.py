"""The program of a job: the process in which a model's code fits, updates or tries a version.

All that it imports works with the standard library alone, since it runs with the Python of the
model's environment. It has neither the database nor secrets.
"""
