"""`worker config edit`: an item as JSON in the user's editor."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from worker.cli.common import complain
from worker.cli.config_text import json_text, parsed, without_key
from worker.cli.config_writes import (
    REFUSED,
    Checks,
    complain_of_change,
    refusal,
    replace,
    say_done,
    shown,
)

if TYPE_CHECKING:
    from worker.config.edits import Edits
    from worker.config.raw_items import Raw
    from worker.settings import Settings


async def edit_in_editor(edits: "Edits", key: str, checks: Checks, settings: "Settings") -> int:
    """Let the user edit the item, and write what became of it. Return the exit code.

    What was typed is kept in a file where it is not written.
    """
    import anyio

    read = await edits.read(key)
    before = shown(key, read or {}, settings)
    text = f"{json_text(before, indent=2)}\n"
    path = _new_file(text)
    code = 1
    try:
        edited = await anyio.to_thread.run_sync(_edited, path)
        if edited == text:
            say_done(edits, key, None)
            code = 0
        else:
            meant = _meant(key, read, before, edited, settings)
            code = await _write(edits, key, read, meant, (checks, settings))
    except (typer.BadParameter, ValueError) as error:
        complain(f"{key}: not written: {getattr(error, 'message', error)}")
        code = REFUSED
    except (OSError, subprocess.SubprocessError) as error:
        complain(f"{key}: not written: the editor failed ({error}); set EDITOR")
    finally:
        if code == 0 or _text_of(path) == text:
            _remove(path)
        else:
            complain(f"what you typed is kept in {path}")
    return code


def _new_file(text: str) -> Path:
    """Write the text to a file that only this user can read."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="worker-config-", suffix=".json", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    return Path(file.name)


def _edited(path: Path) -> str:
    """Wait until the user has closed the editor. Raise OSError or SubprocessError."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    # The user's own program, as the user named it.
    subprocess.run([*shlex.split(editor), str(path)], check=True)  # noqa: S603
    return path.read_text(encoding="utf-8")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _meant(key: str, read: "Raw | None", before: Any, edited: str, settings: "Settings") -> "Raw":
    """Return what the edited text makes of the item. Raise BadParameter or ValueError."""
    from worker.config.raw_items import merged

    attributes = without_key(parsed(edited), key, settings)
    meant: Raw = merged({"M": read or {}}, before, attributes)["M"]
    return meant


async def _write(
    edits: "Edits",
    key: str,
    read: "Raw | None",
    meant: "Raw",
    given: "tuple[Checks, Settings]",
) -> int:
    from worker.config.raw_items import changes, same

    if why := refusal(key, meant, *given):
        complain(why)
        return REFUSED
    # An editor may be open for long, and no condition can see an attribute that was added.
    now = await edits.read(key)
    if not same(now, read) and not same(now, meant):
        return complain_of_change(key, changes(read, now))
    return await replace(edits, key, read, meant, "edit")
