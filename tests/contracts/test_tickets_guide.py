"""What the guide on tickets tells to write does what it says."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support.tokens import ed_key, private_pem_of, write_pem
from wsprism_cli.main import cli
from wsprism_core.settings.file import load_config
from wsprism_core.testing import GatewayHarness, VirtualClock

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "tickets.md"


def blocks(language: str) -> list[str]:
    text = GUIDE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACME_SECRET", "0123456789abcdef" * 4)
    write_pem(tmp_path, ed_key(), "globex-public.pem")
    (tmp_path / "wsprism.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    return tmp_path


async def test_two_tenants_let_their_own_clients_in(
    gateway: type[GatewayHarness], folder: Path
) -> None:
    (command,) = (line for line in blocks("console")[2].splitlines())
    (minting,) = re.findall(r"\$\(wsprism (.*?)\)", command)
    minted = CliRunner().invoke(cli, minting.split())
    assert minted.exit_code == 0, minted.output
    scope: dict[str, Any] = {}
    exec(compile(blocks("python")[0], "tickets.md", "exec"), scope)
    tickets = {
        "acme": minted.stdout.strip(),
        "globex": scope["ticket_for"]("ann", private_pem_of(ed_key())),
    }
    config = load_config(folder / "wsprism.yaml", environ={})
    clock = VirtualClock(wall_ms=time.time_ns() // 1_000_000)
    async with gateway("chat", config=config, clock=clock) as gw:
        for tenant, ticket in tickets.items():
            client = await gw.dial(ticket=ticket, tenant=tenant)
            authed = (await client.expect_push("sys.authed"))["data"]
            assert (authed["user"], authed["tenant"]) == ("ann", tenant)
            await client.join("lobby")
            other = "globex" if tenant == "acme" else "acme"
            refused = await gw.dial(ticket=ticket, tenant=other)
            await refused.expect_closed(4503)
        # The last one was for some rooms.
        await client.join("team-7")
        await client.send("room", "join", room="staff")
        await client.expect_error("NOT_ALLOWED")


@pytest.mark.parametrize("number", [1, 2])
def test_the_other_sections_are_read(tmp_path: Path, number: int) -> None:
    section = blocks("yaml")[number]
    if "auth:" not in section:
        section = f"    auth:\n{section}"
    path = tmp_path / "wsprism.yaml"
    path.write_text(f"version: 1\ntenants:\n  - id: acme\n{section}", encoding="utf-8")
    assert load_config(path, environ={}).tenants[0].auth.has_source
