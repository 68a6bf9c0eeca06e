from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.policy.proxies import (
    MAX_HOPS,
    TrustedProxies,
    limiter_key,
    parse_network,
)

PROXY = "10.0.0.1"
CLIENT = "203.0.113.7"
PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:1::/48"])

addresses = st.ip_addresses().map(str)
networks = st.lists(
    st.one_of(
        st.builds(lambda a, n: f"{a}/{n}", st.ip_addresses(v=4), st.integers(8, 32)),
        st.builds(lambda a, n: f"{a}/{n}", st.ip_addresses(v=6), st.integers(16, 128)),
    ).map(lambda text: str(ip_network(text, strict=False))),
    max_size=3,
)


def listed(*hops: str, peer: str = PROXY) -> str:
    return PROXIES.client_of(peer, [], [", ".join(hops)])


def forwarded(*lines: str, peer: str = PROXY) -> str:
    return PROXIES.client_of(peer, lines, [])


# ------------------------------------------------------------------ X-Forwarded-For


def test_a_trusted_proxy_says_who_its_client_is() -> None:
    assert listed(CLIENT) == CLIENT


def test_nobody_is_trusted_unless_that_is_configured() -> None:
    assert TrustedProxies([]).client_of(PROXY, [], [CLIENT]) == PROXY
    assert not TrustedProxies([]).trusts(PROXY)


def test_of_an_untrusted_peer_nothing_is_read() -> None:
    assert listed("1.1.1.1", peer=CLIENT) == CLIENT
    assert forwarded("for=1.1.1.1", peer=CLIENT) == CLIENT


def test_what_the_client_sent_stands_to_the_left() -> None:
    assert listed("1.1.1.1", "garbage", CLIENT) == CLIENT
    assert PROXIES.client_of(PROXY, [], ["1.1.1.1", CLIENT]) == CLIENT


def test_trusted_proxies_are_passed_over() -> None:
    assert listed("1.1.1.1", CLIENT, "10.1.1.1", "2001:db8:1::5") == CLIENT
    assert PROXIES.client_of(PROXY, [], [CLIENT, "10.1.1.1"]) == CLIENT


@pytest.mark.parametrize(
    "hop",
    [
        "",
        " ",
        "unknown",
        "_hidden",
        "999.1.1.1",
        "1.1.1",
        "0x7f.1",
        "fe80::1%eth0",
        "[fe80::1%25eth0]:80",
        "1.1.1.1:x",
        "1.1.1.1:123456",
        "[::1",
        "::1]",
        "1.1.1.1 2.2.2.2",
        "\xff",
        "http://1.1.1.1",
    ],
)
def test_garbage_leaves_the_sockets_address(hop: str) -> None:
    assert listed(CLIENT, hop) == PROXY
    assert listed(CLIENT, hop, "10.1.1.1") == PROXY


@pytest.mark.parametrize(
    ("hop", "address"),
    [
        ("1.1.1.1:8080", "1.1.1.1"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("::ffff:1.1.1.1", "1.1.1.1"),
        ("::ffff:101:101", "1.1.1.1"),
    ],
)
def test_an_address_has_one_form(hop: str, address: str) -> None:
    assert listed(hop) == address


def test_an_ipv4_proxy_on_an_ipv6_socket_is_trusted() -> None:
    assert listed(CLIENT, peer="::ffff:10.0.0.1") == CLIENT
    assert listed(CLIENT, "::ffff:10.0.0.2") == CLIENT


def test_the_zone_of_the_sockets_own_address_is_ours() -> None:
    local = TrustedProxies(["fe80::/10"])
    assert local.client_of("fe80::1%eth0", [], [CLIENT]) == CLIENT


def test_where_all_hops_are_trusted_the_first_may_be_made_up() -> None:
    assert listed("10.9.9.9", "10.1.1.1") == PROXY


def test_so_many_hops_are_followed_and_no_more() -> None:
    assert listed(CLIENT, *["10.1.1.1"] * (MAX_HOPS - 1)) == CLIENT
    assert listed(CLIENT, *["10.1.1.1"] * MAX_HOPS) == PROXY
    assert listed(*["1.1.1.1"] * MAX_HOPS, CLIENT) == CLIENT


# ------------------------------------------------------------------------ Forwarded


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("for=203.0.113.7", CLIENT),
        ("For=203.0.113.7;proto=https;by=10.0.0.1", CLIENT),
        ("proto=https ; for=203.0.113.7", CLIENT),
        ('for="203.0.113.7:47011"', CLIENT),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("for=1.1.1.1, for=203.0.113.7,for=10.1.1.1", CLIENT),
        ('for=1.1.1.1;x="a,b;for=2.2.2.2", for=203.0.113.7', CLIENT),
        ('for=1.1.1.1;x="\\"", for=203.0.113.7', CLIENT),
    ],
)
def test_forwarded_is_read_as_it_is_written(line: str, address: str) -> None:
    assert forwarded(line) == address


