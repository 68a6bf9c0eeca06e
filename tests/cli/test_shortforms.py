from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_cli.shortforms import (
    HELP,
    LineError,
    Quit,
    SendFrame,
    SendRaw,
    SendText,
    ShowHelp,
    parse_line,
)


@pytest.mark.parametrize("line", ["", "   ", "\t\n"])
def test_an_empty_line_says_nothing(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/help", ShowHelp()),
        ("/quit", Quit()),
        ("/exit", Quit()),
        ("/join", SendText("room", "join")),
        ("/join lobby", SendText("room", "join", None, "lobby")),
        ("/join\tlobby ", SendText("room", "join", None, "lobby")),
        ("/leave", SendText("room", "leave")),
        ("/members a.b:c@d-e_F", SendText("room", "members", None, "a.b:c@d-e_F")),
        ("/ping", SendText("sys", "ping", {})),
        ("/raw {no json", SendRaw("{no json")),
        ("/raw", SendRaw("")),
    ],
)
def test_slash_commands(line: str, command: object) -> None:
    assert parse_line(line) == command


@pytest.mark.parametrize(
    ("line", "data"),
    [
        ("party.create", None),
        ('party.create {"max_size": 4}', {"max_size": 4}),
        ("x.list [1, 2]", [1, 2]),
        ("party.create max_size=4", {"max_size": 4}),
        (
            "x.do a=1 b=true c=null d=1.5 e=text",
            {"a": 1, "b": True, "c": None, "d": 1.5, "e": "text"},
        ),
        (
            'x.do a="two words" b=[1,2] c={"k":1}',
            {"a": "two words", "b": [1, 2], "c": {"k": 1}},
        ),
        (r'x.do a="a \"quoted\" word"', {"a": 'a "quoted" word'}),
        ('x.do a="1"', {"a": "1"}),
        ("x.do a= b=1=2", {"a": "", "b": "1=2"}),
        ("x.do a=NaN", {"a": "NaN"}),
        ("x.do url=https://example.com/?q=1", {"url": "https://example.com/?q=1"}),
    ],
)
def test_data(line: str, data: Any) -> None:
    command = parse_line(line)
    assert isinstance(command, SendText)
    assert command.data == data
    assert command.room is None


@pytest.mark.parametrize(
    ("line", "data"),
    [
        ("chat.send hello there", {"msg": "hello there"}),
        ("chat.send don't", {"msg": "don't"}),
        ("chat.send a=b", {"msg": "a=b"}),
        ("chat.send [sic]", {"msg": "[sic]"}),
        ("chat.send {", {"msg": "{"}),
        ('chat.send {"msg": "hi"}', {"msg": "hi"}),
        ("chat.send msg=hi id=m1", {"msg": "hi", "id": "m1"}),
        ('chat.send msg="hi all"', {"msg": "hi all"}),
        ("party.invite user:bob", {"user": "user:bob"}),
        ("party.accept p1", {"party": "p1"}),
        ("market.subscribe BTC-USD ETH-*", {"symbols": ["BTC-USD", "ETH-*"]}),
        ('market.subscribe symbols=["BTC-*"]', {"symbols": ["BTC-*"]}),
    ],
)
def test_bare_text_of_the_types_that_people_type(line: str, data: Any) -> None:
    command = parse_line(line)
    assert isinstance(command, SendText)
    assert command.data == data


def test_a_room_stands_behind_the_type() -> None:
    assert parse_line("chat.send@lobby hello @bob") == SendText(
        "chat", "send", {"msg": "hello @bob"}, "lobby"
    )
    assert parse_line("chat.history@a@b") == SendText("chat", "history", None, "a@b")


