from __future__ import annotations

from wsprism_core import Packet, packets
from wsprism_core.protocol import decimals, fields


def test_packets_has_what_a_plugin_declares_them_with() -> None:
    inner = {"SCALARS", "Scalar", "Field"}
    expected = {*fields.__all__, *decimals.__all__, "Packet"} - inner
    assert set(packets.__all__) == expected
    assert packets.Packet is Packet
