"""`ringfence mcp` as a client of the Python SDK meets it, and the blocks of docs/mcp.md. Argument: the program `ringfence`."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

ROOT = Path(__file__).parents[2]


async def check(program: Path, place: Path, words: list[str]) -> None:
    work, other = place / "work", place / "other"
    server = StdioServerParameters(
        command=str(program), args=["mcp", *words], cwd=work, env={"HOME": str(place)}
    )
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        told = await session.initialize()
        assert told.server_info.name == "ringfence-mcp", told
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert tools == {"run", "plan", "why"}, tools

        async def run(command: list[str], **arguments: Any) -> dict[str, Any]:
            result = await session.call_tool("run", {"command": command, **arguments})
            assert not result.is_error and json.loads(result.content[0].text) == result.structured_content
            return result.structured_content

        done = await run(["sh", "-c", f"echo out; echo x > file; echo x > {other}/file; exit 3"])
        assert (done["exit_code"], done["stdout"]) == (3, "out\n") and "Read-only" in done["stderr"], done
        assert (work / "file").read_text() == "x\n" and not (other / "file").exists()
        assert (await run(["cat", "file"], deny=["file"]))["exit_code"] != 0
        assert (await run(["cat", "file"], timeout_seconds=60, gpu="off"))["stdout"] == "x\n"
        assert (await run(["sleep", "9"], timeout_seconds=0.2))["timed_out"] == "timeout"
        wider = await session.call_tool("run", {"command": ["true"], "write": ["/"]})
        assert wider.is_error, wider
        assert not (await session.call_tool("plan", {})).is_error
        why = await session.call_tool("why", {"path": "/etc/passwd", "write": True})
        assert why.content[0].text.startswith("no: "), why


def configurations() -> list[list[str]]:
    """What the page shows as configuration of a client: the options of each server in it."""
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "docs/mcp.md").read_text(), re.S)
    servers = [server for block in blocks for server in json.loads(block)["mcpServers"].values()]
    assert servers and all(server["command"] == "ringfence" and server["args"][0] == "mcp" for server in servers)
    return [server["args"][1:] for server in servers]


def main() -> None:
    program = Path(sys.argv[1]).resolve()
    checked = [[], *configurations()]
    for words in checked:
        with tempfile.TemporaryDirectory(prefix="ringfence-mcp-", dir="/var/tmp") as made:
            place = Path(made)
            for name in ("work", "other", "policies"):
                (place / name).mkdir()
            (place / "policies/agent.toml").write_text('deny = ["**/.env"]\n')
            words = [word.replace("/home/you", str(place)) for word in words]
            asyncio.run(check(program, place, words))
    print(f"{len(checked)} passed, 0 failed")


main()
