from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.certificates import Files, write_certificate
from wsprism_core.certificates import (
    LOOK_SECONDS,
    Certificate,
    CertificateError,
    CertificateWatch,
)
from wsprism_core.config import TlsConfig
from wsprism_core.metrics import Metrics
from wsprism_core.testing.clock import VirtualClock

#: As long as it takes to see a change and to see that it is over.
TWO_LOOKS = 2 * LOOK_SECONDS


def settings_of(files: Files) -> TlsConfig:
    return TlsConfig.model_validate(files.settings)


@dataclass
class Watched:
    """A certificate that is looked after, and what came of it."""

    folder: Path
    files: Files = field(init=False)
    clock: VirtualClock = field(default_factory=VirtualClock)
    metrics: Metrics = field(default_factory=Metrics)
    contexts: list[ssl.SSLContext] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.files = write_certificate(self.folder)
        self.watch = CertificateWatch(
            settings_of(self.files), self.clock, self.metrics, self.contexts.append
        )
        self.watch.start()

    def renew(self, days: int = 90) -> None:
        self.files = write_certificate(self.folder, days=days)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_certificate_knows_when_it_expires(tmp_path: Path) -> None:
    files = write_certificate(tmp_path, days=2)
    certificate = Certificate(settings_of(files))
    assert certificate.expires_at == files.expires_at
    assert certificate.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert certificate.context.options & ssl.OP_NO_RENEGOTIATION


def test_the_first_of_a_chain_that_expires_counts(tmp_path: Path) -> None:
    issuer = write_certificate(tmp_path, days=1)
    behind = issuer.certificate.read_bytes()
    files = write_certificate(tmp_path, days=50)
    with files.certificate.open("ab") as chain:
        chain.write(behind)
    assert Certificate(settings_of(files)).expires_at == issuer.expires_at


def test_more_than_tls_1_2_may_be_asked_for(tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    settings = TlsConfig.model_validate({**files.settings, "minimum": "1.3"})
    assert Certificate(settings).context.minimum_version is ssl.TLSVersion.TLSv1_3


def _no_certificate(files: Files) -> None:
    files.certificate.unlink()


def _no_key(files: Files) -> None:
    files.key.unlink()


def _text(files: Files) -> None:
    files.certificate.write_text("certificate", encoding="ascii")


def _empty_key(files: Files) -> None:
    files.key.write_bytes(b"")


def _keys_swapped(files: Files) -> None:
    files.key.write_bytes(files.certificate.read_bytes())


def _encrypted(files: Files) -> None:
    write_certificate(files.key.parent, password=b"hush-hush")


def _of_another(files: Files) -> None:
    key = files.key.read_bytes()
    write_certificate(files.key.parent)
    files.key.write_bytes(key)


BROKEN = [
    (_no_certificate, "certificate: .* cannot be read: No such file"),
    (_no_key, "key: .* cannot be read: No such file"),
    (_text, "certificate: .* holds no certificate in PEM"),
    (_empty_key, "key: .* holds no private key in PEM"),
    (_keys_swapped, "key: .* holds no private key in PEM"),
    (_encrypted, "key: .* holds no private key in PEM that is not encrypted"),
    (_of_another, "key: .* is not the key of .*cert.pem"),
]


@pytest.mark.parametrize(("spoil", "problem"), BROKEN)
def test_what_cannot_be_used_says_which_file_and_why(
    tmp_path: Path, spoil: Callable[[Files], None], problem: str
) -> None:
    files = write_certificate(tmp_path)
    spoil(files)
    with pytest.raises(CertificateError, match=problem):
        Certificate(settings_of(files))


# ----------------------------------------------------------------- while it runs


def test_it_is_held_from_the_start(watched: Watched) -> None:
    assert watched.contexts == [watched.watch.certificate.context]
    assert watched.metrics.tls_expires_at == watched.files.expires_at
    watched.clock.advance(10 * TWO_LOOKS)
    assert len(watched.contexts) == 1
    assert watched.metrics.tls_reloads.series() == {"loaded": 0, "failed": 0}


def test_a_new_one_holds_once_it_is_written(watched: Watched) -> None:
    watched.renew()
    watched.clock.advance(TWO_LOOKS)
    assert watched.contexts[-1] is watched.watch.certificate.context
    assert len(watched.contexts) == 2
    assert watched.metrics.tls_expires_at == watched.files.expires_at
    assert watched.metrics.tls_reloads == {"loaded": 1}


def test_files_that_are_still_being_written_are_left_alone(watched: Watched) -> None:
    key = watched.files.key.read_bytes()
    watched.renew()
    new_key = watched.files.key.read_bytes()
    watched.files.key.write_bytes(key)
    watched.clock.advance(LOOK_SECONDS)
    watched.files.key.write_bytes(new_key)
    watched.clock.advance(LOOK_SECONDS)
    assert not watched.metrics.tls_reloads
    watched.clock.advance(LOOK_SECONDS)
    assert watched.metrics.tls_reloads == {"loaded": 1}


@pytest.mark.parametrize(("spoil", "problem"), BROKEN)
def test_a_bad_one_leaves_the_old_one_and_is_told_once(
    watched: Watched,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Files], None],
    problem: str,
) -> None:
    before = watched.watch.certificate
    expires_at = watched.files.expires_at
    spoil(watched.files)
    with caplog.at_level(logging.INFO):
        watched.clock.advance(10 * TWO_LOOKS)
    assert watched.watch.certificate is before
    assert len(watched.contexts) == 1
    assert watched.metrics.tls_expires_at == expires_at
    assert watched.metrics.tls_reloads == {"failed": 1}
    assert len(caplog.records) == 1
    assert "hush" not in caplog.text
    # And the next good one is taken.
    watched.renew()
    watched.clock.advance(TWO_LOOKS)
    assert watched.metrics.tls_reloads == {"failed": 1, "loaded": 1}


def test_it_is_read_again_when_asked(watched: Watched, tmp_path: Path) -> None:
    assert watched.watch.reload()
    other = tmp_path / "other"
    other.mkdir()
    files = write_certificate(other, days=7)
    assert watched.watch.reload(settings_of(files))
    assert watched.metrics.tls_expires_at == files.expires_at
    # The files that are looked at are the new ones.
    renewed = write_certificate(other, days=8)
    watched.clock.advance(TWO_LOOKS)
    assert watched.metrics.tls_expires_at == renewed.expires_at
    assert watched.metrics.tls_reloads == {"loaded": 3}


def test_other_files_that_cannot_be_used_change_nothing(watched: Watched) -> None:
    nowhere = TlsConfig(certificate="/nowhere/cert.pem", key="/nowhere/key.pem")
    assert not watched.watch.reload(nowhere)
    watched.renew()
    watched.clock.advance(TWO_LOOKS)
    assert watched.metrics.tls_expires_at == watched.files.expires_at


def test_once_stopped_it_looks_no_more(watched: Watched) -> None:
    watched.watch.stop()
    watched.watch.stop()
    assert watched.clock.timers == 0
