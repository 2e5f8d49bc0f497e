# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a dashboard is one by Grafana's schema, as the classes of Grafana's own SDK have it.

The SDK itself takes any value and passes over what it does not know. So each value is compared with the type that the
SDK's class has for it, and what a panel's plugin and a data source define with their own classes.
"""

from __future__ import annotations

import enum
import inspect
import json
import typing as t
import warnings
from functools import cache
from types import UnionType

with warnings.catch_warnings():
    # It would rather have dashboards of schema v2, which Grafana 12 imports only where that is switched on.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.cog import encoder, plugins, runtime
    from grafana_foundation_sdk.models import dashboard as models

#: The version of the schema that the SDK writes.
SCHEMA_VERSION: int = inspect.signature(models.Dashboard).parameters["schema_version"].default

Problems = list[str]
# None of a data source's classes can be told by the type alone, nor can those of a panel's plugin.
_UNCHECKED = (t.Any, object)


def problems(dashboard: dict[str, t.Any]) -> Problems:
    """What Grafana's schema has otherwise: each with its path."""
    plugins.register_default_plugins()
    return _object(dashboard, models.Dashboard, "$")


def read_and_written(dashboard: dict[str, t.Any]) -> t.Any:
    """The dashboard as the SDK reads it, and writes it again."""
    plugins.register_default_plugins()
    return json.loads(encoder.JSONEncoder().encode(models.Dashboard.from_json(dashboard)))


@cache
def _fields(kind: type) -> dict[str, tuple[t.Any, bool]]:
    """Of each key that an object of the class has in JSON: its type, and whether it has to be there."""
    hints, given = t.get_type_hints(kind), inspect.signature(kind).parameters
    sample = object.__new__(kind)
    for name in hints:
        setattr(sample, name, name)
    names: dict[str, str] = t.cast(t.Any, sample).to_json()
    # What cannot be given to the class has one value only, which goes without saying.
    return {
        key: (hints[name], name in given and type(None) not in t.get_args(hints[name])) for key, name in names.items()
    }


def _object(value: t.Any, kind: type, path: str) -> Problems:
    if not isinstance(value, dict):
        return [f"{path}: {value!r:.80} is not an object"]
    fields = _fields(kind)
    found = [
        f"{path}: '{key}' is missing" for key, (_hint, is_needed) in fields.items() if is_needed and key not in value
    ]
    for key, item in value.items():
        if key not in fields:
            found.append(f"{path}.{key}: {kind.__name__} has no such key")
        elif not (key in ("options", "targets", "fieldConfig") and kind is models.Panel):
            found += _value(item, fields[key][0], f"{path}.{key}")
    return found + (_panel(value, path) if kind is models.Panel else [])


def _panel(panel: dict[str, t.Any], path: str) -> Problems:
    """What its plugin and its data source say."""
    plugin = runtime.Runtime().panelcfg_config(panel.get("type", ""))
    if plugin is None:
        return [f"{path}.type: there is no panel {panel.get('type')!r}"]
    found: Problems = []
    if plugin.options_from_json_hook and "options" in panel:
        found += _object(panel["options"], _class_of(plugin.options_from_json_hook), f"{path}.options")
    for number, target in enumerate(panel.get("targets", [])):
        here = f"{path}.targets[{number}]"
        source = runtime.Runtime().dataquery_variants.get(target.get("datasource", {}).get("type", ""))
        found += _object(target, _class_of(source.from_json_hook), here) if source else [f"{here}: no data source"]
    config = panel.get("fieldConfig", {})
    found += _value(config, models.FieldConfigSource, f"{path}.fieldConfig")
    if plugin.field_config_from_json_hook and "custom" in config.get("defaults", {}):
        custom = _class_of(plugin.field_config_from_json_hook)
        found += _object(config["defaults"]["custom"], custom, f"{path}.fieldConfig.defaults.custom")
    return found


def _class_of(hook: t.Any) -> type:
    """Of a class method."""
    return t.cast(type, hook.__self__)


def _value(value: t.Any, hint: t.Any, path: str) -> Problems:
    origin = t.get_origin(hint)
    if hint in _UNCHECKED:
        return []
    if origin in (t.Union, UnionType):
        return _one_of(value, t.get_args(hint), path)
    if origin is t.Literal:
        return [] if value in t.get_args(hint) else [f"{path}: {value!r:.80} is none of {t.get_args(hint)}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{path}: {value!r:.80} is not a list"]
        (item,) = t.get_args(hint)
        return [one for number, part in enumerate(value) for one in _value(part, item, f"{path}[{number}]")]
    if origin is dict:
        if not isinstance(value, dict):
            return [f"{path}: {value!r:.80} is not an object"]
        return [one for key, part in value.items() for one in _value(part, t.get_args(hint)[1], f"{path}.{key}")]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        known = [member.value for member in hint]
        return [] if value in known else [f"{path}: {value!r:.80} is none of {known}"]
    if hasattr(hint, "to_json"):
        return _object(value, hint, path)
    # JSON has one kind of number, and Python takes a Boolean for one.
    kinds = (int, float) if hint is float else hint
    is_right = isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))
    return [] if is_right else [f"{path}: {value!r:.80} is not {getattr(hint, '__name__', hint)}"]


def _one_of(value: t.Any, hints: t.Iterable[t.Any], path: str) -> Problems:
    """None where one of them fits; else what the one says that fits best."""
    if value is None and type(None) in hints:
        return []
    hints = [hint for hint in hints if hint is not type(None)]
    if set(hints) == {models.Panel, models.RowPanel} and isinstance(value, dict):
        hints = [models.RowPanel if value.get("type") == "row" else models.Panel]
    return min((_value(value, hint, path) for hint in hints), key=len)
