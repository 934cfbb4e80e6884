"""JSON with a seal: its last object holds the SHA-256 of everything before it.

It is for files that depend on machine and hour, for which no checkpoint can vouch: the sessions of
a run, its results.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from minimeta.errors import CheckpointError

SEAL = "sha256"


def sealed(value: dict[str, Any] | list[dict[str, Any]], indent: int | None = 2) -> str:
    """Return the text of an object, or of a list that ends with one, with its seal."""
    if isinstance(value, list):
        *before, last = value
        closed: Any = [*before, {**last, SEAL: _digest(value)}]
    else:
        closed = {**value, SEAL: _digest(value)}
    return json.dumps(closed, indent=indent) + "\n"


def read_sealed(path: Path, remedy: str) -> Any:
    """Return a sealed value.

    Parameters
    ----------
    path
        The file.
    remedy
        What the user can do if it is damaged.

    Raises
    ------
    CheckpointError
        If it is not JSON, or differs from what was written.
    """
    value = read_json(path, remedy)
    last = value[-1] if isinstance(value, list) and value else value
    seal = last.pop(SEAL, None) if isinstance(last, dict) else None
    if seal is None or seal != _digest(value):
        raise CheckpointError(f"{path} is damaged: it is not what was written ({SEAL} differs). {remedy}")
    return value


def read_json(path: Path, remedy: str) -> Any:
    """Return the value in a JSON file.

    Raises
    ------
    CheckpointError
        If it is not JSON; the message has the line.
    """
    content = path.read_bytes()
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CheckpointError(f"{path}, line {line} is damaged: it is not text ({error.reason}). {remedy}") from error
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}, line {error.lineno} is damaged: {error.msg}. {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}. {remedy}") from error


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
