"""Tools of the Model Context Protocol: asked by the official client, over standard input and output."""

import asyncio
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from estimator import compare

pytest.importorskip("mcp", reason="tools need the extra mcp")


def test_tools_say_what_the_command_says():
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    root = str(Path(__file__).parents[2])
    words = StdioServerParameters(
        command=sys.executable, args=["-m", "estimator", "mcp"], env={**os.environ, "PYTHONPATH": root}
    )

    async def ask():
        async with stdio_client(words) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            good = await session.call_tool("compare", {"model": "7b", "gpu": "a100", "samples": 2000})
            bad = await session.call_tool("compare", {"model": "7b", "gpu": "a10x"})
            return tools, good, bad

    tools, good, bad = ThreadPoolExecutor(1).submit(lambda: asyncio.run(ask())).result()
    found = json.loads(good.content[0].text)["stages"]["rag"]["figures"]["total_usd"]["value"]

    assert {"compare", "estimate", "catalog"} <= {one.name for one in tools}
    assert found == pytest.approx(compare(model="7b", gpu="a100", samples=2000)["rag"].total_usd.value)
    assert "Did you mean 'a10'" in bad.content[0].text
