"""Whether this container's worker has lately registered itself in Valkey; a nonzero exit says no."""

import os
import socket
import sys

import redis

valkey = redis.Redis.from_url(os.environ["NEWTOND_REDIS_URL"], socket_timeout=3)
here = f"rq:worker:{socket.gethostname()}-".encode()
sys.exit(not any(name.startswith(here) and valkey.exists(name) for name in valkey.smembers("rq:workers")))
