from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
from pathlib import Path
from types import new_class
from typing import Any

import pytest

from wsprism_core.protocol import layout
from wsprism_core.protocol.fields import Field
from wsprism_core.protocol.javascript import module
from wsprism_core.protocol.packets import Packet

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "packets.json").read_text()
)


def declare(name: str, fields: dict[str, Field]) -> type[Packet]:
    made: Any = new_class(name, (Packet,), exec_body=lambda body: body.update(fields))
    return made  # type: ignore[no-any-return]


def field_of(row: dict[str, Any]) -> Field:
    bits = row.get("bits")
    return Field(
        row["type"],
        places=row.get("places"),
        bits=bits and {name: int(bit) for name, bit in bits.items()},
        count=row.get("count"),
        optional=row.get("optional", False),
    )


PACKETS = [
    declare(name, {row["name"]: field_of(row) for row in rows})
    for name, rows in VECTORS["packets"].items()
]

#: Reads questions, asks the module, and prints the answers. In both of them a BigInt
#: travels as {"$n": "1"}, since JSON has none.
RUNNER = """
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const wire = await import(pathToFileURL(process.argv[2]));
const questions = JSON.parse(
  readFileSync(process.argv[3]),
  (_, item) => (item?.$n === undefined ? item : BigInt(item.$n)),
);
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));

const ask = {
  get: (path) => path.split(".").reduce((item, key) => item[key], wire),
  unpack: (name, text, ...at) => wire[name].unpack(bytes(text), ...at),
  unpackBuffer: (name, text, ...at) => wire[name].unpack(bytes(text).buffer, ...at),
  unpackSlice: (name, text, from, to, ...at) =>
    wire[name].unpack(bytes(text).subarray(from, to), ...at),
  pack: (name, values) => hex(wire[name].pack(values)),
  packTyped: (name, values, key) =>
    hex(wire[name].pack({ ...values, [key]: Uint16Array.from(values[key]) })),
  packSparse: (name, values, key, length) =>
    hex(wire[name].pack({ ...values, [key]: new Array(length) })),
  packInto: (name, values, room, offset) => {
    const buffer = new Uint8Array(room).fill(0xee);
    return [wire[name].packInto(values, buffer, offset), hex(buffer)];
  },
  toDecimal: (mantissa, places) => wire.toDecimal(mantissa, places),
  toMantissa: (text, places) => wire.toMantissa(text, places),
  isFrozen: (name) => Object.isFrozen(wire[name]),
};
const answers = questions.map(([what, ...rest]) => {
  try {
    return { value: ask[what](...rest) ?? null };
  } catch (error) {
    return { error: error.name, message: error.message };
  }
});
console.log(JSON.stringify(
  answers,
  (_, item) => (typeof item === "bigint" ? { $n: String(item) } : item),
));
"""


class Node:
    """The generated module in Node: one process answers many questions."""

    def __init__(self, folder: Path, text: str) -> None:
        self._folder = folder
        (folder / "wire.mjs").write_text(text)
        (folder / "runner.mjs").write_text(RUNNER)

    def ask(self, *questions: tuple[Any, ...]) -> list[dict[str, Any]]:
        (self._folder / "questions.json").write_text(json.dumps(questions))
        assert NODE is not None
        done = subprocess.run(
            [NODE, "runner.mjs", "wire.mjs", "questions.json"],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    def values(self, *questions: tuple[Any, ...]) -> list[Any]:
        answers = self.ask(*questions)
        assert [answer for answer in answers if "error" in answer] == []
        return [answer["value"] for answer in answers]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path, module(PACKETS, opcodes={"game": {"INPUT": 1}}))


def big(value: Any) -> Any:
    """Return what stands for a BigInt, or for an array of them."""
    if isinstance(value, list | tuple):
        return [big(item) for item in value]
    return value if value is None else {"$n": str(value)}


def javascript_values(packet: str, values: dict[str, Any]) -> dict[str, Any]:
    rows = {row["name"]: row for row in VECTORS["packets"][packet]}
    return {
        key: big(value) if rows[key]["type"] in {"u64", "i64"} else value
        for key, value in values.items()
    }


# The vectors


@needs_node
def test_vectors_are_read(node: Node) -> None:
    rows = VECTORS["valid"]
    read = node.values(*(("unpack", row["packet"], row["hex"]) for row in rows))
    assert read == [javascript_values(row["packet"], row["values"]) for row in rows]


@needs_node
def test_vectors_are_written(node: Node) -> None:
    rows = VECTORS["valid"]
    written = node.values(
        *(
            ("pack", row["packet"], javascript_values(row["packet"], row["values"]))
            for row in rows
        )
    )
    assert written == [row["hex"] for row in rows]


