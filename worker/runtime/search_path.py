"""Where modules are looked for: a user's own files never replace the program's.

`python -m worker` looks into the current folder first, and so does a PYTHONPATH that names it. A
`queue.py`, `types.py` or `redis.py` there would be imported by the program itself.
"""

# ruff: noqa: PTH109, PTH119, PTH120
# (pathlib would be imported before it is protected.)
import os
import sys


def leave_out_current_folder() -> None:
    """Take the current folder away from the places before the standard library."""
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it was deleted
        return
    library = _library_index()
    kept = [entry for entry in sys.path[:library] if entry and os.path.realpath(entry) != here]
    sys.path[:library] = kept


def add_folder(folder: str) -> None:
    """Look for modules there too: after the standard library, before what is installed.

    What is installed and was imported before stays as it is.
    """
    if folder not in sys.path:
        sys.path.insert(_installed_index(), folder)


def _library_index() -> int:
    """Where the standard library begins; 0 where it can't be found, so that nothing changes."""
    return min(_library_parts(), default=0)


def _installed_index() -> int:
    """The place after the standard library; the end where that can't be found."""
    return max(_library_parts(), default=len(sys.path) - 1) + 1


def _library_parts() -> list[int]:
    library = os.path.dirname(os.__file__)
    return [
        place
        for place, entry in enumerate(sys.path)
        if entry == library or os.path.basename(entry) == "lib-dynload"
    ]
