"""Kernel parameters, as sysctl(8) names them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from uno.diagnostics import ActionNeeded, TransientFailure

PROC_SYS = Path("/proc/sys")

# Octets of a value of any parameter that uno sets.
_LONGEST = 256


def exists(key: str) -> bool:
    """Whether the kernel has a parameter of this name; those of an interface go with it."""
    return path(key).exists()


def path(key: str) -> Path:
    """Return the file of a parameter; a slash in its name stands for a dot within a component.

    Source: sysctl(8).
    """
    return PROC_SYS / "/".join(part.replace("/", ".") for part in key.split("."))


def read(key: str) -> str:
    """Return the value of a parameter. Raises `UnoError`."""
    try:
        return path(key).read_text().strip()
    except OSError as error:
        raise _unreadable(key, error) from error


def existing(keys: Iterable[str]) -> dict[str, str]:
    """Return the values of those of these parameters that exist. Raises `UnoError`."""
    found = {}
    for key in keys:
        try:
            found[key] = path(key).read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _unreadable(key, error) from error
    return found


class ParameterReader:
    """Reads parameters again and again, from files that it keeps open."""

    def __init__(self) -> None:
        """Open a file when it is first read."""
        self._files: dict[str, int] = {}

    def existing(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the values of those of these parameters that can be read.

        Files of other parameters are closed.
        """
        wanted = frozenset(keys)
        for key in self._files.keys() - wanted:
            os.close(self._files.pop(key))
        found = {key: self._read(key) for key in wanted}
        return {key: value for key, value in found.items() if value is not None}

    def _read(self, key: str) -> str | None:
        # The parameters of an interface that was made again are other ones, in another file.
        for _ in range(2):
            try:
                if key not in self._files:
                    self._files[key] = os.open(path(key), os.O_RDONLY | os.O_CLOEXEC)
                return os.pread(self._files[key], _LONGEST, 0).decode().strip()
            except OSError:
                if key not in self._files:
                    break
                os.close(self._files.pop(key))
        return None


def is_fixed(key: str) -> bool:
    """Whether a parameter cannot be set: the kernel has none, or /proc/sys is read-only."""
    return not os.access(path(key), os.W_OK)


def write(key: str, value: str) -> None:
    """Set a parameter, unless it has the value. Raises `UnoError`."""
    try:
        # In a container /proc/sys may be read-only, with the right values.
        if path(key).read_text().strip() == value:
            return
        with os.fdopen(os.open(path(key), os.O_WRONLY), "w") as file:
            file.write(value)
    except OSError as error:
        raise ActionNeeded(
            f"cannot set the kernel parameter {key} to {value} ({error.strerror})",
            f"uno needs to be root on the host itself; in a container, have its host set it: for"
            f" docker, `--sysctl {key}={value}`",
        ) from error


def _unreadable(key: str, error: OSError) -> TransientFailure:
    return TransientFailure(f"cannot read the kernel parameter {key} ({error.strerror})")