@needs_node
def test_unreadable_vectors_are_refused(node: Node) -> None:
    rows = VECTORS["unreadable"]
    answers = node.ask(*(("unpack", row["packet"], row["hex"]) for row in rows))
    for row, answer in zip(rows, answers, strict=True):
        assert answer.get("error") == "RangeError", row["name"]
        assert answer["message"].startswith(row["packet"]), row["name"]


@needs_node
def test_unwritable_vectors_are_refused(node: Node) -> None:
    rows = VECTORS["unwritable"]
    answers = node.ask(
        *(
            ("pack", row["packet"], javascript_values(row["packet"], row["values"]))
            for row in rows
        )
    )
    for row, answer in zip(rows, answers, strict=True):
        assert answer.get("error") == "RangeError", row["name"]
        assert answer["message"].startswith(row["names"]), row["name"]


@needs_node
def test_decimals(node: Node) -> None:
    rows = VECTORS["decimals"]
    texts = node.values(
        *(("toDecimal", big(row["mantissa"]), row["places"]) for row in rows)
    )
    assert texts == [row["text"] for row in rows]
    assert node.values(("toDecimal", 1500, 3), ("toDecimal", -5, 1)) == [
        "1.500",
        "-0.5",
    ]

    rows += VECTORS["decimal_texts"]
    mantissas = node.values(
        *(("toMantissa", row["text"], row["places"]) for row in rows)
    )
    assert mantissas == [big(row["mantissa"]) for row in rows]

    rows = VECTORS["no_decimals"]
    answers = node.ask(*(("toMantissa", row["text"], row["places"]) for row in rows))
    assert [answer.get("error") for answer in answers] == ["RangeError"] * len(rows)


# Beside Python, on payloads of a seeded chance


def chance_values(packet: type[Packet], chance: random.Random) -> list[Any]:
    def number(field: Field) -> Any:
        allowed = field.scalar.range
        if allowed is not None:
            return chance.choice(
                [chance.randint(allowed[0], allowed[-1]), allowed[0], allowed[-1]]
            )
        value = chance.uniform(-1e30, 1e30)
        return struct.unpack("f", struct.pack("f", value))[0]

    fields = list(packet.fields.values())
    required = sum(not field.optional for field in fields)
    present = fields[: chance.randint(required, len(fields))]
    return [
        tuple(number(field) for _ in range(field.count))
        if field.count
        else number(field)
        for field in present
    ]


@needs_node
def test_node_reads_what_python_writes_and_writes_the_same(node: Node) -> None:
    chance = random.Random(20240607)
    made = [packet(*chance_values(packet, chance)) for packet in PACKETS * 50]
    payloads = [(type(packet).__name__, packet.pack().hex()) for packet in made]
    read = node.values(*(("unpack", name, payload) for name, payload in payloads))
    for packet, values in zip(made, read, strict=True):
        expected = {
            key: big(value) if field.type in {"u64", "i64"} else value
            for key, field in packet.fields.items()
            for value in [getattr(packet, key)]
        }
        assert values == json.loads(json.dumps(expected))
    written = node.values(
        *(
            ("pack", name, values)
            for (name, _), values in zip(payloads, read, strict=True)
        )
    )
    assert written == [payload for _, payload in payloads]


# Buffers


MOVE = next(row for row in VECTORS["valid"] if row["packet"] == "Move")


@needs_node
def test_reading_at_an_offset_and_of_a_length(node: Node) -> None:
    one = MOVE["hex"]
    assert (
        node.values(
            ("unpack", "Move", "01010100" + one, 4),
            ("unpackBuffer", "Move", "01010100" + one, 4),
            ("unpackSlice", "Move", "01010100" + one + "ffff", 4, 25),
            ("unpack", "Move", one + one, 21, 21),
            ("unpack", "Move", one + one, 0, 21),
        )
        == [MOVE["values"]] * 5
    )


@needs_node
def test_reading_never_leaves_the_view(node: Node) -> None:
    # Behind a slice there may be more of its buffer; it is not the packet's.
    one = MOVE["hex"]
    answers = node.ask(
        ("unpack", "Move", one, 0, 22),
        ("unpack", "Move", one, 1, 21),
        ("unpack", "Move", one, -1),
        ("unpack", "Move", one, -1, 21),
        ("unpackSlice", "Move", one, 0, 20),
        ("unpackSlice", "Move", one + one, 0, 21, 21, 21),
        ("unpackSlice", "Move", one + one, 21, 42, -21, 21),
    )
    assert [answer.get("error") for answer in answers] == ["RangeError"] * 7


