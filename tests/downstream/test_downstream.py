"""A third party's package, installed beside built wheels, found and talked to.

Nothing of the workspace is on the path of the environment that is made here: what works
in it works for everybody who has pip.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from support.wheels import Environment, clean_environment
from wsprism_core.client import FrameEvent, TextEvent, connect

ROOT = Path(__file__).parents[2]
DICE = Path(__file__).parent / "wsprism-dice"

pytestmark = [pytest.mark.downstream, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Core, chat and the third party's package, as wheels in an environment."""
    environment = Environment(tmp_path_factory.mktemp("downstream"))
    environment.build(ROOT, "--all-packages")
    environment.build(DICE)
    environment.create()
    environment.install("wsprism-core", "wsprism-chat", "wsprism-dice")
    return environment


def test_every_package_of_the_workspace_builds(installed: Environment) -> None:
    names = {wheel.name.split("-")[0] for wheel in installed.wheels.glob("*.whl")}
    assert names == {
        "wsprism_chat",
        "wsprism_cli",
        "wsprism_core",
        "wsprism_dice",
        "wsprism_game",
        "wsprism_market",
    }


def test_wheels_hold_their_licences_and_type_marker(installed: Environment) -> None:
    (wheel,) = installed.wheels.glob("wsprism_core-*.whl")
    names = {name.partition("/")[2] for name in ZipFile(wheel).namelist()}
    assert {"licenses/LICENSE-MIT", "licenses/LICENSE-APACHE", "py.typed"} <= names


@pytest.fixture
def gateway(installed: Environment) -> Iterator[str]:
    """The address of a gateway that runs in the environment."""
    process = subprocess.Popen(
        [str(installed.bin / "wsprism"), "run", "--port", "0"],
        cwd=installed.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if "ws://" in line:
                yield "ws://" + line.split("ws://")[1].split()[0].rstrip("/")
                break
        else:
            raise AssertionError("it did not start:\n" + "".join(said))
    finally:
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        process.stdout.close()
        assert process.wait(20) == 0


async def test_a_third_partys_service_is_found_and_answers(gateway: str) -> None:
    async with asyncio.timeout(20), connect(gateway, ticket="dev:ann") as client:
        assert client.authed["services"] == {"chat": 2, "dice": 66}
        joined = await client.join("table")
        await client.send("dice", "roll")
        await client.send_frame(66, 1, alias=joined["data"]["alias"])
        rolled, frame = None, None
        async for event in client.events():
            if isinstance(event, TextEvent) and event.envelope["svc"] == "dice":
                rolled = event.envelope
            elif isinstance(event, FrameEvent):
                frame = event.frame
            if rolled and frame:
                break
        assert rolled is not None
        assert frame is not None
        assert rolled["type"] == "rolled"
        assert rolled["data"]["by"] == "user:ann"
        assert (frame.svc_id, frame.opcode, len(frame.payload)) == (66, 1, 1)


def test_a_plugin_that_is_not_installed_exits_2_and_says_what_to_install(
    installed: Environment,
) -> None:
    done = installed.wsprism("run", "--plugins", "chat,game")
    assert done.returncode == 2
    assert "pip install wsprism-game" in done.stderr