def test_an_envelope_goes_out_as_it_stands() -> None:
    line = '{"svc": "chat",  "type": "send", "seq": 7, "flags": 4}'
    assert parse_line(f"  {line} ") == SendRaw(line)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/hot 1 2", SendFrame(1, 2)),
        ("/hot 255 255 abcd", SendFrame(255, 255, b"abcd")),
        ("/hot 1 2 0x0aFF", SendFrame(1, 2, b"\x0a\xff")),
        ("/hot 1 2 0x", SendFrame(1, 2, b"")),
        ("/hot 1 2 hello lobby", SendFrame(1, 2, b"hello", "lobby")),
        ('/hot 1 2 "two words" lobby', SendFrame(1, 2, b"two words", "lobby")),
        ('/hot 1 2 "" lobby', SendFrame(1, 2, b"", "lobby")),
        ('/hot 1 2 "open', SendFrame(1, 2, b'"open')),
        ("/hot 1 1 go seq=7", SendFrame(1, 1, b"go", seq=7)),
        ("/hot 1 1 seq=4294967295", SendFrame(1, 1, seq=2**32 - 1)),
        ("/hot 1 1 go lobby seq=7 ack", SendFrame(1, 1, b"go", "lobby", 7, True)),
    ],
)
def test_hot_frames(line: str, command: SendFrame) -> None:
    assert parse_line(line) == command


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("hello", "not understood; try chat.send hello, or /help"),
        ("Chat.send hi", "not understood"),
        ("/jion lobby", "there is no /jion; did you mean /join?"),
        ("/xyzzy", "there is no /xyzzy; try /help"),
        ("/join two rooms", "a room's name is"),
        ("/join " + "a" * 129, "a room's name is"),
        ("chat.send@ hi", "a room's name is"),
        ("x.do some text", "the data of x.do is KEY=VALUE ... or JSON"),
        ("x.do a=1 and more", "the data of x.do is KEY=VALUE ... or JSON"),
        ("x.do {nope}", "the data is no JSON"),
        ('x.do {"a": NaN}', "the data is no JSON: NaN"),
        ('x.do {"a": "\\ud800"}', "the data is no JSON"),
        ("x.do " + "[" * 100_000, "nested too deeply"),
        ("{nope}", "this is no JSON"),
        ('{"svc": "chat"}', "an envelope has svc and type"),
        ('{"svc": "chat", "type": 1}', "an envelope has svc and type"),
        ("/hot", "it is /hot SVC_ID"),
        ("/hot 1", "it is /hot SVC_ID"),
        ("/hot 256 1", "'256' must be a number from 0 to 255"),
        ("/hot one 1", "'one' must be a number"),
        ("/hot 1 " + "9" * 5000, "must be a number"),
        ("/hot 1 2 0xabc", "'0xabc' is no hex"),
        ("/hot 1 2 two words here", "too many words"),
        ("/hot 1 2 go lobby!", "a room's name is"),
        ("/hot 1 2 go seq=-1", "'-1' must be a number"),
        ("/hot 1 2 go ack", "ack needs seq=N"),
    ],
)
def test_what_is_not_understood_says_what_would_be(line: str, why: str) -> None:
    with pytest.raises(LineError) as caught:
        parse_line(line)
    assert why in str(caught.value)


@given(st.text() | st.text(st.sampled_from('/hot 012 "x=ack\\[]{}.@')))
def test_any_line_is_understood_or_refused(line: str) -> None:
    try:
        command = parse_line(line)
    except LineError:
        return
    if isinstance(command, SendText):
        json.dumps(command.data, allow_nan=False)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.none() | st.booleans() | st.integers() | st.text(),
        min_size=1,
    )
)
def test_pairs_say_whatever_json_says(data: dict[str, Any]) -> None:
    pairs = " ".join(f"{key}={json.dumps(value)}" for key, value in data.items())
    assert parse_line(f"x.do {pairs}") == SendText("x", "do", data)
    assert parse_line(f"x.do {json.dumps(data)}") == SendText("x", "do", data)


def test_examples_in_the_help_are_understood() -> None:
    examples = [
        "party.create",
        'chat.send msg="hi all" id=m1',
        'chat.history {"limit":2}',
        'room.join@lobby {"epoch":"9a3c","seq":39}',
        "/hot 1 2 0x0aff",
    ]
    for example in examples:
        assert example in HELP
        assert parse_line(example) is not None
    assert max(map(len, HELP.splitlines())) <= 80
