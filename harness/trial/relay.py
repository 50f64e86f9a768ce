"""A relay between a worker and its broker: takes TCP connections on loopback and passes every byte on, both ways.

Run by `harness.trial.outside.relayed` as `python -I -S relay.py BROKER_PORT PORT_FILE`; it writes the port it listens on to the
file. Standard library only. While it is stopped (SIGSTOP) it is a network that drops everything. At SIGUSR1 it forgets the
connections that there are, as a NAT or a firewall does: it drops whatever comes on them, and says so to nobody; new ones it
serves.
"""

import asyncio
import os
import signal
import sys


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until the source ends, or the target does not want any more; what is forgotten stays open."""
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    target.close()


async def serve(broker_port: int, port_file: str) -> None:
    passing: set[asyncio.Task[None]] = set()
    open_ends: list[asyncio.StreamWriter] = []  # a writer that nobody holds is closed

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", broker_port)
        open_ends.extend((writer, far_writer))
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(pass_on(source, target))
            passing.add(task)
            task.add_done_callback(passing.discard)

    def forget() -> None:
        for task in passing:
            task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, forget)
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    with open(port_file + ".new", "w") as file:
        file.write(str(server.sockets[0].getsockname()[1]))
    os.rename(port_file + ".new", port_file)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
