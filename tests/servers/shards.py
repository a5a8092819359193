"""Two shards of a real ClickHouse with ZooKeeper, in the version that Debian has: 18.16 runs our DDL, no questions."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from itertools import groupby
from pathlib import Path
from shutil import which

from tests.servers.process import ServerProcess, free_port

JARS = Path("/usr/share/java")
CLUSTER = "main"
ACCOUNTS = """<yandex>
<profiles><default>
<allow_experimental_low_cardinality_type>1</allow_experimental_low_cardinality_type>
<insert_distributed_sync>1</insert_distributed_sync>
</default></profiles>
<users><default><password></password><networks><ip>127.0.0.1</ip></networks>
<profile>default</profile><quota>default</quota></default></users>
<quotas><default></default></quotas>
</yandex>"""


def installed() -> bool:
    """Return whether Debian's packages clickhouse-server and zookeeper are on the machine."""
    found = which("clickhouse-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return found is not None and which("java") is not None and (JARS / "zookeeper.jar").exists()


class ZooKeeper(ServerProcess):
    """One ZooKeeper."""

    name = "zookeeper"

    def command(self) -> list[str]:
        """Return the server, with its configuration written first."""
        config = self.folder / "config"
        config.write_text(
            f"tickTime=500\ndataDir={self.folder / 'data'}\nclientPort={self.port}\n"
            "clientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
        )
        classes = f"{JARS / 'zookeeper.jar'}:{JARS}/*"
        return ["java", "-cp", classes, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config)]

    def answers(self) -> bool:
        """Say whether it serves; it takes connections before, and this ClickHouse crashes when it cuts them."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"srvr")
                return b"Mode: standalone" in connection.makefile("rb").read()
        except OSError:
            return False


class Shard(ServerProcess):
    """One of the servers: a replica of a shard."""

    name = "clickhouse-shard"

    def __init__(self, number: int, zookeeper: ZooKeeper, replica: str = "first") -> None:
        super().__init__()
        self.number, self.zookeeper, self.replica = number, zookeeper, replica
        self.native, self.internal = free_port(), free_port()
        self.shards: list[Shard] = []
        """All servers of the cluster, this one included, in order of their shards."""

    def command(self) -> list[str]:
        """Return clickhouse-server, with its configuration written first."""
        (self.folder / "users.xml").write_text(ACCOUNTS)
        servers = "".join(
            "<shard><internal_replication>true</internal_replication>"
            + "".join(f"<replica><host>127.0.0.1</host><port>{replica.native}</port></replica>" for replica in replicas)
            + "</shard>"
            for _, replicas in groupby(self.shards, lambda shard: shard.number)
        )
        (self.folder / "config.xml").write_text(
            f"""<yandex>
<logger><level>warning</level><log>{self.folder}/server.log</log></logger>
<listen_host>127.0.0.1</listen_host><interserver_http_host>127.0.0.1</interserver_http_host>
<http_port>{self.port}</http_port><tcp_port>{self.native}</tcp_port>
<interserver_http_port>{self.internal}</interserver_http_port>
<path>{self.folder}/data/</path><tmp_path>{self.folder}/tmp/</tmp_path>
<users_config>users.xml</users_config><default_profile>default</default_profile>
<default_database>default</default_database><mark_cache_size>10000000</mark_cache_size>
<remote_servers><{CLUSTER}>{servers}</{CLUSTER}></remote_servers>
<zookeeper><node><host>127.0.0.1</host><port>{self.zookeeper.port}</port></node></zookeeper>
<macros><shard>{self.number}</shard><replica>{self.replica}</replica></macros>
<distributed_ddl><path>/clickhouse/ddl</path></distributed_ddl>
</yandex>"""
        )
        return ["/usr/sbin/clickhouse-server", f"--config-file={self.folder / 'config.xml'}"]

    def answers(self) -> bool:
        """Say whether it answers a query."""
        try:
            return self.run("SELECT 1") == "1"
        except OSError:
            return False

    def run(self, statement: str) -> str:
        """Run a statement, and return its answer with tabs between columns.

        Raises:
            AssertionError: it was refused.
        """
        url = f"http://127.0.0.1:{self.port}/"
        try:
            with urllib.request.urlopen(url, statement.encode(), timeout=60) as answer:
                text: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
        return text.strip()
