"""Configuration files: one that can be used, or a line for each of its faults."""

from __future__ import annotations

from pydantic import ValidationError

from wsprism_core.config import Config
from wsprism_core.settings.faults import faults_of
from wsprism_core.strict_yaml import YamlError, parse


def target(data: bytes) -> None:
    try:
        raw = parse(data.decode()).value
    except UnicodeDecodeError:
        return
    except YamlError:
        return
    if not isinstance(raw, dict):
        return
    try:
        Config.model_validate(raw)
    except ValidationError as error:
        problems = faults_of(error, Config)
    else:
        return
    assert all(problems)
