"""Writes serve_models.py for the models in models_serve/: `python create_serve_models.py [FOLDER]`.

The same as `modelsync generate`, under the name that existing installations use.
"""

import sys

from modelsync.cli import main

if __name__ == "__main__":
    main(["generate", *sys.argv[1:]])
