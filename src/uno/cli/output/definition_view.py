"""What `uno config` shows: a value of the definition, or a part of it, as YAML or JSON."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import fields, replace

from uno.cli.output import printing, wrapping
from uno.diagnostics import Problem, Rejected
from uno.model import codec
from uno.model.notification_targets import redacted
from uno.model.uvn import NotifySettings, Uvn

if TYPE_CHECKING:
    from uno.cli.input.options import PrintOptions

# `a`, `.a`, `[0]` and `[jane@example.org]`: a name in brackets may have dots.
_STEP = re.compile(r"\[([^\[\]]*)\]|\.?([^.\[\]]+)")


def show(value: Struct, how: PrintOptions) -> None:
    """Print `value`, or what `-Q` names in it. Secrets are left out."""
    if how.query is None and not how.json and isinstance(value, Uvn):
        # Here, since YAML takes longer to import than all of the rest.
        from uno import spec  # noqa: PLC0415

        printing.result(spec.to_yaml(without_secrets(value)))
        return
    found = whole(value)
    if how.query is not None:
        found = query(found, how.query)
    if how.json:
        printing.json(found)
    else:
        printing.result(_yaml(found))


def without_secrets(uvn: Uvn) -> Uvn:
    """Return a definition without the hashes of passwords, and with the targets' secrets cut off.

    What is left of a target is refused where it is read as one.
    """
    return replace(
        uvn,
        users=tuple(replace(user, password=None) for user in uvn.users),
        settings=replace(uvn.settings, notify=_redacted(uvn.settings.notify)),
    )


def exported_without_secrets(uvn: Uvn) -> Uvn:
    """Return a definition without hashes and targets: `uno apply` keeps what a text leaves out."""
    notify = replace(uvn.settings.notify, to=(), heartbeat=None)
    return replace(without_secrets(uvn), settings=replace(uvn.settings, notify=notify))


def _redacted(notify: NotifySettings) -> NotifySettings:
    shown = tuple(map(redacted, notify.to))
    return replace(notify, to=shown, heartbeat=notify.heartbeat and redacted(notify.heartbeat))


def whole(value: object) -> Any:
    """Return a value as dictionaries, lists, strings and numbers, defaults included.

    Hashes of passwords are left out, and the secrets of notification targets.
    """
    if isinstance(value, NotifySettings):
        value = _redacted(value)
    if isinstance(value, Struct):
        names = [each.name for each in fields(value)]
        return {name: whole(getattr(value, name)) for name in names if name != "password"}
    if isinstance(value, list | tuple):
        return [whole(item) for item in value]
    return codec.to_builtins(value)


def query(value: Any, path: str) -> Any:
    """Return what `path` names in `value`: keys, indexes, and names of cells, users, particles.

    `cells[0].name`, `cells.lan-a.address`, `users[jane@example.org].name`. A leading `uvn.` is
    passed over. Raises `Rejected` with what there is instead.
    """
    steps = [bracketed or plain for bracketed, plain in _STEP.findall(path)]
    if not steps or _STEP.sub("", path):
        raise Rejected(_no_path(path, "write it as cells[0].name"))
    if steps[0] == "uvn" and isinstance(value, dict) and "uvn" not in value:
        steps = steps[1:]
    for step in steps:
        value = _below(value, step, path)
    return value


def _below(value: Any, step: str, path: str) -> Any:
    if isinstance(value, dict):
        if step in value:
            return value[step]
        raise Rejected(
            _no_path(path, f"instead of {step!r} there is {', '.join(value) or 'nothing'}")
        )
    if isinstance(value, list):
        if re.fullmatch("[0-9]{1,9}", step):
            if int(step) < len(value):
                return value[int(step)]
            raise Rejected(_no_path(path, f"there are {len(value)} items, counted from 0"))
        for item in value:
            if isinstance(item, dict) and step in (item.get("name"), item.get("email")):
                return item
        raise Rejected(_no_path(path, f"no item is called {step!r}"))
    raise Rejected(_no_path(path, f"there is nothing below it at {step!r}"))


def _no_path(path: str, hint: str) -> Problem:
    return Problem(what=f"there is no {path!r} in this configuration", hint=hint, option="-Q")


def _yaml(value: Any) -> str:
    if not isinstance(value, dict | list):
        return value if isinstance(value, str) else codec.encode(value).decode()
    from ruamel.yaml import YAML  # noqa: PLC0415 - as above

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.width = wrapping.WIDTH
    text = io.StringIO()
    writer.dump(value, text)
    return text.getvalue()
