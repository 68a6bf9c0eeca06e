"""Key sets that are fetched: when they are due, and never oftener than they may be."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

import h11

from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics
from wsprism_core.policy.jwt import Head, Issuer
from wsprism_core.policy.keys import KeyFault, keys_of_jwks
from wsprism_core.realtime.clock import Clock

__all__ = ("Fetch", "KeySet", "fetch_url")

#: The largest key set, in bytes.
MAX_BYTES: Final = 256 * 1024
#: Seconds that a fetch may take in all.
TIMEOUT: Final = 5.0

#: Returns what stands at an address.
Fetch: TypeAlias = Callable[[str], Awaitable[bytes]]


class KeySet:
    """Keeps the keys of an issuer that publishes them.

    While they cannot be had, those of before stay good. However many ask, one fetch is
    under way at a time, and all wait for that one.

    Args:
        issuer: Whose keys they are.
        tenant: For the metrics and the log.
        url: Where they stand.
        cache: Seconds after which they are fetched again, before they are used.
        retry: Seconds between the beginnings of two fetches, at least.
        fetch: What fetches.
        clock: Time.
        metrics: Where fetches are counted.
    """

    def __init__(
        self,
        issuer: Issuer,
        *,
        tenant: str,
        url: str,
        cache: float,
        retry: float,
        fetch: Fetch,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._issuer = issuer
        self._tenant = tenant
        self._url = url
        # What stands behind a question mark may be a secret.
        self._place = url.partition("?")[0]
        self._cache = cache
        self._retry = retry
        self._fetch = fetch
        self._clock = clock
        self._metrics = metrics
        self._log = EventLog("jwks")
        self._fetched: float | None = None
        self._tried: float | None = None
        self._under_way: asyncio.Future[None] | None = None

    def is_due(self, head: Head) -> bool:
        """Whether the keys should be fetched before a token is judged.

        Args:
            head: What the token says of its signature.
        """
        if not self._issuer.publishes_for(head):
            return False
        now = self._clock.now()
        is_fresh = self._fetched is not None and now - self._fetched < self._cache
        if is_fresh and not self._issuer.lacks_key_for(head):
            return False
        if self._under_way is not None:
            return True
        return self._tried is None or now - self._tried >= self._retry

    @property
    def url(self) -> str:
        """Where the keys stand."""
        return self._url

    def go_on_from(self, other: KeySet) -> None:
        """Begin with what another one of the same address has fetched, and when."""
        self._issuer.fetched = other._issuer.fetched
        self._fetched = other._fetched

    async def refresh(self) -> None:
        """Fetch the keys, or wait for the fetch that is under way; raises nothing."""
        if self._under_way is None:
            self._tried = self._clock.now()
            self._under_way = asyncio.ensure_future(self._refresh())
        # Whoever gives up waiting does not end it for the others.
        await asyncio.shield(self._under_way)

    async def stop(self) -> None:
        """End the fetch that is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    async def _refresh(self) -> None:
        outcome, problem = "fetched", ""
        try:
            async with asyncio.timeout(TIMEOUT):
                document = await self._fetch(self._url)
            self._issuer.fetched = keys_of_jwks(document)
            self._fetched = self._clock.now()
        except KeyFault as fault:
            outcome, problem = "unusable", str(fault)
        except (OSError, ValueError, TimeoutError) as error:
            outcome, problem = "failed", type(error).__name__
        finally:
            self._under_way = None
        self._metrics.jwks_fetches[self._tenant, outcome] += 1
        if problem:
            self._log.warning(
                "jwks_not_fetched", tenant=self._tenant, url=self._place, reason=problem
            )
        else:
            keys = len(self._issuer.fetched)
            self._log.info(
                "jwks_fetched", tenant=self._tenant, url=self._place, keys=keys
            )


async def fetch_url(url: str) -> bytes:
    """Return what stands at an address, without following it anywhere else.

    Neither a redirect nor a proxy that the environment names counts: the configuration
    says where keys come from. No thread waits for it, which nobody could end.

    Raises:
        OSError: It cannot be had.
        ValueError: It is too large, or the answer is none.
    """
    place = urlsplit(url)
    is_secure = place.scheme == "https"
    # It reads the certificates that this machine trusts.
    tls = await asyncio.to_thread(ssl.create_default_context) if is_secure else None
    reader, writer = await asyncio.open_connection(
        place.hostname, place.port or (443 if is_secure else 80), ssl=tls
    )
    try:
        return await _ask(place, reader, writer)
    except h11.ProtocolError as error:
        raise ValueError(type(error).__name__) from None
    finally:
        # Nobody waits for it to say that it is over, too.
        writer.transport.abort()


async def _ask(
    place: SplitResult, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    """Ask for one document; return it.

    Raises:
        ValueError: It is too large, or the answer is none.
        h11.ProtocolError: What comes is no HTTP.
    """
    talk = h11.Connection(h11.CLIENT)
    target = f"{place.path or '/'}{'?' if place.query else ''}{place.query}"
    headers = [("Host", place.netloc), ("Accept", "*/*"), ("Connection", "close")]
    wanted = h11.Request(method="GET", target=target, headers=headers)
    writer.write(talk.send(wanted) or b"")
    writer.write(talk.send(h11.EndOfMessage()) or b"")
    document = bytearray()
    while True:
        match talk.next_event():
            case h11.NEED_DATA:
                talk.receive_data(await reader.read(64 * 1024))
            case h11.Response(status_code=status) if status != 200:
                raise ValueError(f"it answers {status}")
            case h11.Data(data=data):
                document += data
                if len(document) > MAX_BYTES:
                    raise ValueError(f"a key set of more than {MAX_BYTES} bytes")
            case h11.EndOfMessage():
                return bytes(document)
