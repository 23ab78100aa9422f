"""The program of a runner: a process outside of the workers that answers for some models.

All that it imports works with the standard library alone, since it runs with the Python of a
model's environment: orjson and pydantic are used where they are.
"""
