"""A Postgres of the operating system with the modules that the packaged one does not bring.

pg_stat_statements and amcheck are "contrib" modules. The server that is installed with this package
has neither, so what they say can only be asked of another one, where the machine has one.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import PATIENCE_SECONDS, make_home, remove_home

from operations.adapters.ports import free_port
from operations.config import Settings
from workers.postgres_server import PostgresServer

FOUND = [
    place
    for place in sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if all(
        Path(f"/usr/share/postgresql/{place.parent.name}/extension/{name}.control").exists()
        for name in ("pg_stat_statements", "amcheck")
    )
]


@contextmanager
def running() -> Iterator[str]:
    """Run such a server on a folder of its own; gives the address of its administrator."""
    home, port = make_home(), free_port()
    packaged = PostgresServer(Settings(home=str(home)))
    packaged._prepare_folders()
    owner, data = packaged._as_owner, home / "postgres" / "data"
    initdb = [FOUND[-1] / "initdb", "-D", data, "-U", "admin", "-A", "trust", "--locale=C"]
    subprocess.run(initdb, check=True, capture_output=True, **owner)
    settings = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "",
        "shared_preload_libraries": "pg_stat_statements", "fsync": "off",
    }  # fmt: skip
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [FOUND[-1] / "postgres", "-D", data, *words], stdout=log, stderr=log, **owner
        )
    try:
        yield f"postgresql://admin@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        remove_home(home)
