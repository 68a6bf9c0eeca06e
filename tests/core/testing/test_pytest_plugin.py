from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]


def test_the_fixture_needs_no_plugin_for_async_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio

        def test_hello(gateway):
            async def main():
                async with gateway() as gw, gw.connect(user="ann") as ann:
                    assert (await ann.request("sys", "ping"))["type"] == "pong"

            asyncio.run(main())
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:asyncio", "-p", "no:anyio")
    result.assert_outcomes(passed=1)


def test_a_failed_expectation_is_shown_where_the_test_stands(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import asyncio

        def test_hello(gateway):
            async def main():
                async with gateway() as gw, gw.connect(user="ann") as ann:
                    await ann.expect_push("chat.msg")

            asyncio.run(main())
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:asyncio")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '>*await ann.expect_push("chat.msg")',
            "E*AssertionError: ann expected a push chat.msg",
        ]
    )
    result.stdout.no_fnmatch_line("*testing/client.py*")


def test_the_plugin_imports_nothing_of_the_gateway_before_it_is_asked() -> None:
    code = (
        "import wsprism_core.testing.pytest_plugin, wsprism_core.testing, sys\n"
        "late = ('wsprism_core.gateway', 'wsprism_core.testing.harness',\n"
        "        'wsprism_core.testing.client', 'wsprism_core.transports.memory')\n"
        "assert not set(late) & set(sys.modules), sys.modules\n"
        "assert wsprism_core.testing.VirtualClock().now() == 0\n"
        "assert not hasattr(wsprism_core.testing, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
