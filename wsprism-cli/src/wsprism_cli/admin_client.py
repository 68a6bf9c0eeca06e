"""Asking a gateway's admin listener.

One small request a second needs no HTTP library: the standard library's client sends
it, and unlike urllib it follows no redirect and asks no proxy, so that the key goes
nowhere else.
"""

from __future__ import annotations

import http.client
import json
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from wsprism_core import WsPrismError

__all__ = ("AdminClient", "AdminError")

_TIMEOUT: Final = 5.0
#: The largest answer that is read, in bytes.
_MAX_ANSWER: Final = 16 * 1024 * 1024
_PREFIX: Final = "/v1/admin"
_WHAT_TO_DO: Final = {
    401: "give the key of gateway.admin.api_key with --key, or in WSPRISM_ADMIN_KEY",
    403: "use --url http://127.0.0.1:PORT on the machine that the gateway runs on",
    404: "is it the admin listener's address, as `wsprism run` shows it?",
}


class AdminError(WsPrismError):
    """A gateway could not be asked; the text is for the person at the terminal.

    Attributes:
        exit_code: 2 where the command is wrong, 1 where what was asked for failed.
    """

    def __init__(self, text: str, *, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class AdminClient:
    """Asks one admin listener.

    Args:
        url: Where it listens, `http://HOST:PORT` or `https://HOST:PORT`; `HOST:PORT` is
            the former.
        key: The API key; None sends none.

    Raises:
        AdminError: The URL is none, or the key cannot be sent.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError:
            port = None
            parts = parts._replace(netloc="")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
            raise AdminError(
                f"{url!r} is no address of an admin listener, such as"
                " http://127.0.0.1:8081",
                exit_code=2,
            )
        if key is not None and not (key.isascii() and key.isprintable()):
            raise AdminError("the key has characters that cannot be sent", exit_code=2)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str, **query: object) -> Any:
        """Return what is read, such as `overview`.

        Raises:
            AdminError: Nothing listens there, it does not answer, or it refuses.
        """
        fields = f"?{urlencode(query)}" if query else ""
        return self._ask("GET", f"{_PREFIX}/{path}{fields}", None, {})

    def post(self, action: str, **wanted: object) -> Any:
        """Do something, such as `kick`; return what was done.

        Args:
            action: What is done.
            wanted: The fields of the request; those that are None are left out.

        Raises:
            AdminError: As for `get`.
        """
        given = {name: value for name, value in wanted.items() if value is not None}
        body = json.dumps(given).encode()
        kind = {"Content-Type": "application/json"}
        return self._ask("POST", f"/v1/{action}", body, kind)

    def _ask(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> Any:
        kind = (
            http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        )
        connection = kind(self._host, self._port, timeout=_TIMEOUT)
        try:
            connection.request(method, target, body, {**self._headers, **headers})
            with connection.getresponse() as response:
                answer = response.read(_MAX_ANSWER)
        except ConnectionRefusedError:
            raise AdminError(
                f"nothing listens on {self.url}; start a gateway with: wsprism run"
                " (with a --config FILE it needs gateway.admin in it), and give the"
                " address that it shows as admin with --url"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(f"cannot ask {self.url}: {_reason(error)}") from None
        finally:
            connection.close()
        return self._content(response.status, answer)

    def _content(self, status: int, body: bytes) -> Any:
        """Return the content of an answer.

        Raises:
            AdminError: It is a refusal, or no JSON.
        """
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        if status == 200 and content is not None:
            return content
        said = content.get("error") if isinstance(content, dict) else None
        text = f"{self.url} answered {status}"
        text += f": {said}" if isinstance(said, str) else ", which no gateway does"
        hint = _WHAT_TO_DO.get(status)
        # What was asked for is wrong, as an option may be.
        code = 2 if status == 400 else 1
        raise AdminError(f"{text}; {hint}" if hint else text, exit_code=code)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