@needs_node
def test_writing_into_a_buffer(node: Node) -> None:
    one, values = MOVE["hex"], MOVE["values"]
    assert node.values(("packInto", "Move", values, 25, 2)) == [
        [21, "eeee" + one + "eeee"]
    ]
    answers = node.ask(
        ("packInto", "Move", values, 22, 2), ("packInto", "Move", values, 30, -1)
    )
    assert [answer.get("error") for answer in answers] == ["RangeError"] * 2


@needs_node
def test_arrays_may_be_typed_but_not_sparse(node: Node) -> None:
    values = MOVE["values"]
    assert node.values(("packTyped", "Move", values, "path")) == [MOVE["hex"]]
    [answer] = node.ask(("packSparse", "Move", values, "path", 4))
    assert answer.get("error") == "RangeError"


# Constants


@needs_node
def test_constants_are_those_of_the_layout(node: Node) -> None:
    expected: dict[str, Any] = {
        "PROTOCOL_VERSION": 1,
        "WEBSOCKET_PATH": "/v1/ws",
        "SUBPROTOCOLS": ["wsprism.v1.json", "wsprism.v1.msgpack"],
        "HOT_HEADER_SIZE": 4,
        "OPCODE_ACK": 0,
        "EnvelopeFlag": {"SEQ_PRESENT": 1, "ROOM_PRESENT": 2, "ACK_REQUESTED": 4},
        "HotFlag": {"SEQ": 1, "ACK_REQUESTED": 2, "ROOM": 4, "SENDER": 8},
        "FrameKind": {"TEXT": 1, "BINARY": 2, "PING": 3, "PONG": 4, "CLOSE": 5},
        "ErrorCode": {code.name: code.value for code in layout.ErrorCode},
        "CloseCode": {code.name: code.value for code in layout.CloseCode},
        "RECONNECT_CLOSE_CODES": [1001, 1011, 1012, 1013, 4001, 4002, 4003, 4005],
        "ServiceId": {"game": 1, "chat": 2, "party": 3, "market": 4},
        "Opcode": {"game": {"INPUT": 1}},
    }
    assert node.values(*(("get", name) for name in expected)) == list(expected.values())
    frozen = node.values(*(("isFrozen", name) for name in [*expected, "Move"]))
    assert frozen == [True] * (len(expected) + 1)


@needs_node
def test_packets_say_their_sizes_places_and_bits(node: Node) -> None:
    assert node.values(
        ("get", "Move.size"),
        ("get", "Move.sizes"),
        ("get", "Move.places"),
        ("get", "Move.bits"),
        ("get", "Quote.bits.flags"),
        ("get", "Ready.sizes"),
    ) == [
        24,
        [21, 22, 24],
        {"x": 3, "spin": 1},
        {"buttons": {"JUMP": 1, "FIRE": 2, "CROUCH": 4}},
        {"HALTED": big(1), "LAST": big(2**63)},
        [0],
    ]


@needs_node
def test_names_that_mean_something_to_javascript(tmp_path: Path) -> None:
    words = ("constructor", "new", "function", "toString", "length")
    packet = declare("Words", {word: Field("u8") for word in words})
    text = module([packet], services={"__proto__": 7, "my-game": 8})
    values = dict(zip(words, range(5), strict=True))
    assert Node(tmp_path, text).values(
        ("pack", "Words", values),
        ("unpack", "Words", "0001020304"),
        ("get", "ServiceId.my-game"),
        ("get", "ServiceId.__proto__"),
    ) == ["0001020304", values, 8, 7]


# The text


def test_the_layout_of_a_packet_stands_above_it() -> None:
    packet = declare(
        "Move",
        {
            "tick": Field("u32"),
            "buttons": Field("u8", bits={"JUMP": 1, "FIRE": 2}),
            "path": Field("u16", count=4),
            "boost": Field("u8", optional=True),
        },
    )
    assert (
        "/**\n"
        " * Move: 13 or 14 bytes.\n"
        " *     0  tick     u32\n"
        " *     4  buttons  u8, bits JUMP FIRE\n"
        " *     5  path     u16[4]\n"
        " *    13  boost    u8, optional\n"
        " */\n"
    ) in module([packet])


def test_constants_alone_need_no_helpers() -> None:
    assert "function" not in module()


@pytest.mark.parametrize(
    "name", ["Object", "CloseCode", "void", "viewOf", "Größe", "_A"]
)
def test_a_packet_with_a_name_that_is_taken_or_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"no packet can be called '{name}'"):
        module([declare(name, {})])


def test_two_packets_of_one_name() -> None:
    with pytest.raises(ValueError, match="'Move'"):
        module([declare("Move", {}), declare("Move", {})])


def test_the_text_is_the_same_every_time() -> None:
    assert module(PACKETS) == module(PACKETS)