@pytest.mark.parametrize(
    "line",
    [
        "",
        "for",
        "for=",
        'for="',
        "for=unknown",
        "for=_secret",
        "proto=https",
        "for=1.1.1.1;for=2.2.2.2",
        "for=1.1.1.1;",
        "for=1.1.1.1,",
        'for=1.1.1.1;x=", for=203.0.113.7',
        'for="1.1.1.1"2.2.2.2',
        "for=2001:db8::7",
        'for="[fe80::1%25eth0]"',
    ],
)
def test_a_malformed_forwarded_leaves_the_sockets_address(line: str) -> None:
    assert forwarded(line) == PROXY


def test_a_quote_left_open_by_a_client_ends_with_its_line() -> None:
    assert forwarded('for=1.1.1.1;x="', "for=203.0.113.7") == CLIENT


def test_headers_that_contradict_one_another_are_not_believed() -> None:
    assert PROXIES.client_of(PROXY, [f"for={CLIENT}"], [CLIENT]) == CLIENT
    # One of the two was written by the proxy, and the other by the client.
    assert PROXIES.client_of(PROXY, ["for=1.1.1.1"], [CLIENT]) == PROXY
    assert PROXIES.client_of(PROXY, ["for=unknown"], [CLIENT]) == PROXY
    assert PROXIES.client_of(PROXY, [f"for={CLIENT}"], ["unknown"]) == PROXY


# --------------------------------------------------------------------- for any input


@given(networks, addresses, st.lists(st.text(max_size=20)), st.lists(st.text()))
def test_whatever_comes_an_address_comes_of_it(
    trusted: list[str], peer: str, lines: list[str], hops: list[str]
) -> None:
    ip_address(TrustedProxies(trusted).client_of(peer, lines, hops))


@given(st.lists(st.text(alphabet='for=;,:"\\[]. 10a%', max_size=60), max_size=4))
def test_a_client_can_not_choose_its_address(sent: list[str]) -> None:
    # Whatever it sends, an honest proxy appends whom it was called by.
    ours = [", ".join([*sent, CLIENT])]
    assert PROXIES.client_of(PROXY, [], ours) == CLIENT
    assert PROXIES.client_of(PROXY, [], [*sent, CLIENT]) == CLIENT
    assert forwarded(*sent, f"for={CLIENT}") == CLIENT
    # On one line a quote that is left open may hide it, and no more than that.
    assert forwarded(", ".join([*sent, f"for={CLIENT}"])) in (CLIENT, PROXY)
    # And what it writes into the header that the proxy does not know.
    assert PROXIES.client_of(PROXY, sent, [CLIENT]) in (CLIENT, PROXY)
    assert PROXIES.client_of(PROXY, [f"for={CLIENT}"], sent) in (CLIENT, PROXY)


@given(networks, addresses, st.lists(addresses))
def test_it_is_the_right_most_that_is_not_trusted(
    trusted: list[str], peer: str, hops: list[str]
) -> None:
    proxies = TrustedProxies(trusted)
    found = proxies.client_of(peer, [], [",".join(hops)])
    strangers = [hop for hop in hops if not proxies.trusts(hop)]
    if proxies.trusts(peer) and strangers:
        expected = ip_address(strangers[-1])
        assert ip_address(found) in (
            expected,
            getattr(expected, "ipv4_mapped", None),
        )
    else:
        assert found == peer


# ------------------------------------------------------------------ its two helpers


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.0.0.1", "::1", "2001:db8::/32"])
def test_a_network_or_an_address(text: str) -> None:
    assert str(parse_network(text)).startswith(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("proxy.example.com", "such as"),
        ("", "such as"),
        ("10.0.0.0/33", "such as"),
        ("fe80::1%eth0", "such as"),
    ],
)
def test_what_is_no_network_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        TrustedProxies([text])


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("", ""),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_limits_count_a_network_that_is_one_customers(address: str, key: str) -> None:
    assert limiter_key(address) == key
