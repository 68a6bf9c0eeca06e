from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from support.certificates import Files, write_certificate
from support.command_line import WSPRISM, environment, read_until, wsprism
from wsprism_cli.main import cli
from wsprism_cli.trust import trusting


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_certificate(tmp_path)


def test_without_a_file_the_system_s_authorities_count() -> None:
    assert trusting(None).verify_mode is ssl.CERT_REQUIRED


def test_a_file_counts_in_their_place(files: Files) -> None:
    assert len(trusting(files.certificate).get_ca_certs()) == 1
    assert trusting(str(files.certificate)).check_hostname


def test_what_holds_no_certificate(files: Files) -> None:
    with pytest.raises(ValueError, match=r"key.pem holds no certificate in PEM"):
        trusting(files.key)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["connect", "wss://x", "--ca", "KEY"], "holds no certificate"),
        (["connect", "wss://x", "--ca", "/nowhere"], "does not exist"),
        (["connect", "ws://x", "--ca", "CA"], "--ca goes with wss:// or tcp://"),
        (["bench", "echo", "--url", "wss://x", "--ca", "KEY"], "holds no certificate"),
        (["bench", "echo", "--url", "ws://x", "--ca", "CA"], "--ca goes with --url"),
        (["bench", "echo", "--ca", "CA"], "--ca goes with --url wss://"),
    ],
)
def test_what_cannot_be_meant(files: Files, arguments: list[str], problem: str) -> None:
    named = {"CA": str(files.certificate), "KEY": str(files.key)}
    result = CliRunner().invoke(cli, [named.get(one, one) for one in arguments])
    assert result.exit_code == 2
    assert problem in " ".join(result.output.split())


# ------------------------------------------------------------ against a real gateway


@pytest.fixture
def addresses(tmp_path: Path, files: Files) -> Iterator[dict[str, str]]:
    """Where a gateway listens that has a certificate of its own, by the scheme."""
    config = tmp_path / "wsprism.yaml"
    policy = {
        "rate_limit_rps": 0,
        "ext_allowlist": ["*:*"],
        "hot_allowlist": ["*:*"],
        "sessions": {"max_sessions_per_user": 0},
    }
    gateway = {"listen": "127.0.0.1:0", "tls": files.settings}
    tenants = [{"id": "acme", "policy": policy}]
    text = {"version": 1, "gateway": gateway, "tenants": tenants}
    config.write_text(yaml.safe_dump(text), encoding="utf-8")
    options = ("--dev", "--tcp-port", "0", "--plugins", "chat,game")
    with wsprism("run", "--config", str(config), *options) as run:
        words = [
            word
            for _ in range(2)
            for word in read_until("listening", run.stdout)[-1].split()
        ]
        yield {word.partition(":")[0]: word for word in words if "://" in word}


def run(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WSPRISM, *arguments],
        input=said,
        capture_output=True,
        text=True,
        timeout=50,
        env=environment(),
    )


def test_connect_takes_a_certificate_that_it_is_told_of(
    addresses: dict[str, str], files: Files
) -> None:
    tcp = addresses["tls"].replace("tls://", "tcp://")
    ca = ("--ca", str(files.certificate))
    for url in (addresses["wss"], tcp):
        done = run("connect", url, *ca, "--ticket", "dev:ann", said="/join lobby\n")
        assert done.returncode == 0, done.stderr
        assert "as user:ann" in done.stdout
        assert "lobby" in done.stdout
    refused = run("connect", addresses["wss"], "--ticket", "dev:ann")
    assert refused.returncode == 1
    assert "cannot be trusted: self-signed certificate" in refused.stderr
    assert "--ca FILE" in refused.stderr


def test_bench_takes_a_certificate_that_it_is_told_of(
    addresses: dict[str, str], files: Files
) -> None:
    url = ("--url", addresses["wss"], "--ca", str(files.certificate))
    done = run("bench", "echo", *url, "--duration", "0.5", "--clients", "2")
    assert done.returncode == 0, done.stderr
