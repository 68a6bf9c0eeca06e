from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from support.operating import operate
from support.watched import watched
from wsprism_cli.main import cli
from wsprism_core.client import connect


async def test_a_room_gets_a_message_and_says_its_number() -> None:
    async with watched() as it, connect(it.ws, ticket="dev:ann") as ann:
        await ann.join("lobby")
        given = ("publish", "lab.posted", "--room", "lobby", '{"n":[1,"\u00e9"]}')
        result = await operate(it, *given, "--id", "n-1")
        assert result.exit_code == 0
        assert result.stdout == "sent to 1 session, number 1 of the room\n"
        again = await operate(it, *given, "--id", "n-1", "--json")
        assert json.loads(again.stdout)["seq"] == 1
        message = await anext(ann.messages("lab.posted"))
        assert message.data == {"n": [1, "\u00e9"]}


async def test_users_get_a_message() -> None:
    async with (
        watched() as it,
        connect(it.ws, ticket="dev:ann") as ann,
        connect(it.ws, ticket="dev:bob") as bob,
    ):
        users = ("--user", "user:ann", "--user", "user:bob")
        result = await operate(it, "publish", "lab.said", "1", *users)
        assert (result.exit_code, result.stdout) == (0, "sent to 2 sessions\n")
        for client in (ann, bob):
            assert (await anext(client.messages("lab.said"))).data == 1


async def test_everyone_gets_a_message_without_data() -> None:
    async with watched() as it, connect(it.ws, ticket="dev:ann") as ann:
        result = await operate(it, "publish", "lab.said", "--everyone")
        assert (result.exit_code, result.stdout) == (0, "sent to 1 session\n")
        assert (await anext(ann.messages("lab.said"))).data is None


async def test_what_no_service_sends_is_a_usage_error() -> None:
    async with watched() as it:
        result = await operate(it, "publish", "chat.msg", "--everyone")
        assert result.exit_code == 2
        assert "answered 400: there is no service 'chat'; there are: lab" in (
            result.stderr
        )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "Missing argument 'SVC.TYPE'"),
        (["chat", "--everyone"], "'chat' is no SVC.TYPE, such as chat.msg."),
        (["chat.msg"], "Give one of --room, --user and --everyone."),
        (["chat.msg", "--room", "r", "--everyone"], "Give one of --room, --user and"),
        (["chat.msg", "--everyone", "--id", "1"], "--id is for a --room."),
        (["chat.msg", "--everyone", "hello"], "DATA is no JSON: "),
    ],
)
def test_usage_errors_exit_2(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(cli, ["publish", *arguments])
    assert result.exit_code == 2
    assert text in " ".join(result.stderr.split())
