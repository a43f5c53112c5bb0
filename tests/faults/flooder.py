"""`python flooder.py <port> <peers>`: peers that have no key, of every kind that wastes a server's time.

Words on its standard input tell it what to do: `flood` keeps all of them there, each coming back a second after it was
cut; `hold` lets those that are there stay and nobody come back; `leave` closes all. After each it says how many are
connected.
"""

import asyncio
import contextlib
import random
import sys

_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01"
_AS_SERVER_AND_FILLER = bytes(32)
KINDS = (
    b"",
    random.Random(0).randbytes(1000),
    b"GET / HTTP/1.1\r\nHost: learner\r\n\r\n",
    _GREETING + b"NULL".ljust(20, b"\0") + _AS_SERVER_AND_FILLER,
    _GREETING + b"CURVE".ljust(20, b"\0") + _AS_SERVER_AND_FILLER,
    # A whole CURVE HELLO whose box does not open: the server computes before it can know.
    _GREETING
    + b"CURVE".ljust(20, b"\0")
    + _AS_SERVER_AND_FILLER
    + b"\x04\xc8\x05HELLO\x01\x00"
    + bytes(70)
    + b"x" * 122,
)
_BACK_S = 1.0


class Flood:
    """All the peers."""

    def __init__(self, port: int, peers: int) -> None:
        self._port = port
        self._peers = peers
        self._coming = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()

    async def obey(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        peers = [asyncio.create_task(self._peer(number)) for number in range(self._peers)]
        while word := (await reader.readline()).decode().strip():
            if word == "flood":
                self._coming.set()
                # The silent ones are there for as long as the server bears them; the others come and go.
                while len(self._open) < self._peers // len(KINDS):
                    await asyncio.sleep(0.01)
            else:
                self._coming.clear()
            if word == "leave":
                for writer in tuple(self._open):
                    writer.transport.abort()
            print(len(self._open), flush=True)
        for peer in peers:
            peer.cancel()

    async def _peer(self, number: int) -> None:
        waste = KINDS[number % len(KINDS)]
        await asyncio.sleep(_BACK_S * number / self._peers)
        while True:
            await self._coming.wait()
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                self._open.add(writer)
                try:
                    writer.write(waste)
                    # Until the server cuts us; what it says is of no interest.
                    while await reader.read(4096):
                        pass
                finally:
                    self._open.discard(writer)
                    writer.close()
            await asyncio.sleep(_BACK_S)


if __name__ == "__main__":
    asyncio.run(Flood(int(sys.argv[1]), int(sys.argv[2])).obey())
