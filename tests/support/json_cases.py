"""What is JSON and what is not: texts that parsers disagree about, by category.

The categories are those of JSONTestSuite ("Parsing JSON is a minefield"), which no
package carries. All of it is decided by RFC 8259; what that leaves open is in `OPEN`,
with what is decided here.
"""

from __future__ import annotations

from typing import Final

__all__ = ("ACCEPTED", "OPEN", "REFUSED")


def _in_array(*texts: str) -> list[bytes]:
    return [f"[{text}]".encode() for text in texts]


def _in_string(*texts: str) -> list[bytes]:
    return [f'["{text}"]'.encode() for text in texts]


#: Texts that must be taken.
ACCEPTED: Final[dict[str, list[bytes]]] = {
    "arrays": [
        b"[]",
        b"[[]   ]",
        b'[""]',
        b'["a"]',
        b"[false]",
        b"[true]",
        b"[null]",
        b'[null, 1, "1", {}]',
        b"[1,null,null,null,2]",
    ],
    "numbers": _in_array(
        *("0", "-0", "0e1", "0e+1", "0E-0", "-1", "-123", "123", "20e1", "123e65"),
        *("123e45", "1e-2", "1e+2", "1E22", "1E-2", "1E+2", "123.456e78"),
        *("123.456789", "-0.1", "0.5", "-" + "0." + "0" * 77 + "1", " 4", "1e-999"),
    ),
    "objects": [
        b"{}",
        b'{"a":[]}',
        b'{"asd":"sdf"}',
        b'{"asd":"sdf", "dfg":"fgh"}',
        b'{"a":"b","a":"c"}',
        b'{"a":"b","a":"b"}',
        b'{"":0}',
        rb'{"foo\u0000bar": 42}',
        b'{ "min": -1.0e+28, "max": 1.0e+28 }',
        b'{"x":[{"id": "' + b"x" * 40 + b'"}], "id": "' + b"x" * 40 + b'"}',
        rb'{"title":"\u041f\u043e\u043b\u0442"}',
        b'{\n"a": "b"\n}',
        b'{"__proto__":{"admin":true},"constructor":1}',
    ],
    "escapes": _in_string(
        *(r"\"\\\/\b\f\n\r\t", r"\\u0000", r"\"", r"\\a", r"\\n", r"\u0012"),
        *(r"\u0000", r"\u0022", r"\u005C", r"\u002c", r"\u0123", r"\u0821"),
        *(r"\u0060\u012a\u12AB", r"new\u000Aline", r"new\u00A0line", r"\uA66D"),
        *(r"\uD801\udc37", r"\ud83d\ude39\ud83d\udc8d", r"\uDBFF\uDFFF"),
        *(r"\uD834\uDd1e", r"\uDBFF\uDFFE", r"\uD83F\uDFFE", r"\u200B", r"\u2064"),
        *(r"\uFDD0", r"\uFFFE", r"\uFFFF", r"\u0061\u30af\u30EA\u30b9"),
    ),
    "characters": _in_string(
        *("asd", "asd ", "a/*b*/c/*d//e", "\x7f", "a\x7fa", "\u03c0", "\u20ac"),
        *("\u2028", "\u2029", "\ufeff", "\uffff", "\U0001bfff", "\U0010ffff"),
        *("\u2342\u3234\u2342", "\U0001d11e", "\u0821", "\u0085"),
    ),
    "bare values": [
        b"42",
        b"-0.1",
        b"null",
        b"true",
        b"false",
        b'"asd"',
        b'""',
        b'" "',
    ],
    "white space": [b" [] ", b" [1]", b"[2] ", b"[1\n]", b'["a"]\n', b"\t\r\n[ ]"],
}

