"""The inputs that fuzzing has found, in the checks, without the fuzzer."""

from __future__ import annotations

import pytest

from fuzz.corpus import CORPUS, TARGETS, load

INPUTS = sorted(file for file in CORPUS.glob("*/*") if file.is_file())


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert sorted({file.parent.name for file in INPUTS}) == TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_was_found_is_a_fault(name: str) -> None:
    target = load(name)
    for file in INPUTS:
        if file.parent.name == name:
            try:
                target(file.read_bytes())
            except Exception as error:
                error.add_note(str(file.relative_to(CORPUS)))
                raise


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 100, bytes(range(256))])
def test_plain_nonsense_is_no_fault(name: str, data: bytes) -> None:
    load(name)(data)


def test_the_inputs_are_few_and_small() -> None:
    assert max(file.stat().st_size for file in INPUTS) <= 4_096
    assert len(INPUTS) <= 60 * len(TARGETS)
