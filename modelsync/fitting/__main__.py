"""`python -m modelsync.fitting FILE`: the job in that file; `FILE verify`: its second half."""

import sys
from pathlib import Path

from modelsync.fitting.program import main

if __name__ == "__main__":
    main(Path(sys.argv[1]), verify=len(sys.argv) > 2)
