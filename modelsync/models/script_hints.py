"""Says what the author of a model can do about what it has left of a script or a notebook."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

_OF_MAIN = re.compile(
    r"Can't get attribute .* on <module '__(mp_)?main__'|module '__main__' has no attribute"
)

_MAGIC = re.compile(r"\s*(!|%%?[a-z])")
"""The beginning of a line that IPython runs, and Python does not."""


def of(error: BaseException, text: str) -> str | None:
    """Return what to do about an error whose message is `text`; None if it is of another kind."""
    match error:
        case SystemExit() if said_by_argparse(error):
            return (
                "a model is imported and has no command line: give the arguments defaults, or "
                'parse them below if __name__ == "__main__"'
            )
        case SystemExit():
            return (
                "a model must not end the program: raise another exception, or put what is for "
                'the command line below if __name__ == "__main__"'
            )
        case EOFError() if text == "EOF when reading a line":
            return "nobody answers input() in a service: read the value from the variables"
        case SyntaxError():
            return of_syntax(error)
        case AttributeError() if _OF_MAIN.match(text):
            return (
                "it was pickled from a notebook or script (__main__): put it into a module beside "
                "the model (helpers.py), import it from there and pickle again"
            )
    return None


def said_by_argparse(error: SystemExit) -> str:
    """Return what argparse has written before it ended the program; empty if it has not."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if code.co_name == "error" and Path(code.co_filename).name == "argparse.py":
            return str(frame.f_locals.get("message", ""))
    return ""


def of_syntax(error: SyntaxError) -> str | None:
    """Return what to do about a source file that Python cannot read; None if nothing is known."""
    if "codec can't decode" in (error.msg or "") or "Non-UTF-8 code" in (error.msg or ""):
        return "save the file as UTF-8"
    if _MAGIC.match(error.text or ""):
        return "this line is for a notebook: remove it"
    return None
