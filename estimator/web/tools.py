"""The questions as tools of the Model Context Protocol, with the same schemas, answers and sentences as the API."""

import asyncio
from functools import partial
from typing import Any

import estimator
from estimator.errors import EstimatorError, MissingExtra
from estimator.web import brief
from estimator.web.asking import COMMANDS, answer
from estimator.web.models import model

ABOUT = {
    "compare": "What prompt engineering, RAG, fine-tuning and pre-training of an LLM would need and cost, side by side",
    "estimate": "One approach in full: data, time, memory, accelerators, cost, and what it adds to every request",
    "recommend": "Which approach, and why; or what fits, how large, by when, for how much",
    "layout": "The best parallel layout for training or serving on named accelerators, over all valid ones",
    "serving": "Latency, throughput, memory and cost of replicas under one or several loads",
    "check": "Whether the run of a configuration or command fits, how long, for how much, and what would help",
    "record": "What a run really took, from its log, beside what was expected; nothing is kept",
    "variance": "A budget against its bill: price, volume, mix, time, by line",
    "catalog": "What is known: models, accelerators, prices, hosted LLMs, inputs with their reasons",
}


def run() -> None:
    """Serve tools on standard input and output until it ends."""
    asyncio.run(_run())


async def _run() -> None:
    try:
        from mcp.server.stdio import stdio_server
    except ImportError:
        raise MissingExtra("mcp", "mcp") from None
    served = server()
    async with stdio_server() as (read, write):
        await served.run(read, write, served.create_initialization_options())


def server() -> Any:
    """The server of these tools."""
    try:
        from mcp.server.lowlevel import Server
        from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool
    except ImportError:
        raise MissingExtra("mcp", "mcp") from None

    async def listed(_: Any, __: Any) -> ListToolsResult:
        return ListToolsResult(
            tools=[
                Tool(name=name, description=ABOUT.get(name, name), input_schema=model(name).model_json_schema())
                for name in COMMANDS
            ]
        )

    async def called(_: Any, asked: Any) -> CallToolResult:
        text, wrong = await asyncio.to_thread(partial(told, asked.name, asked.arguments or {}))
        return CallToolResult(content=[TextContent(type="text", text=text)], is_error=wrong)

    return Server("estimator", version=estimator.__version__, on_list_tools=listed, on_call_tool=called)


def told(name: str, question: dict[str, Any]) -> tuple[str, bool]:
    """What a tool says, and whether it is what was wrong.

    >>> told("compare", {"model": "7b"})[1], told("compares", {})[0][:38]
    (True, "unknown tool 'compares'. Tools are com")
    """
    if name not in COMMANDS:
        return f"unknown tool {name!r}. Tools are {', '.join(COMMANDS)}.", True
    try:
        return brief.text(answer(name, question), "brief"), False
    except EstimatorError as error:
        return str(error), True
