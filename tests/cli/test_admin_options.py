from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.testing import CliRunner

from wsprism_cli.admin_options import admin_options

if TYPE_CHECKING:
    import pytest


@click.command()
@admin_options
def show(url: str, key: str | None) -> None:
    click.echo(f"{url} {key}")


def test_it_is_this_machine_and_no_key_unless_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WSPRISM_ADMIN_KEY", raising=False)
    assert CliRunner().invoke(show).stdout == "http://127.0.0.1:8081 None\n"
    given = ["--url", "http://h:1", "--key", "k"]
    assert CliRunner().invoke(show, given).stdout == "http://h:1 k\n"


def test_the_key_may_come_by_a_variable() -> None:
    result = CliRunner(env={"WSPRISM_ADMIN_KEY": "k"}).invoke(show)
    assert result.stdout == "http://127.0.0.1:8081 k\n"


def test_help_does_not_show_the_key() -> None:
    result = CliRunner(env={"WSPRISM_ADMIN_KEY": "s3cret"}).invoke(show, ["--help"])
    assert "WSPRISM_ADMIN_KEY" in result.stdout
    assert "s3cret" not in result.stdout
