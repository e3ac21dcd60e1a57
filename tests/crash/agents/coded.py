"""The flow of `market` as code in a sandbox, in two languages, where this machine has one."""

from collections.abc import Mapping

from runwright import Agent
from runwright.core.sandbox import Language
from runwright.tools.sandbox.local import LocalSandbox

from .market import MODEL, charge, look, notify, reserve, stamp

PYTHON = """
import asyncio

async def main(order):
    await context.model(f"plan {order}")
    told = [
        await call_tool("look", topic="tea"),
        await call_tool("reserve", item="tea"),
        await call_tool("charge", amount=7),
    ]
    told += await asyncio.gather(call_tool("notify", to="ann"), call_tool("stamp", text="sold"))
    return await context.model(f"say {'; '.join(told)}")
"""

JAVASCRIPT = """
export async function main({ order }) {
  await context.model(`plan ${order}`);
  const told = [
    await callTool("look", { topic: "tea" }),
    await callTool("reserve", { item: "tea" }),
    await callTool("charge", { amount: 7 }),
  ];
  told.push(...await Promise.all([callTool("notify", { to: "ann" }), callTool("stamp", { text: "sold" })]));
  return await context.model(`say ${told.join("; ")}`);
}
"""


def coded(language: Language, code: str) -> Agent:
    """An agent of this code."""
    order = {"properties": {"order": {"type": "string"}}}
    config: dict[str, object] = {"language": language, "code": code, "arguments": order}
    tools = [look, reserve, charge, notify, stamp]
    return Agent(f"coded-{language}", template="custom", model=MODEL, tools=tools, config=config)


CODES: Mapping[Language, str] = {"python": PYTHON, "javascript": JAVASCRIPT}
sandbox = LocalSandbox()
agents = [coded(language, code) for language, code in CODES.items() if sandbox.why_not(language, 1) is None]
for agent in agents:
    globals()[agent.name.replace("-", "_")] = agent
