"""The guide `open-to-the-internet`, walked from its first step to its last.

One real process with TLS, JWTs of two tenants, a scrape, operators, a reload and a
drain under load. Then it is started again, and every message that was acknowledged has
to be there.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.certificates import Files, write_certificate
from support.command_line import environment, wsprism
from support.oracle import SLACK
from support.tokens import ed_key, signed, write_pem
from support.waiting import until, until_blocking
from wsprism_core.client import (
    Client,
    ClientError,
    ConnectionClosed,
    HandshakeRefused,
    connect,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")

GUIDE: Final = Path(__file__).parents[2] / "docs/how-to/open-to-the-internet.md"
SECRET: Final = "0123456789abcdef" * 4
KEY: Final = "operators-0123456789abcdef"
AUTHORIZED: Final = {"Authorization": f"Bearer {KEY}"}
#: Messages of each publisher that are acknowledged before the signal comes.
UNDER_WAY: Final = 15
GRACE: Final = 1.5
#: Seconds for which a publisher is quiet once it was told to be.
PATIENCE: Final = 0.2


def page_file() -> dict[str, Any]:
    """Return the configuration that stands in the guide."""
    text = GUIDE.read_text(encoding="utf-8")
    (found,) = re.findall(r"^```yaml\n(# wsprism.yaml\n.*?)^```$", text, re.M | re.S)
    config: dict[str, Any] = yaml.safe_load(found)
    return config


def edited(default: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a default file as somebody has edited it; lists are written anew."""
    whole = dict(default)
    for key, value in changes.items():
        old = whole.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = edited(old, value)
        whole[key] = value
    return whole


class Site:
    """A folder with the guide's files, and the commands that are typed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: Files = write_certificate(folder)
        self.files.certificate.rename(folder / "fullchain.pem")
        self.files.key.rename(folder / "privkey.pem")
        write_pem(folder, ed_key(), "globex-public.pem")
        self.ca = folder / "fullchain.pem"
        self.environment = environment(
            ACME_SECRET=SECRET,
            WSPRISM_GATEWAY__ADMIN__API_KEY=KEY,
            WSPRISM_ADMIN_KEY=KEY,
        )

    def command(self, *arguments: str) -> str:
        """Type a command that succeeds; return what it prints."""
        options = {"cwd": self.folder, "env": self.environment}
        with wsprism(*arguments, **options) as process:
            out, error = process.communicate(timeout=20)
        assert process.returncode == 0, error
        return out

    def write(self, config: dict[str, Any]) -> None:
        text = yaml.safe_dump(config, sort_keys=False)
        (self.folder / "wsprism.yaml").write_text(text, encoding="utf-8")

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Start it as the guide does."""
        options = ("--plugins", "chat,game", "--log-json", "--pid-file", "wsprism.pid")
        log = self.folder / f"log-{time.monotonic_ns()}"
        with (
            log.open("wb") as stream,
            wsprism(
                "run",
                *("--config", "wsprism.yaml"),
                *options,
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=stream,
            ) as process,
        ):
            yield Running(self, process, log)


