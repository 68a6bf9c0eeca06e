from __future__ import annotations

import pytest

from wsprism_core.protocol.layout import (
    ENVELOPE_FIELDS,
    HOT_HEADER_FIELDS,
    HOT_HEADER_SIZE,
    MSGPACK_MAP_FIRST_BYTES,
    PRIVATE_SERVICE_IDS,
    PROTOCOL_VERSION,
    ROOM_NAME,
    SERVICE_IDS,
    SUBPROTOCOLS,
    THIRD_PARTY_SERVICE_IDS,
    CloseCode,
    EnvelopeFlag,
    ErrorCode,
    FrameKind,
    HotFlag,
)


def test_envelope_fields_by_direction() -> None:
    inbound = [field.name for field in ENVELOPE_FIELDS if field.inbound]
    outbound = {field.name for field in ENVELOPE_FIELDS if field.outbound}
    assert inbound == ["v", "svc", "type", "room", "seq", "flags", "data"]
    assert outbound == {
        *("v", "svc", "type", "room", "seq", "data"),
        *("ref", "ts", "trace_id"),
    }


def test_flag_bits() -> None:
    assert {flag.name: flag.value for flag in EnvelopeFlag} == {
        "SEQ_PRESENT": 0x01,
        "ROOM_PRESENT": 0x02,
        "ACK_REQUESTED": 0x04,
    }
    assert {flag.name: flag.value for flag in HotFlag} == {
        "SEQ": 0x01,
        "ACK_REQUESTED": 0x02,
        "ROOM": 0x04,
        "SENDER": 0x08,
    }


def test_hot_header_is_four_bytes_and_then_fields_by_rising_flag() -> None:
    always = [field for field in HOT_HEADER_FIELDS if field.flag is None]
    optional = [field.flag for field in HOT_HEADER_FIELDS if field.flag is not None]
    assert [field.name for field in always] == ["v", "svc_id", "opcode", "flags"]
    assert {field.type for field in always} == {"u8"}
    assert len(always) == HOT_HEADER_SIZE
    assert optional == [HotFlag.SEQ, HotFlag.ROOM, HotFlag.SENDER]


def test_the_first_byte_of_a_map_is_none_of_a_hot_frame() -> None:
    assert PROTOCOL_VERSION not in MSGPACK_MAP_FIRST_BYTES
    assert sorted(MSGPACK_MAP_FIRST_BYTES) == [*range(0x80, 0x90), 0xDE, 0xDF]


def test_frame_kinds() -> None:
    assert [(kind.name, kind.value) for kind in FrameKind] == [
        ("TEXT", 1),
        ("BINARY", 2),
        ("PING", 3),
        ("PONG", 4),
        ("CLOSE", 5),
    ]


def test_service_ids_share_no_number() -> None:
    assert SERVICE_IDS == {"game": 1, "chat": 2, "party": 3, "market": 4}
    ids = [*SERVICE_IDS.values(), *THIRD_PARTY_SERVICE_IDS, *PRIVATE_SERVICE_IDS]
    assert sorted(ids) == list(range(1, 256))


def test_json_is_the_subprotocol_of_clients_that_offer_none() -> None:
    assert SUBPROTOCOLS == ("wsprism.v1.json", "wsprism.v1.msgpack")


def test_error_codes_are_their_own_names() -> None:
    assert {code.name for code in ErrorCode} == {code.value for code in ErrorCode}


def test_close_codes_say_whether_to_come_back() -> None:
    assert {code.value for code in CloseCode if code.reconnect} == {
        *(1001, 1011, 1012, 1013),
        *(4001, 4002, 4003, 4005),
    }
    assert {code.value for code in CloseCode if not code.reconnect} == {
        *(1000, 1002, 1003, 1007, 1008, 1009),
        *(4500, 4501, 4502, 4503, 4504, 4505),
    }


@pytest.mark.parametrize("name", ["a", "r" * 128, "aZ09_.:@-", "..", "-"])
def test_room_names(name: str) -> None:
    assert ROOM_NAME.match(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "r" * 129,
        "a b",
        "lobby\n",
        "\r\nPUB x 1\r\n",
        "*",
        ">",
        "a.>",
        "[a-z]*",
        "{}",
        "../x",
        "$SYS.>",
        "a\0",
        "caf\u00e9",
        "cafe\u0301",
        "\u200flobby",
        "\uff41",
        "\u0661",
    ],
)
def test_no_room_names(name: str) -> None:
    assert not ROOM_NAME.match(name)
