"""`python -m modelsync.runner FD`: a runner, whose job is in the file with that descriptor."""

import sys

from modelsync.runner.program import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