class Running:
    """The gateway of a site, as it is seen from outside."""

    def __init__(self, site: Site, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log
        self._tls = Files(site.ca, site.ca, 0).trusted()
        assert until_blocking(lambda: len(self.logged("listening")) == 2), log
        addresses = [str(one["address"]) for one in self.logged("listening")]
        ports = {one.partition(":")[0]: urlsplit(one).port for one in addresses}
        self.port, self.admin = ports["wss"], f"http://127.0.0.1:{ports['http']}"

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.endswith("}\n")]
        return [entry for entry in entries if entry["event"] == event]

    def status(self, path: str) -> int:
        """Ask on the gateway's own port."""
        url = f"https://localhost:{self.port}{path}"
        try:
            with urlopen(url, context=self._tls, timeout=10) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code

    def scraped(self) -> dict[str, float]:
        """Return every sample, by name and labels."""
        wanted = Request(self.admin + "/metrics", headers=AUTHORIZED)
        with urlopen(wanted, timeout=10) as answer:
            text = answer.read().decode()
        return {
            f"{sample.name} {sorted(sample.labels.values())}": sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def post(self, path: str, **body: Any) -> Any:
        headers = {**AUTHORIZED, "Content-Type": "application/json"}
        wanted = Request(self.admin + path, json.dumps(body).encode(), headers)
        with urlopen(wanted, timeout=10) as answer:
            return json.load(answer)

    def enter(self, ticket: str, tenant: str) -> Any:
        url = f"wss://localhost:{self.port}"
        return connect(url, ticket=ticket, tenant=tenant, tls=self._tls)


def globex_ticket(user: str) -> str:
    """Return what the login of `globex` gives."""
    now = time.time()
    claims = {"sub": user, "iat": now, "exp": now + 900, "rooms": ["lobby", "team-*"]}
    claims |= {"iss": "https://login.globex.example", "aud": "chat"}
    return signed(claims, ed_key(), "EdDSA", header={"kid": "2026"})


async def code_of(client: Client, svc: str, type: str, data: Any, room: str) -> str:
    """Return the code with which a message is refused, or nothing."""
    try:
        await client.request(svc, type, data, room=room)
    except ClientError as error:
        return str(error.code)
    return ""


async def read_on(client: Client) -> None:
    """Take what comes until the connection is closed."""
    async with asyncio.timeout(60):
        async for _ in client.messages():
            pass


class Publisher:
    """Says one thing after the other, each when the one before is answered.

    Attributes:
        tenant: Where it does so.
        acked: What was acknowledged, by its number in the room.
        refused: What was refused.
        hint: When it was told to come back; None before.
    """

    def __init__(self, client: Client, tenant: str, name: str) -> None:
        self.client = client
        self.tenant = tenant
        self.acked: dict[int, str] = {}
        self.refused: set[str] = set()
        self.hint: int | None = None
        self._name = name

    async def run(self) -> None:
        """Go on until the connection is closed, whatever one is told."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._say())
            tasks.create_task(self._listen())

    async def _say(self) -> None:
        for number in range(1_000_000):
            text = f"{self._name}-{number}"
            try:
                answer = await self.client.request(
                    "chat", "send", {"msg": text}, room="lobby"
                )
            except ClientError:
                self.refused.add(text)
                # The rate limit of its tenant. It is told so ten times a second at
                # the most, so it waits for more than one token.
                await asyncio.sleep(PATIENCE)
            except ConnectionClosed:
                return
            else:
                self.acked[answer["data"]["seq"]] = text

    async def _listen(self) -> None:
        async for message in self.client.messages():
            if message.name == "sys.draining":
                self.hint = message.data["reconnect_in_ms"]


async def everything(client: Client, epoch: str) -> list[tuple[int, str]]:
    """Return all that a room keeps, as who comes back to it gets it."""
    joined = (await client.join("lobby", epoch=epoch, seq=0))["data"]
    assert joined["recovered"] is True, joined
    found = []
    async with asyncio.timeout(20):
        async for message in client.messages("chat.msg"):
            found.append((message.envelope["seq"], message.data["msg"]))
            if found[-1][0] == joined["seq"]:
                return found
    raise AssertionError("it has ended")


async def see_how_the_tenants_differ(
    run: Running, ann: Client, gus: Client, anns: str
) -> None:
    assert await code_of(ann, "chat", "history", {}, "lobby") == ""
    assert await code_of(gus, "chat", "history", {}, "lobby") == "NOT_ALLOWED"
    # His ticket is not for it.
    assert await code_of(gus, "room", "join", None, "staff") == "NOT_ALLOWED"
    for ticket, tenant in (anns, "globex"), (globex_ticket("gus"), "acme"):
        with pytest.raises(HandshakeRefused, match="401"):
            async with run.enter(ticket, tenant):
                pass


async def see_that_one_may_be_there_once(run: Running) -> None:
    async with run.enter(globex_ticket("gil"), "globex") as first:
        async with run.enter(globex_ticket("gil"), "globex"):
            await read_on(first)
        assert first.closed == (4502, "logged in elsewhere")


async def see_what_operators_do(run: Running) -> None:
    eve = {"tenant": "acme", "user": "eve"}
    ticket = run.post("/v1/tickets", **eve)["ticket"]
    async with run.enter(ticket, "acme") as client:
        with pytest.raises(HandshakeRefused, match="401"):
            async with run.enter(ticket, "acme"):
                pass
        began = time.monotonic()
        assert run.post("/v1/revoke", **eve) == {"closed": 1}
        await read_on(client)
        assert time.monotonic() - began < 1 + SLACK
        assert client.closed == (4503, "the ticket was revoked")


async def see_it_reloaded(
    site: Site, run: Running, config: dict[str, Any], ann: Client
) -> None:
    async def reloaded(changed: dict[str, Any], event: str) -> dict[str, Any]:
        before = len(run.logged(event))
        site.write(changed)
        reload = ("reload", "--pid-file", "wsprism.pid")
        await asyncio.to_thread(site.command, *reload)
        assert await until(lambda: len(run.logged(event)) > before)
        return run.logged(event)[-1]

    acme, globex = config["tenants"]
    policy = {**acme["policy"], "ext_allowlist": ["room:*", "chat:send"]}
    tight = {**globex, "limits": {**globex["limits"], "max_sessions_total": 1}}
    changed = {**config, "tenants": [{**acme, "policy": policy}, tight]}
    told = await reloaded({**changed, "tenant": []}, "reload_refused")
    assert "tenant: unknown key; did you mean 'tenants'?" in told["problems"][0]
    assert await code_of(ann, "chat", "history", {}, "lobby") == ""
    told = await reloaded(changed, "reloaded")
    assert (told["outcome"], len(told["applied"])) == ("applied", 2)
    assert await code_of(ann, "chat", "history", {}, "lobby") == "NOT_ALLOWED"
    with pytest.raises(HandshakeRefused, match="503"):
        async with run.enter(globex_ticket("gil"), "globex"):
            pass


async def test_the_guide_from_its_first_step_to_its_last(tmp_path: Path) -> None:
    site = Site(tmp_path)
    default = yaml.safe_load(
        site.command("config", "default", "--plugins", "chat,game")
    )
    config = edited(default, page_file())
    gateway = config["gateway"]
    gateway |= {"listen": "127.0.0.1:0", "drain_grace_ms": round(1000 * GRACE)}
    gateway["admin"]["listen"] = "127.0.0.1:0"
    # All of it is asked for at once in the end.
    gateway["history"]["messages"] = gateway["max_recover_messages"] = 100_000
    site.write(config)
    checked = ("check", "wsprism.yaml", "--plugins", "chat,game", "--strict")
    told = site.command(*checked, "--explain", "globex", "chat:history")
    assert "globex chat:history: may not pass" in told
    minted = ("token", "--config", "wsprism.yaml", "--tenant", "acme", "--user", "ann")
    anns = site.command(*minted).strip()

    async with AsyncExitStack() as stack:
        with site.running() as run:
            publishers: list[Publisher] = []
            for tenant, user in ("acme", ""), ("acme", ""), ("globex", "gus"):
                ticket = anns if tenant == "acme" else globex_ticket(user)
                client = await stack.enter_async_context(run.enter(ticket, tenant))
                publishers.append(Publisher(client, tenant, f"p{len(publishers)}"))
            epochs = {}
            for one in publishers:
                joined = await one.client.join("lobby")
                epochs[one.tenant] = joined["data"]["epoch"]
            # Another session of hers, which is not loaded.
            ann = await stack.enter_async_context(run.enter(anns, "acme"))
            await ann.join("lobby")
            await see_how_the_tenants_differ(run, ann, publishers[-1].client, anns)
            await see_that_one_may_be_there_once(run)
            await see_what_operators_do(run)
            assert [run.status(path) for path in ("/readyz", "/metrics")] == [200, 404]
            scraped = run.scraped()
            assert scraped["wsprism_sessions ['acme']"] == 3
            assert scraped["wsprism_sessions ['globex']"] == 1
            assert scraped["wsprism_tickets_total ['globex', 'unknown']"] == 1
            assert scraped["wsprism_insecure ['development_tickets']"] == 0
            loads = [asyncio.create_task(one.run()) for one in publishers]
            loads.append(asyncio.create_task(read_on(ann)))
            # Changed under load, and nobody is disconnected for it.
            await see_it_reloaded(site, run, config, ann)
            said = '{"id":"n-17","from":"desk","msg":"Doors open at 8"}'
            publish = ("publish", "chat.msg", "--tenant", "acme", "--room", "lobby")
            told = await asyncio.to_thread(
                site.command, *publish, said, "--url", run.admin
            )
            assert told.startswith("sent to 3 sessions, number ")
            assert await until(
                lambda: all(len(one.acked) >= UNDER_WAY for one in publishers)
            )
            assert not any(load.done() for load in loads)
            os.kill(int((tmp_path / "wsprism.pid").read_text()), signal.SIGTERM)
            began = time.monotonic()
            await asyncio.gather(*loads)
            assert await asyncio.to_thread(run.process.wait, 20) == 0
            assert time.monotonic() - began < GRACE + 5 + SLACK
            assert all(one.hint is not None for one in publishers)
            assert {one.client.closed for one in publishers} == {(1001, "draining")}
            assert not (tmp_path / "wsprism.pid").exists()
            logged = run.log.read_text(encoding="utf-8")
            for secret in (KEY, SECRET, *anns.split(".")[1:]):
                assert secret not in logged

        with site.running() as run:
            for tenant, ticket in ("acme", anns), ("globex", globex_ticket("gus")):
                async with run.enter(ticket, tenant) as client:
                    kept = await everything(client, epochs[tenant])
                assert [seq for seq, _ in kept] == list(range(1, len(kept) + 1))
                texts = Counter(text for _, text in kept)
                assert max(texts.values()) == 1
                assert ("Doors open at 8" in texts) is (tenant == "acme")
                for one in publishers:
                    if one.tenant == tenant:
                        assert set(one.acked.items()) <= set(kept), "kept, as told"
                        assert not texts.keys() & one.refused
                    else:
                        assert not texts.keys() & {*one.acked.values(), *one.refused}
            run.process.terminate()
            assert await asyncio.to_thread(run.process.wait, 20) == 0
