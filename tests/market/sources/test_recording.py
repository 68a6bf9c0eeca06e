from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsprism_market.quotes import Quote
from wsprism_market.sources.port import BadLine, Due, Item
from wsprism_market.sources.recording import Recording

GOOD = '{"ts":1000,"symbol":"A","bid":"1.5","ask":1.75,"last":1.6}'
QUOTE = Quote("A", 1_000, 2, 150, 175, 160)


def write(folder: Path, name: str, *lines: str) -> str:
    path = folder / name
    path.write_bytes("\n".join(lines).encode())
    return str(path)


def play(path: str, speed: float = 1) -> list[Item]:
    return list(Recording(path, speed).play())


def quotes(items: list[Item]) -> list[Quote]:
    return [item.quote for item in items if isinstance(item, Due)]


def bad_lines(items: list[Item]) -> list[str]:
    bad = [item for item in items if isinstance(item, BadLine)]
    return [f"{item.where}: {item.reason}" for item in bad]


def test_ndjson(tmp_path: Path) -> None:
    assert play(write(tmp_path, "day.ndjson", GOOD)) == [Due(0.0, QUOTE)]


def test_json_numbers_keep_their_digits(tmp_path: Path) -> None:
    line = '{"ts":1,"symbol":"A","bid":0.1,"ask":0.30,"last":123456789.123456}'
    path = write(tmp_path, "day.ndjson", line)
    scaled = Quote("A", 1, 6, 100_000, 300_000, 123_456_789_123_456)
    assert quotes(play(path)) == [scaled]


def test_csv(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "day.csv",
        "symbol,venue,ts,bid,ask,last",
        'A,"Frankfurt, Main",1000,1.5,1.75,1.60',
        "",
        " A ,x, 1000 ,1.5,1.75,1.6\r",
    )
    assert play(path) == [Due(0.0, QUOTE)] * 2


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = write(tmp_path, "day.csv", "\ufeffts,symbol,bid,ask,last", "1,A,1,1,1")
    assert quotes(play(path)) == [Quote("A", 1, 0, 1, 1, 1)]


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("", "no column ts, symbol, bid, ask, last"),
        ("ts,symbol,bid,last", "no column ask"),
        ('ts,"symbol', "no CSV"),
    ],
)
def test_a_csv_file_without_its_head(tmp_path: Path, head: str, reason: str) -> None:
    path = write(tmp_path, "day.csv", head, "1,A,1,1,1")
    with pytest.raises(ValueError, match=reason) as caught:
        play(path)
    assert str(caught.value).startswith(f"{path}:1: ")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        play(str(tmp_path / "day.ndjson"))


def test_an_empty_recording(tmp_path: Path) -> None:
    assert play(write(tmp_path, "day.ndjson", "")) == []


def at(ts: int) -> str:
    return f'{{"ts":{ts},"symbol":"A","bid":1,"ask":1,"last":1}}'


@pytest.mark.parametrize(
    ("speed", "times"),
    [(1, [0, 0.25, 2]), (2, [0, 0.125, 1]), (0.5, [0, 0.5, 4]), (0, [0, 0, 0])],
)
def test_speed(tmp_path: Path, speed: float, times: list[float]) -> None:
    path = write(tmp_path, "day.jsonl", at(5_000), at(5_250), at(7_000))
    assert [item.at for item in play(path, speed)] == times


