from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from support.json_values import values
from wsprism_core.gateway.egress import BESIDE_DATA, TIMES_JSON
from wsprism_core.protocol.codecs import CODECS, JSON
from wsprism_core.protocol.envelope import numbered
from wsprism_core.protocol.layout import MAX_SAFE_INTEGER

LONGEST = "x" * 128


@given(values | st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_no_codec_takes_more_than_is_reckoned_with(data: Any) -> None:
    reckoned = BESIDE_DATA + TIMES_JSON * len(JSON.encode({"data": data}))
    envelope = numbered(
        LONGEST, LONGEST, LONGEST, MAX_SAFE_INTEGER, MAX_SAFE_INTEGER, data
    )
    for codec in CODECS.values():
        assert len(codec.encode(envelope)) < reckoned
