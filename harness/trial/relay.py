"""A relay between a worker and its broker: takes TCP connections on loopback and passes every byte on, both ways.

Run by `harness.trial.outside` as `python -I -S relay.py BROKER_PORT PORT_FILE`; it writes the port it listens on to the file.
Standard library only. While it is stopped (SIGSTOP) it is a network that drops everything: see `harness.trial.outside.cut`.
"""

import asyncio
import os
import sys


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until the source ends, or the target does not want any more."""
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


async def serve(broker_port: int, port_file: str) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", broker_port)
        await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    with open(port_file + ".new", "w") as file:
        file.write(str(server.sockets[0].getsockname()[1]))
    os.rename(port_file + ".new", port_file)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
