from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.transports.reassembly import Fragments


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)] or [b""]


@given(st.text(max_size=50), st.lists(st.integers(0, 200), max_size=5))
def test_text_is_whole_however_it_is_cut(text: str, cuts: list[int]) -> None:
    parts = pieces(text.encode("utf-8", "replace"), cuts)
    fragments = Fragments(is_text=True)
    for place, part in enumerate(parts):
        fragments.add(part, last=place == len(parts) - 1)
    assert fragments.payload() == b"".join(parts)
    assert len(fragments) == len(b"".join(parts))
    assert fragments.count == len(parts)


@given(st.binary(max_size=50), st.lists(st.integers(0, 60), max_size=5))
def test_binary_is_not_looked_at(data: bytes, cuts: list[int]) -> None:
    fragments = Fragments(is_text=False)
    for part in pieces(data, cuts):
        fragments.add(part, last=False)
    assert fragments.payload() == data


@given(st.binary(max_size=50), st.lists(st.integers(0, 60), max_size=5))
def test_what_is_no_utf8_is_refused_however_it_is_cut(
    data: bytes, cuts: list[int]
) -> None:
    parts = pieces(data, cuts)
    fragments = Fragments(is_text=True)
    try:
        for place, part in enumerate(parts):
            fragments.add(part, last=place == len(parts) - 1)
    except UnicodeDecodeError:
        with pytest.raises(UnicodeDecodeError):
            data.decode()
    else:
        data.decode()


def test_bad_text_is_refused_at_the_fragment_that_makes_it_bad() -> None:
    fragments = Fragments(is_text=True)
    fragments.add(b"\xf0\x9f", last=False)
    with pytest.raises(UnicodeDecodeError):
        fragments.add(b"x", last=False)


def test_text_may_not_end_within_a_character() -> None:
    fragments = Fragments(is_text=True)
    fragments.add(b"\xc3", last=False)
    with pytest.raises(UnicodeDecodeError):
        fragments.add(b"", last=True)


def test_empty_fragments_count() -> None:
    fragments = Fragments(is_text=False)
    for _ in range(3):
        fragments.add(b"", last=False)
    assert fragments.count == 3
    assert len(fragments) == 0
