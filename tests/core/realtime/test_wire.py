from __future__ import annotations

import gc
import weakref

import pytest

from support.pure import WIRE, PlainFraming
from wsprism_core.protocol.codecs import MSGPACK
from wsprism_core.realtime.wire import Outgoing, Wire, outgoing_bytes


def test_a_message_is_encoded_for_a_wire() -> None:
    message = Outgoing(0, envelope={"v": 1})
    assert message.form(WIRE).data == b'|{"v":1}'


def test_each_wire_has_its_own_form() -> None:
    other = Wire(MSGPACK, PlainFraming())
    message = Outgoing(0, envelope={"v": 1})
    assert message.form(other).data == b"#\x81\xa1v\x01"
    assert message.form(other).size == 5


def test_a_hot_frame_is_framed_as_binary_on_every_wire() -> None:
    message = Outgoing(0, hot=b"\x01\x01\x02\x00")
    assert message.form(WIRE).data == b"#\x01\x01\x02\x00"


def test_bytes_that_are_framed_already_stay_as_they_are() -> None:
    form = outgoing_bytes(0, b"\x8a\x00")
    assert (form.data, form.size, form.message.lane) == (b"\x8a\x00", 2, 0)


def test_what_cannot_be_encoded_is_an_error() -> None:
    with pytest.raises(ValueError, match="set"):
        Outgoing(0, envelope={"v": {1}}).form(WIRE)


@pytest.mark.interpreted
def test_what_was_sent_is_freed_without_the_collector() -> None:
    gc.disable()
    try:
        message = Outgoing(0, envelope={"v": 1})
        form = message.form(WIRE)
        gone = weakref.ref(form.message)
        del message, form
        assert gone() is None
    finally:
        gc.enable()
