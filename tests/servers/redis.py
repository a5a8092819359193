"""Redis as one server, as a cluster of three masters, and as a pair watched by three sentinels."""

from __future__ import annotations

import contextlib
from typing import Any, Self

import redis
from redis.exceptions import RedisError

from tests.servers.binaries import binary
from tests.servers.process import OUTGOING, ServerProcess, free_port, wait_until


class RedisServer(ServerProcess):
    """One redis-server without persistence, unless ``options`` ask for it.

    Args:
        options: arguments of redis-server, such as ``"--appendonly", "yes"``; later ones win.
    """

    name = "redis"

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.options = options

    @property
    def url(self) -> str:
        """``redis://127.0.0.1:port/0``."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """Return redis-server with its options."""
        basic = f"--port {self.port} --bind 127.0.0.1 --dir {self.folder} --appendonly no --daemonize no".split()
        return [binary("redis"), *basic, "--save", "", *self.options]

    def client(self) -> redis.Redis:
        """Return a new blocking client for looking inside; close it or use ``with``."""
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=5)

    def answers(self) -> bool:
        """Say whether it answers PING."""
        with contextlib.suppress(RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def save(self) -> bytes:
        """Write a snapshot (SAVE) and return it; ``restore`` brings it back."""
        with self.client() as client:
            client.execute_command("SAVE")
        return (self.folder / "dump.rdb").read_bytes()

    def restore(self, snapshot: bytes) -> None:
        """Restart with an older snapshot, as after a restored backup."""
        self.kill()
        (self.folder / "dump.rdb").write_bytes(snapshot)
        self.start()

    def forget(self) -> None:
        """Restart empty, as after a crash without persistence (kill -9)."""
        self.kill()
        (self.folder / "dump.rdb").unlink(missing_ok=True)
        self.start()


class RedisCluster:
    """Three masters that share the slots, no replicas.

    ``url`` has the scheme ``redis+cluster://``; ``nodes`` are ``RedisServer`` and can be paused or killed one by one.
    """

    def __init__(self) -> None:
        self.nodes = [_node() for _ in range(3)]

    @property
    def url(self) -> str:
        """``redis+cluster://host:port,host:port,host:port``."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> Self:
        """Start the nodes, join them and wait until every slot is served."""
        for node in self.nodes:
            node.start()
        clients = [node.client() for node in self.nodes]
        try:
            _join(clients, [node.port for node in self.nodes])
            for client in clients:
                wait_until(lambda c=client: _cluster_ok(c), 30, "the cluster serves all slots")  # type: ignore[misc]
        finally:
            for client in clients:
                client.close()
        return self

    def client(self) -> redis.RedisCluster:
        """Return a blocking cluster client for looking inside; close it."""
        return redis.RedisCluster(host="127.0.0.1", port=self.nodes[0].port, decode_responses=True)

    def stop(self) -> None:
        """Stop all nodes and remove their folders."""
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class RedisSentinel:
    """A master, a replica and three sentinels (quorum 2), which promote the replica within seconds."""

    service = "tracking"

    def __init__(self) -> None:
        self.master = RedisServer()
        self.replica = RedisServer("--replicaof", "127.0.0.1", str(self.master.port))
        self.sentinels = [_Sentinel(self.master.port, self.service) for _ in range(3)]

    @property
    def url(self) -> str:
        """``redis+sentinel://host:port,host:port,host:port/service/0``."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.service}/0"

    def start(self) -> Self:
        """Start all and wait until every sentinel knows the replica and the other two."""
        self.master.start()
        self.replica.start()
        wait_until(self._replicated, 30, "the replica follows the master")
        for each in self.sentinels:
            each.start()
        wait_until(self._agreed, 30, "three sentinels know each other and the replica")
        return self

    def master_port(self) -> int:
        """Return the port of the master that the sentinels name now."""
        with self.sentinels[0].client() as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)[1])

    def stop(self) -> None:
        """Stop all processes and remove their folders."""
        for each in (*self.sentinels, self.replica, self.master):
            each.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _replicated(self) -> bool:
        with self.replica.client() as client:
            return bool(client.info("replication").get("master_link_status") == "up")

    def _agreed(self) -> bool:
        for each in self.sentinels:
            with each.client() as client:
                answer = client.execute_command("SENTINEL", "MASTER", self.service)
                state = answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=False))
                if (int(state["num-slaves"]), int(state["num-other-sentinels"])) != (1, 2):
                    return False
        return True


class _Sentinel(RedisServer):
    """One sentinel; its configuration is a file because it rewrites it itself."""

    name = "sentinel"

    def __init__(self, master_port: int, service: str) -> None:
        super().__init__()
        self.master_port = master_port
        self.service = service

    def command(self) -> list[str]:
        """Return redis-server in sentinel mode, with its configuration written first."""
        config = self.folder / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {self.service} 127.0.0.1 {self.master_port} 2\n"
            f"sentinel down-after-milliseconds {self.service} 1000\n"
            f"sentinel failover-timeout {self.service} 2000\n"
        )
        return [binary("redis"), str(config), "--sentinel"]


def _node() -> RedisServer:
    node = RedisServer(
        "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"
    )
    # The bus listens on port + 10000, which an outgoing connection may have too.
    node.port = free_port(OUTGOING - 10_000)
    return node


def _join(clients: list[Any], ports: list[int]) -> None:
    slots = [range(5_461), range(5_461, 10_923), range(10_923, 16_384)]
    for epoch, (client, share) in enumerate(zip(clients, slots, strict=True), start=1):
        client.execute_command("CLUSTER", "ADDSLOTS", *share)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
    for port in ports[1:]:
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)


def _cluster_ok(client: Any) -> bool:
    info = client.execute_command("CLUSTER", "INFO")
    text = info if isinstance(info, str) else "\n".join(f"{key}:{value}" for key, value in info.items())
    return all(part in text for part in ("cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"))
