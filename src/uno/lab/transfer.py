"""TCP transfers between namespaces, in one process: integrity, and the source address.

Each target runs an echo server that also returns the address of its client.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from uno.lab import netns
from uno.lab.ping_matrix import PingPath
from uno.model.net import Address, address

# An unassigned port (IANA) that nothing of the product listens on.
PORT = 7007
# More connections at a time would only wait for the processor.
_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """The result of a transfer: the client address that the server saw, or the problem."""

    seen: Address | None = None
    problem: str = ""


def transfers(
    paths: Iterable[PingPath], *, servers: Iterable[str], size: int = 65536, within: float = 15
) -> Mapping[PingPath, Transfer]:
    """Carry `size` bytes along each path and back; each has `within` seconds once it begins.

    `servers` are the namespaces that hold the paths' targets.
    """
    return asyncio.run(_transfers(list(dict.fromkeys(paths)), set(servers), size, within))


async def _transfers(
    paths: list[PingPath], servers: set[str], size: int, within: float
) -> Mapping[PingPath, Transfer]:
    content = b"".join(
        hashlib.sha256(number.to_bytes(4)).digest() for number in range(size // 32 + 1)
    )[:size]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def guarded(path: PingPath) -> Transfer:
        async with gate:
            try:
                async with asyncio.timeout(within):
                    return await _transfer(path, content)
            except TimeoutError:
                return Transfer(problem=f"not finished after {within:g} s")
            except (OSError, EOFError) as error:
                return Transfer(problem=str(error) or type(error).__name__)

    async with AsyncExitStack() as stack:
        for namespace in sorted(servers):
            await stack.enter_async_context(_serving(namespace))
        async with asyncio.TaskGroup() as group:
            tasks = {path: group.create_task(guarded(path)) for path in paths}
    return {path: task.result() for path, task in tasks.items()}


async def _transfer(path: PingPath, content: bytes) -> Transfer:
    family = socket.AF_INET if path.target.version == 4 else socket.AF_INET6
    with netns.socket_in(path.namespace, family, socket.SOCK_STREAM) as connection:
        await asyncio.get_running_loop().sock_connect(connection, (str(path.target), PORT))
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            writer.write(content)
            writer.write_eof()
            seen = (await reader.readuntil(b"\n")).decode().strip()
            returned = await reader.read(-1)
        finally:
            writer.close()
    if returned != content:
        return Transfer(problem=f"{len(returned)} bytes came back, not the {len(content)} sent")
    return Transfer(seen=address(seen))


@asynccontextmanager
async def _serving(namespace: str) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for family in (socket.AF_INET, socket.AF_INET6):
            listening = netns.socket_in(namespace, family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(("", PORT))
            server = await asyncio.start_server(_return, sock=listening, backlog=_AT_ONCE)
            await stack.enter_async_context(server)
        yield


async def _return(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.write(f"{writer.get_extra_info('peername')[0]}\n".encode())
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
