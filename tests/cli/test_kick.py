from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from support.operating import operate
from support.watched import watched
from wsprism_cli.main import cli
from wsprism_core.client import Client, connect

KEY = "k3y-0123456789abcdef"


async def closed(client: Client) -> tuple[int, str]:
    async for _ in client.events():
        pass
    assert client.closed is not None
    return client.closed


async def test_a_users_sessions_are_closed() -> None:
    async with (
        watched() as it,
        connect(it.ws, ticket="dev:ann") as one,
        connect(it.ws, ticket="dev:ann") as two,
    ):
        result = await operate(it, "kick", "user:ann", "--reason", "no spam, please")
        assert (result.exit_code, result.stdout) == (0, "2 sessions closed\n")
        for client in (one, two):
            assert await closed(client) == (4502, "no spam, please")


async def test_one_session_may_come_back() -> None:
    async with watched() as it, connect(it.ws, ticket="dev:ann") as ann:
        sid = ann.authed["sid"]
        result = await operate(it, "kick", "--sid", sid, "--reconnect", "--json")
        assert (result.exit_code, json.loads(result.stdout)) == (0, {"kicked": 1})
        assert (await closed(ann))[0] == 4005


async def test_nobody_is_said_to_be_nobody() -> None:
    async with watched() as it:
        result = await operate(it, "kick", "user:nobody")
        assert (result.exit_code, result.stdout) == (0, "0 sessions closed\n")


async def test_what_the_gateway_refuses_is_a_usage_error() -> None:
    async with watched() as it:
        result = await operate(it, "kick", "user:ann", "--tenant", "acme")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "answered 400: there is no tenant 'acme'; there are: default" in (
            result.stderr
        )


async def test_the_key_is_needed_and_never_shown() -> None:
    async with watched(KEY) as it:
        for given, code in (([], 1), (["--key", KEY[:-1]], 1), (["--key", KEY], 0)):
            result = await operate(it, "kick", "user:ann", *given)
            assert result.exit_code == code
            assert KEY[:-1] not in result.output


@pytest.mark.parametrize("arguments", [[], ["user:ann", "--sid", "1"]])
def test_who_is_meant_must_be_clear(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, ["kick", *arguments])
    assert result.exit_code == 2
    assert "Give either a USER or --sid." in result.stderr


def test_where_nothing_listens_it_says_what_to_do() -> None:
    result = CliRunner().invoke(cli, ["kick", "user:ann", "--url", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: nothing listens on http://127.0.0.1:1;")
