"""The network engine: poller, connections, listeners, timers, in-memory transport. The only layer that touches sockets.

Start at `loop.py` (the engine and its asyncio loop), then `connection.py`. Importing this package imports nothing else.
"""
