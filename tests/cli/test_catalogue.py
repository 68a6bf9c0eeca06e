from __future__ import annotations

from typing import Any

import pytest

from support.command_line import install_only
from wsprism_cli.catalogue import Catalogue
from wsprism_core import HotFrame, Opcode, Service, hookimpl
from wsprism_core.protocol.fields import u16
from wsprism_core.protocol.packets import Packet


class Steer(Packet):
    angle: int = u16()


class Race:
    wsprism_api = 1

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="race",
            svc_id=9,
            opcodes=(
                Opcode(number=1, name="GO"),
                Opcode(number=2, name="STEER", layout=Steer),
            ),
        )


@pytest.fixture(autouse=True)
def _race_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch, race=Race)


def render(catalogue: Catalogue, *fields: Any, **options: Any) -> str:
    line = catalogue.render(HotFrame(*fields, **options))
    return "".join(piece.text for piece in line)


def sys(type: str, room: str, alias: int = 0) -> dict[str, Any]:
    return {"svc": "sys", "type": type, "room": room, "data": {"alias": alias}}


def test_opcodes_are_named_by_the_plugins_that_are_installed() -> None:
    catalogue = Catalogue({"race": 9, "chat": 2, "text": None})
    assert render(catalogue, 9, 1, 0, b"") == "< race.GO hot"
    assert (
        render(catalogue, 9, 2, 0, b"\x02\x01") == "< race.STEER hot Steer(angle=258)"
    )
    assert render(catalogue, 9, 3, 0, b"") == "< race.3 hot"
    assert render(catalogue, 9, 0, 0, b"", seq=7) == "< race.ACK hot seq=7"
    assert render(catalogue, 2, 1, 0, b"") == "< chat.1 hot"
    assert render(catalogue, 8, 1, 0, b"") == "< 8.1 hot"


def test_a_payload_of_another_layout_is_shown_as_bytes() -> None:
    catalogue = Catalogue({"race": 9})
    assert render(catalogue, 9, 2, 0, b"\x02") == "< race.STEER hot 1 byte 0x02"


@pytest.mark.parametrize("services", [{"race": 10}, {"other": 9}, {}])
def test_another_gateways_service_is_not_taken_for_ours(
    services: dict[str, int],
) -> None:
    assert "GO" not in render(Catalogue(services), 9, 1, 0, b"")


def test_rooms_are_known_from_joined_to_left() -> None:
    catalogue = Catalogue({})
    assert catalogue.alias("lobby") is None
    catalogue.note(sys("joined", "lobby", 3))
    catalogue.note(sys("joined", "arena", 4))
    catalogue.note({"svc": "chat", "type": "left", "room": "lobby"})
    assert catalogue.alias("lobby") == 3
    assert render(catalogue, 1, 1, 0, b"", alias=4) == "< 1.1 hot room=arena"
    catalogue.note(sys("left", "arena"))
    assert catalogue.alias("arena") is None
    assert render(catalogue, 1, 1, 0, b"", alias=4) == "< 1.1 hot room=alias 4"


@pytest.mark.parametrize(
    "envelope",
    [
        {},
        {"svc": "sys", "type": "joined"},
        {"svc": "sys", "type": "joined", "data": None},
        {"svc": "sys", "type": "joined", "room": "r", "data": {}},
        {"svc": "sys", "type": "left"},
        {"svc": "sys", "type": "ack", "data": {"alias": 1}},
    ],
)
def test_other_messages_teach_nothing(envelope: dict[str, Any]) -> None:
    catalogue = Catalogue({})
    catalogue.note(envelope)
    assert catalogue.alias("r") is None
