"""`python -m modelsync.runner FD`: the same as `bootstrap.py`, where modelsync is installed."""

import sys

from modelsync.runner.program import main

main(int(sys.argv[1]))
