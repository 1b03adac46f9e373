"""All settings as YAML that explains itself and can be read back with ``--config``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import yaml

from recsys.section import Section
from recsys.settings import Settings


def settings_yaml(settings: Settings) -> str:
    """Every setting with its value, and above it what it is."""
    lines = []
    for name in type(settings).model_fields:
        section: Section = getattr(settings, name)
        lines += [f"# {(type(section).__doc__ or '').strip()}", f"{name}:", *_fields(section), ""]
    return "\n".join(lines)


def _fields(section: Section, indent: str = "  ") -> Iterator[str]:
    values = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        for line in textwrap.wrap(field.description or "", 96 - len(indent)):
            yield f"{indent}# {line}"
        inner = getattr(section, name)
        if isinstance(inner, Section):
            yield f"{indent}{name}:"
            yield from _fields(inner, f"{indent}  ")
            continue
        text = yaml.safe_dump(values[name], default_flow_style=True, width=88)
        yield textwrap.indent(f"{name}: {text.removesuffix('...' + chr(10)).rstrip()}", indent)