#: Texts that must be refused.
REFUSED: Final[dict[str, list[bytes]]] = {
    "arrays": [
        *(b"[1 true]", b"[1,]", b"[,1]", b"[1,,2]", b'["",]', b'["x",,]', b"[,]"),
        *(b'["": 1]', b'[""],', b'["x"]]', b"[3[4]]", b"[1:2]", b"[-]", b'[   , ""]'),
        *(b"[", b"[1", b"[1,", b'[""', b'["a"', b"[*]", b"[\n1\n,1", b"[1\n,", b"[{}"),
        *(b'["\x0ba"\\f]', b"[a", b"[x"),
    ],
    "numbers": _in_array(
        *("++1234", "+1", "+Inf", "-01", "-1.0.", "-2.", "-NaN", ".-1", ".2e-3"),
        *("0.1.2", "0.3e+", "0.3e", "0.e1", "0E+", "0E", "0e+", "0e", "1.0e+"),
        *("1.0e-", "1.0e", "1 000.0", "1eE2", "2.e+3", "2.e-3", "2.e3", "9.e+"),
        *("Inf", "NaN", "\uff11", "1+2", "0x1", "0x42", "Infinity", "0e+-1", "-1x"),
        *("-123.123foo", "-Infinity", "-foo", "- 1", "-012", "-.123", "1ea", "1.e1"),
        *("1.2a-3", "1.8011670033376514H-308", "012", "123.", "1e999", "-1e999"),
        *("1_000", "9" * 5_000, "nan", "infinity", "1f", "00", "0b1"),
    ),
    "objects": [
        *(
            b'["x", truth]',
            b'{[: "x"}',
            b'{"x", null}',
            b'{"x"::"b"}',
            b'{"a":"a" 123}',
        ),
        *(b"{key: 'value'}", b'{"a" b}', b'{:"b"}', b'{"a"', b'{"a":', b"{1:1}"),
        *(b"{9999E9999:1}", b"{null:null,null:null}", b'{"id":0,,,,,}', b"{'a':0}"),
        *(b'{"id":0,}', b'{"a":"b"}/**/', b'{"a":"b"}/**//', b'{"a":"b"}//'),
        *(b'{"a":"b"}/', b'{"a":"b",,"c":"d"}', b'{a: "b"}', b'{"a":"a', b"{true: 1}"),
        *(b'{ "foo" : "bar", "a" }', b'{"a":"b"}#', b'{"a":1 "b":2}', b"{,}"),
    ],
    "strings": [
        *_in_string(r"\x00", r"\u", r"\u1", r"\u1x", r"\u00A", r"\uD800\u"),
        *_in_string(r"\uD800\u1", r"\uD800\u1x", r"\a", r"\'"),
        *_in_string(r"\uqqqq", r"\uD834\uDd", r"\uD800\uD800\x", "\\\U0001f300"),
        *_in_string("a\0a", "new\nline", "\t", "\x1f", "\b", "\r", "\\", "\\\\\\"),
        *(
            b"['single quote']",
            b"['a', \"b\"]",
            b"abc",
            b'["\\',
            b'"',
            b'["asd]',
            b"[\\n]",
        ),
        *(rb"[\u0020\"asd\"]", b'["""]', b'["a"x]', b'"a" "b"', b"`a`", b'"\\'),
    ],
    "lone surrogates": _in_string(
        *(r"\uDADA", r"\uD888\u1234", r"\uD800\n", r"\uDd1ea", r"\uD800\uD800\n"),
        *(r"\ud800", r"\ud800abc", r"\uDd1e\uD834", r"\uDFAA", r"\udc00\ud800"),
    ),
    "words": [
        *(
            b"[nul]",
            b"[tru]",
            b"[fals]",
            b"[True]",
            b"[TRUE]",
            b"[None]",
            b"[undefined]",
        ),
        *(b"nul", b"tru", b"truee", b"nullx", b"[t", b"[n", b"[f", b"yes"),
    ],
    "structure": [
        *(b"", b" ", b"[", b"{", b"]", b"}", b",", b"<.>", b"[<null>]", b"[1]x"),
        *(b"[1]]", b"{}}", b"[][]", b'""x', b"2@", b'{"a":', b"{]", b"[}"),
        *(b'{"a": true} "x"', b"aa", b'[\\u000A""]', b"[1}", b'["asd', b"[true", b"*"),
        *(b'{"', b'{"a', b"{'a'", b'{"a":"b"}#{}', b'["a",\n4\n,1,', b"[ false, tru"),
        *(b"\\u000A", b"[[[[[[[[[", b'[{"":' * 50, b"]" * 50, b"{}#", b"1 1", b"{}\0"),
        *(b"// a\n1", b"/*a*/1", b"1/*a*/", b"#1\n2"),
    ],
    "white space": [
        *(b"\xe2\x81\xa0", b"\xef\xbb\xbf[]", b"\xef\xbb\xbf", b"[\xe2\x81\xa0]"),
        *(b"\x0c[]", b"[\x0c]", b"[\x0b]", b"\xc2\xa0[]", b"\xc2\x85[]", b"\0[]"),
        *(b"[1\0,2]", b"[\x1b]", b"\x7f1"),
    ],
}

#: Texts of which RFC 8259 lets a parser choose, and whether they are taken here.
OPEN: Final[dict[bytes, bool]] = {
    b"[123456789012345678901234567890]": True,
    b"[-123123123123123123123123123123]": True,
    b"[1.5e+9999]": False,
    b"[-1e+9999]": False,
    b"[123.456e-789]": True,
    b"[" * 129 + b"]" * 129: False,
    b'["\xff"]': False,
    b'["\xe6\x97\xa5\xd1\x88\xfa"]': False,
    b'["\xc0\xaf"]': False,
    b'["\xed\xa0\x80"]': False,
    b'["\xf4\xbf\xbf\xbf"]': False,
    b'["\x81"]': False,
    '["\u00e9"]'.encode("utf-16"): False,
    '["\u00e9"]'.encode("utf-16-be"): False,
    '["\u00e9"]'.encode("utf-32"): False,
}
