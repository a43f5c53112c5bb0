"""A TCP proxy that does to real connections what networks do: late, slow, in crumbs, stalled, cut, reset, corrupted.

Its ideas are toxiproxy's. It runs an event loop in a thread of its own; what chance decides, a seed decides.
"""

import asyncio
import contextlib
import dataclasses
import random
import socket
import struct
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Literal, Self

UP, DOWN = "up", "down"
_CHUNK = 1 << 14
_RESEND_S = 0.2


@dataclasses.dataclass(frozen=True)
class Toxics:
    """What every connection suffers as long as it is so."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    """Up to so much more latency, anew for each chunk."""
    bytes_per_s: float = 0.0
    """0: as fast as it goes."""
    slice_bytes: int = 0
    """Write so many bytes at a time; 0: as they came."""
    corrupt: float = 0.0
    """Probability with which a bit of a chunk flips."""
    loss: float = 0.0
    """Probability with which a chunk is lost: TCP sends it again after 0.2 s, and then after 0.4 s more."""


class FaultProxy:
    """Forwards connections to a target. All of its methods may be called from any thread."""

    def __init__(self, target: str, seed: int = 0) -> None:
        """Start; `target` and `address` are tcp://host:port."""
        self._target = target.removeprefix("tcp://").rsplit(":", 1)
        self._random = random.Random(seed)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._closed_until_s = 0.0
        self.toxics = Toxics()
        self.connections = 0
        """How many there have been."""
        self.corrupted = 0
        """Bits flipped."""
        self._flip: dict[str, list[int]] = {UP: [], DOWN: []}
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, "127.0.0.1", 0), self._loop
        ).result()
        self.address = "tcp://{}:{}".format(*self._server.sockets[0].getsockname())

    def stall(self) -> None:
        """Connections stay open and carry nothing, until `heal`."""
        self._do(self._flowing.clear)

    def cut(self, for_s: float) -> None:
        """Break all connections and accept none for a while."""
        self._closed_until_s = self._loop.time() + for_s
        self._do(lambda: [writer.close() for pair in self._pairs for writer in pair])

    def reset(self) -> None:
        """Break all connections with an RST to both ends."""
        self._do(lambda: [_reset(writer) for pair in self._pairs for writer in pair])

    def half_close(self, towards: Literal["up", "down"]) -> None:
        """Tell one end of each connection that the other has said its last word; what it says still gets through."""
        self._do(
            lambda: [pair[towards == UP].write_eof() for pair in self._pairs if not pair[towards == UP].is_closing()]
        )

    def corrupt_next(self, towards: Literal["up", "down"], within: int = _CHUNK) -> None:
        """Flip a bit in the next chunk of one direction, in its first bytes: 9 are a frame's flags and length."""
        self._flip[towards].append(within)

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.toxics, self._flip, self._closed_until_s = Toxics(), {UP: [], DOWN: []}, 0.0
        self._do(self._flowing.set)

    def close(self) -> None:
        """Break everything and end the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, act: Callable[[], object]) -> None:
        """Run it in the loop's thread, before whatever is asked for next."""
        self._loop.call_soon_threadsafe(act)

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pair in self._pairs:
            for writer in pair:
                writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._loop.time() < self._closed_until_s:
            writer.close()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(self._target[0], int(self._target[1]))
        except OSError:
            writer.close()
            return
        self.connections += 1
        pair = (writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pump(reader, far_writer, UP), self._pump(far_reader, writer, DOWN))
        finally:
            self._pairs.discard(pair)
            for end in pair:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        """Carry one direction until its sender has finished or either end is gone."""
        # RuntimeError: this end was half-closed.
        with contextlib.suppress(OSError, RuntimeError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                toxics = self.toxics
                delay_s = toxics.latency_s + toxics.jitter_s * self._random.random()
                if toxics.bytes_per_s:
                    delay_s += len(data) / toxics.bytes_per_s
                again_s = _RESEND_S
                while self._random.random() < toxics.loss:
                    delay_s, again_s = delay_s + again_s, 2 * again_s
                if delay_s:
                    await asyncio.sleep(delay_s)
                data = self._corrupted(data, way)
                size = toxics.slice_bytes or len(data)
                for start in range(0, len(data), size):
                    writer.write(data[start : start + size])
                    await writer.drain()
            writer.write_eof()
            return
        # One end is gone: let the other know.
        writer.close()

    def _corrupted(self, data: bytes, way: str) -> bytes:
        within = len(data)
        if self._flip[way]:
            within = min(within, self._flip[way].pop(0))
        elif not self._random.random() < self.toxics.corrupt:
            return data
        self.corrupted += 1
        changed = bytearray(data)
        changed[self._random.randrange(within)] ^= 1 << self._random.randrange(8)
        return bytes(changed)


def run_lossy(target: str, loss: float, cut_every_s: float, told: Connection) -> None:
    """As a process of its own: lose so much and cut now and then, until asked how many connections there were."""
    with FaultProxy(target) as proxy:
        proxy.toxics = Toxics(loss=loss)
        told.send(proxy.address)
        while not told.poll(cut_every_s):
            proxy.cut(0.1)
        told.recv()
        told.send(proxy.connections)
        told.poll(None)  # Whoever asked ends this process.


def _reset(writer: asyncio.StreamWriter) -> None:
    end: socket.socket = writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
