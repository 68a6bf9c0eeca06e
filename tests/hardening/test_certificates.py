"""Row F17, as far as it is the gateway's own certificate: rotated, and spoilt."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.certificates import Files, write_certificate
from support.command_line import wsprism
from support.peers import Got, WebSocketPeer
from support.waiting import until, until_blocking

#: Seconds; more than it takes to see new files and to see that they are whole.
WITHIN: Final = 30.0
EXPIRES: Final = "wsprism_tls_certificate_expires_seconds"
RELOADS: Final = "wsprism_tls_reloads_total"
PING: Final = b'{"svc":"sys","type":"ping","data":{}}'


class Secured:
    """`wsprism run` over TLS, and what can be seen of it.

    Attributes:
        port: Where it listens for `wss` and `https`.
        tcp_port: Where it listens for TLS without HTTP.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        assert until_blocking(lambda: len(self.events("listening")) == 2), log
        addresses = [str(one["address"]) for one in self.events("listening")]
        ports = {one.partition(":")[0]: one.rpartition(":")[2] for one in addresses}
        self.port, self.tcp_port = int(ports["wss"]), int(ports["tls"])

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what was logged of a kind."""
        lines = self._log.read_text(encoding="utf-8").splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.endswith("}\n")]
        return [entry for entry in entries if entry["event"] == name]

    async def connect(self, files: Files) -> WebSocketPeer:
        """Connect, trusting one certificate alone."""
        target = "/v1/ws?ticket=dev:ann"
        peer = await WebSocketPeer.open(self.port, target=target, tls=files.trusted())
        assert b'"authed"' in (await peer.frame()).payload
        return peer

    def metric(self, name: str, files: Files, **labels: str) -> float:
        """Return the value of a sample."""
        url = f"https://localhost:{self.port}/metrics"
        with urlopen(url, context=files.trusted(), timeout=10) as answer:
            text = answer.read().decode()
        (found,) = (
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if (sample.name, sample.labels) == (name, labels)
        )
        return float(found)


async def answers(peer: WebSocketPeer) -> bool:
    await peer.send("text", PING)
    return b'"pong"' in (await peer.frame()).payload


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_certificate(tmp_path, days=2)


@pytest.fixture
def secured(tmp_path: Path, files: Files) -> Iterator[Secured]:
    config = tmp_path / "wsprism.yaml"
    gateway = {"listen": "127.0.0.1:0", "tls": files.settings}
    text = {"version": 1, "gateway": gateway, "tenants": [{"id": "acme"}]}
    config.write_text(yaml.safe_dump(text), encoding="utf-8")
    options = ("--dev", "--log-json", "--tcp-port", "0", "--plugins", "chat")
    with (
        (tmp_path / "log").open("wb") as log,
        wsprism(
            "run", "--config", str(config), *options, stdout=log, stderr=log
        ) as process,
    ):
        yield Secured(tmp_path / "log")
        process.terminate()
        assert process.wait(20) == 0


async def test_f17_a_certificate_that_is_rotated(
    secured: Secured, files: Files, tmp_path: Path
) -> None:
    old = files.trusted()
    before = await secured.connect(files)
    assert secured.metric(EXPIRES, files) == files.expires_at
    renewed = write_certificate(tmp_path, days=90)
    assert await until(lambda: len(secured.events("certificate_loaded")) == 1, WITHIN)
    # Who comes now gets the new one, on either port; who is there stays.
    after = await secured.connect(renewed)
    for port in (secured.port, secured.tcp_port):
        with pytest.raises(ssl.SSLCertVerificationError):
            await WebSocketPeer.connect(port, old)
        (await WebSocketPeer.connect(port, renewed.trusted())).drop()
    assert await answers(before)
    assert await answers(after)
    assert secured.metric(EXPIRES, renewed) == renewed.expires_at
    assert not secured.events("session_closed")
    for peer in (before, after):
        await peer.close(1000, "")
        assert await peer.frame() == Got("close", b"", 1000)
        peer.drop()


async def test_f17_a_certificate_that_cannot_be_used(
    secured: Secured, files: Files
) -> None:
    before = await secured.connect(files)
    trusted = files.trusted()
    files.key.write_text("hush-hush", encoding="ascii")
    assert await until(lambda: len(secured.events("certificate_kept")) == 1, WITHIN)
    (told,) = secured.events("certificate_kept")
    assert str(files.key) in told["reason"]
    assert "hush" not in json.dumps(told)
    after = await WebSocketPeer.connect(secured.port, trusted)
    assert await answers(before)
    assert secured.metric(RELOADS, files, outcome="failed") == 1
    for peer in (before, after):
        peer.drop()


def test_f17_without_one_it_does_not_start(tmp_path: Path, files: Files) -> None:
    files.key.unlink()
    config = tmp_path / "wsprism.yaml"
    gateway = {"listen": "127.0.0.1:0", "tls": files.settings}
    text = {"version": 1, "gateway": gateway, "tenants": [{"id": "acme"}]}
    config.write_text(yaml.safe_dump(text), encoding="utf-8")
    with wsprism("run", "--dev", "--config", str(config), "--plugins", "chat") as run:
        _, said = run.communicate(timeout=20)
    assert run.returncode == 2
    assert f"gateway.tls.key: {files.key} cannot be read: No such file" in said
