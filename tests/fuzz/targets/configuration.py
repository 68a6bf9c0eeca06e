"""Configuration files: one that can be used, or a line for each of its faults."""

from __future__ import annotations

from pydantic import ValidationError

from wsprism_core.config import Config, describe
from wsprism_core.strict_yaml import YamlError, parse


def target(data: bytes) -> None:
    try:
        raw = parse(data.decode())
    except UnicodeDecodeError:
        return
    except YamlError:
        return
    if not isinstance(raw, dict):
        return
    try:
        Config.model_validate(raw)
    except ValidationError as error:
        problems = describe(error, Config)
    else:
        return
    assert all(problems)
