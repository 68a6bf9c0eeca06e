"""Strings that are harmless and often do harm, by what they harm."""

from __future__ import annotations

from typing import Final

__all__ = ("NAUGHTY",)

NAUGHTY: Final[dict[str, tuple[str, ...]]] = {
    "nothing and everything": (
        *("", " ", "\t", "null", "NULL", "None", "nil", "undefined", "true", "NaN"),
        *("0", "-1", "1e999", "Infinity", "0x0", "1.0", "9" * 100, "[]", "{}", "\\"),
    ),
    "formats": (
        *("%s", "%n%n%n%n", "%(asctime)s", "%d" * 20, "{}", "{0}", "{0.__class__}"),
        *("{event!r:>10000}", "${jndi:ldap://127.0.0.1/a}", "$HOME", "`id`", "$(id)"),
        *("#{1+1}", "{{7*7}}", "<%= 7*7 %>", "!!python/object:os.system", "&amp;"),
    ),
    "markup": (
        *("<script>alert(1)</script>", "<!--", "]]>", "<img src=x onerror=alert(1)>"),
        *("[bold red]x[/]", "[/]", "javascript:alert(1)", "<?xml version='1.0'?>"),
        *("</textarea>", "'; DROP TABLE rooms; --", "1' OR '1'='1", "*)(uid=*))(|"),
    ),
    "line ends": (
        *("\n", "\r", "\r\n", "a\nb", "a\r\nb", "a\vb", "a\fb", "a\x1cb", "a\x85b"),
        *("a\u2028b", "a\u2029b", "\r\nPUB x 1\r\n", "\nlevel=error event=forged"),
        *("\r\nSet-Cookie: a=b", '","event":"forged', "\n{}\n", "a\r\n\r\nb"),
    ),
    "controls": (
        *("\0", "a\0b", "\x01\x02\x03", "\x07", "\x08\x08\x08", "\x1b[31mred\x1b[0m"),
        *("\x1b]0;title\x07", "\x1b[2J", "\x1b[1A\x1b[2K", "\x7f", "\x9b31m", "\x80"),
    ),
    "unicode": (
        *("caf\u00e9", "cafe\u0301", "\u202eltr", "\u2066a\u2069", "\u200b", "\ufeff"),
        *(
            "\ufdd0",
            "\uffff",
            "\U0010ffff",
            "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        ),
        *(
            "\u0130",
            "\u0131",
            "\u00df",
            "\ufb03",
            "\u1e9e",
            "\u01c5",
            "\u0660",
            "\uff11",
        ),
        *(
            "Z\u0351\u036b\u0343" * 20,
            "\ufdfd",
            "\u200f\u200f\u200e",
            "\u00ad",
            "\u00a0",
        ),
        *("\u0410\u0430", "\u2000\u3000", "\u65e5\u672c\u8a9e", "\U00020bb7", "\ue000"),
    ),
    "paths and topics": (
        *(
            "../../etc/passwd",
            "..\\..\\x",
            "/dev/null",
            "C:\\nul",
            "file:///etc/passwd",
        ),
        *("*", ">", "a.>", "$SYS.>", "a..b", ".", "..", "#", "+/+", "a b", "__proto__"),
        *("constructor", "__class__", "self", "sys", "room", "con", "aux", "~root"),
    ),
    "length": ("a" * 300, "\u20ac" * 300, "\n" * 300, "\x1b" * 300, "%s" * 300),
}