def test_the_order_is_the_file_s(tmp_path: Path) -> None:
    path = write(tmp_path, "day.jsonl", at(5_000), at(7_000), at(6_000), at(4_000))
    assert [item.at for item in play(path)] == [0, 2, 1, -1]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "no JSON: Expecting value (column 1)"),
        ('{"ts":1', "no JSON: Expecting ',' delimiter (column 8)"),
        pytest.param("[" * 100_000, "recursion", id="deep"),
        ("[1]", "no JSON object"),
        ("{}", "ts is missing or neither text nor number"),
        (GOOD.replace('"A"', "null"), "symbol is missing or neither"),
        (GOOD.replace("1.75", "true"), "ask is missing or neither"),
        (GOOD.replace('"A"', '"A/B"'), "no symbol: 'A/B'"),
        (GOOD.replace('"A"', '"\\ud800"'), "no symbol: '\\ud800'"),
        (GOOD.replace("1000", "-1"), "ts is no number of milliseconds: '-1'"),
        (GOOD.replace("1000", "1.5"), "ts is no number of milliseconds: '1.5'"),
        (GOOD.replace("1000", str(2**53)), "ts is no number of milliseconds"),
        (GOOD.replace("1.6", "NaN"), "last is no decimal number: 'NaN'"),
        (GOOD.replace("1.5", "1,5"), "bid is no decimal number: '1,5'"),
        pytest.param(
            GOOD.replace("1.6", "9" * 5_000),
            "last is no decimal number: '999",
            id="long",
        ),
    ],
)
def test_a_bad_line_of_ndjson(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path, "day.ndjson", GOOD, line, GOOD)
    items = play(path)
    assert quotes(items) == [QUOTE, QUOTE]
    (told,) = bad_lines(items)
    assert told.startswith(f"{path}:2: ")
    assert reason in told
    assert len(told) < len(path) + 120
    assert isinstance(items[1], BadLine)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1000,A,1.5,1.75", "4 columns instead of 5"),
        ("1000,A,1.5,1.75,1.6,x", "6 columns instead of 5"),
        ('1000,"A,1.5,1.75,1.6', "no CSV: unexpected end of data"),
        ("1000,A,1.5,,1.6", "ask is no decimal number: ''"),
        ("ts,symbol,bid,ask,last", "ts is no number of milliseconds: 'ts'"),
    ],
)
def test_a_bad_line_of_csv(tmp_path: Path, line: str, reason: str) -> None:
    good = "1000,A,1.5,1.75,1.6"
    path = write(tmp_path, "d.csv", "ts,symbol,bid,ask,last", good, line, good)
    items = play(path)
    assert quotes(items) == [QUOTE, QUOTE]
    (told,) = bad_lines(items)
    assert told.startswith(f"{path}:3: ")
    assert reason in told


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_bytes_that_are_no_utf_8_spoil_one_line(tmp_path: Path, suffix: str) -> None:
    lines = {
        "csv": (b"ts,symbol,bid,ask,last", b"1000,A,1.5,1.75,1.6"),
        "ndjson": (b"", GOOD.encode()),
    }
    head, good = lines[suffix]
    path = tmp_path / f"day.{suffix}"
    path.write_bytes(b"\n".join([head, good, good.replace(b"A", b"\xff"), good]))
    items = play(str(path))
    assert quotes(items) == [QUOTE, QUOTE]
    assert len(bad_lines(items)) == 1


def test_the_first_good_line_is_the_beginning(tmp_path: Path) -> None:
    path = write(tmp_path, "day.ndjson", "nonsense", at(9_000), at(9_500))
    assert [item.at for item in play(path)] == [0, 0, 0.5]


def test_closing_frees_the_file(tmp_path: Path) -> None:
    playing = Recording(write(tmp_path, "day.ndjson", GOOD, GOOD), 1).play()
    next(playing)
    playing.close()
    assert list(playing) == []


lines = st.lists(
    st.one_of(
        st.just(GOOD.encode()),
        st.binary(max_size=60).map(lambda line: line.translate(None, b"\r\n")),
    )
)


@given(lines, st.sampled_from(["csv", "ndjson"]))
@settings(deadline=None)
def test_any_bytes_are_quotes_or_bad_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], suffix: str
) -> None:
    good = b"1000,A,1.5,1.75,1.6" if suffix == "csv" else GOOD.encode()
    head = [b"ts,symbol,bid,ask,last"] if suffix == "csv" else []
    lines = [good if line == GOOD.encode() else line for line in lines]
    path = tmp_path_factory.mktemp("recording") / f"day.{suffix}"
    path.write_bytes(b"\n".join([*head, *lines]))
    items = play(str(path))
    expected = lines.count(good)
    assert quotes(items).count(QUOTE) == expected
    assert len(items) <= len(lines)
