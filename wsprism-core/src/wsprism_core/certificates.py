"""The certificate that the gateway shows, and the next one, without a restart.

A certificate is good for weeks, a gateway runs for months, and restarting it would cut
every connection. So the files are looked at now and then, and what is new in them holds
for connections that come from then on; those that are open keep what they began with.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from wsprism_core.config import TlsConfig
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics
from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.realtime.clock import Clock, Timer

__all__ = ("LOOK_SECONDS", "Certificate", "CertificateError", "CertificateWatch")

#: Seconds between two looks at the files.
LOOK_SECONDS: Final = 5.0
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

#: What comes of reading it again.
_LOADED: Final = "loaded"
_FAILED: Final = "failed"

#: What tells whether a file is another: when it was written, its size, and which it is.
_Signature: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class CertificateError(WsPrismError):
    """The certificate or its key cannot be used; the text says why, for people."""

    def __init__(self, text: str) -> None:
        super().__init__(text)


class Certificate:
    """A chain and its key, as they stood in their files when they were read.

    Args:
        settings: Where they are, and what clients must speak at least.

    Attributes:
        context: Secures connections with it.
        expires_at: When the first of its chain expires, in seconds since 1970.

    Raises:
        CertificateError: They cannot be read, or do not go together.
    """

    def __init__(self, settings: TlsConfig) -> None:
        self.expires_at = _expiry(settings.certificate)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = _VERSIONS[settings.minimum]
        # A browser offers HTTP/2 beside it, and no WebSocket comes that way here.
        self.context.set_alpn_protocols(["http/1.1"])
        # It costs the server far more than the client that asks for it.
        self.context.options |= ssl.OP_NO_RENEGOTIATION
        _load(self.context, settings)


class CertificateWatch:
    """Looks after the certificate while the gateway runs.

    Args:
        settings: Where it is.
        clock: Time.
        metrics: Where its expiry is told, and what is loaded is counted.
        apply: Is given each new context; by default it is only loaded.

    Attributes:
        certificate: The one that holds.

    Raises:
        CertificateError: There is none to begin with.
    """

    def __init__(
        self,
        settings: TlsConfig,
        clock: Clock,
        metrics: Metrics,
        apply: Callable[[ssl.SSLContext], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        metrics.tls_reloads.foresee((_LOADED, _FAILED))
        self._apply = apply
        self._log = EventLog("tls")
        self._timer: Timer | None = None
        # Before they are read: what is written meanwhile is looked at again.
        self._tried = self._seen = _signature(settings)
        self.certificate = Certificate(settings)
        self._hold(self.certificate)

    def start(self) -> None:
        """Begin to look."""
        self._timer = self._clock.after(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reload(self, settings: TlsConfig | None = None) -> bool:
        """Read the files again, now; what can't be used leaves the old one as it is.

        Args:
            settings: Other files, or another minimum, from now on, if they can be used.

        Returns:
            Whether what was read holds now.
        """
        wanted = settings or self._settings
        signature = _signature(wanted)
        try:
            certificate = Certificate(wanted)
        except CertificateError as error:
            self._metrics.tls_reloads[_FAILED] += 1
            self._log.error("certificate_kept", reason=str(error))
            return False
        self._settings = wanted
        self._tried = self._seen = signature
        self._metrics.tls_reloads[_LOADED] += 1
        self._hold(certificate)
        self._log.info("certificate_loaded", expires_at=certificate.expires_at)
        return True

    def _hold(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self._metrics.tls_expires_at = certificate.expires_at
        self._apply(certificate.context)

    def _look(self) -> None:
        """Read what has changed, once it has been left alone for one look.

        Two files are not replaced at once, and one is not written at once.
        """
        self.start()
        now = _signature(self._settings)
        settled, self._seen = now == self._seen, now
        if settled and now != self._tried:
            self._tried = now
            self.reload()


def _signature(settings: TlsConfig) -> _Signature:
    return tuple(map(_signature_of, (settings.certificate, settings.key)))


def _signature_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _expiry(path: str) -> float:
    """Return when the first certificate of a file expires.

    Raises:
        CertificateError: It cannot be read, or holds none.
    """
    # Imported here: without TLS the gateway starts the sooner.
    from cryptography import x509

    where = f"gateway.tls.certificate: {path}"
    try:
        chain = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        raise CertificateError(f"{where} cannot be read: {error.strerror}") from None
    except ValueError:
        raise CertificateError(f"{where} holds no certificate in PEM") from None
    return min(one.not_valid_after_utc.timestamp() for one in chain)


def _load(context: ssl.SSLContext, settings: TlsConfig) -> None:
    """Load a chain and its key.

    Raises:
        CertificateError: The key cannot be read, or is another's.
    """
    where = f"gateway.tls.key: {settings.key}"
    try:
        Path(settings.key).read_bytes()
        # Without an answer OpenSSL would ask for it at the terminal.
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"is not the key of {settings.certificate}"
        else:
            problem = "holds no private key in PEM that is not encrypted"
        raise CertificateError(f"{where} {problem}") from None
    except OSError as error:
        raise CertificateError(f"{where} cannot be read: {error.strerror}") from None
