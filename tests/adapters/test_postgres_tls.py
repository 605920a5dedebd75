"""With sslmode=verify-full in its address the database is reached encrypted and checked, or not.

The packaged Postgres is built without TLS, so a proxy that ends TLS stands in front of it, as it
may stand before a managed database.
"""

import asyncio
import ssl
import struct
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
import pytest
from certificates import authority, server_files

from operations.adapters import credentials, ledger, provision
from operations.adapters.ledger import SealerLedger
from operations.audit import chain
from operations.config import Postgres
from operations.errors import Retryable

pytestmark = pytest.mark.integration
SSL_REQUEST = struct.pack(">ii", 8, 80877103)
FIELDS = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for this host, no encryption\0\0"
REFUSED = b"E" + struct.pack(">i", 4 + len(FIELDS)) + FIELDS  # what Postgres says to plain text


@asynccontextmanager
async def encrypting(folder, backend_port):
    """Listen with TLS in front of a server; yields the port and the file of the authority."""
    key, issuer, file = authority(folder, "authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server_files(folder, key, issuer))

    async def serve(reader, writer):
        inner = None
        try:
            if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
                writer.write(REFUSED)
                return
            writer.write(b"S")
            await writer.start_tls(context)
            back, inner = await asyncio.open_connection("127.0.0.1", backend_port)
            async with asyncio.TaskGroup() as both:
                both.create_task(pump(reader, inner))
                both.create_task(pump(back, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # who is not let in goes away in the middle of the handshake
        finally:
            for each in filter(None, (writer, inner)):
                each.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1], file


async def pump(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def proxy(servers, tmp_path):
    async with encrypting(tmp_path, servers.settings.postgres.port) as found:
        yield found


def address(dsn, port, host="127.0.0.1", **query):
    """Return an address of the database with another place and other parameters."""
    old = urlsplit(dsn)
    netloc = f"{old.netloc.rpartition('@')[0]}@{host}:{port}"
    text = "&".join(f"{name}={quote(str(value))}" for name, value in query.items())
    return urlunsplit(("postgres", netloc, old.path, text, ""))


async def refused(dsn, reason):
    async with asyncio.timeout(ledger.CONNECT_SECONDS):
        with pytest.raises(Retryable, match=reason):
            await ledger.open_connection(Postgres(dsn=dsn), "test")


async def test_a_log_is_written_and_read_through_tls(database, proxy):
    port, file = proxy
    demands = {"sslmode": "verify-full", "sslrootcert": file}
    dsn = address(database.dsn("mts_sealer"), port, **demands)
    async with ledger.connection(Postgres(dsn=dsn), "test") as connected:
        log = SealerLedger(connected, "example.com/audit")
        await log.take_over()
        await log.create(chain.first_entry("example.com/audit", "key", "MTS", 1))
        assert (await ledger.entry_row(connected, 0)) is not None


async def test_a_server_that_demands_tls_refuses_plain_text(database, proxy):
    port, _ = proxy
    dsn = address(database.dsn("mts_reader"), port, sslmode="disable")
    await refused(dsn, "cannot connect to Postgres as test: .*no encryption")


async def test_who_demands_tls_never_falls_back_to_plain_text(database, servers, proxy):
    _, file = proxy
    plain = servers.settings.postgres.port
    dsn = address(database.dsn("mts_reader"), plain, sslmode="verify-full", sslrootcert=file)
    await refused(dsn, "cannot connect to Postgres as test: .*SSL")


async def test_a_certificate_of_somebody_else_is_refused(database, proxy, tmp_path):
    port, _ = proxy
    _, _, stranger = authority(tmp_path, "stranger")
    demands = {"sslmode": "verify-full", "sslrootcert": stranger}
    dsn = address(database.dsn("mts_reader"), port, **demands)
    await refused(dsn, "certificate verify failed")


async def test_a_certificate_of_another_host_is_refused(database, proxy):
    port, file = proxy
    demands = {"sslmode": "verify-full", "sslrootcert": file}
    dsn = address(database.dsn("mts_reader"), port, host="localhost", **demands)
    await refused(dsn, "Hostname mismatch")


@pytest.mark.parametrize("sslrootcert", ["/nowhere/authority.pem", __file__])
async def test_an_authority_that_cannot_be_read_is_named(database, proxy, sslrootcert):
    port, _ = proxy
    demands = {"sslmode": "verify-full", "sslrootcert": sslrootcert}
    await refused(address(database.dsn("mts_reader"), port, **demands), "certificate")


async def test_the_fleet_prepares_an_external_database_through_tls(database, proxy, tmp_path):
    port, file = proxy
    demands = {"sslmode": "verify-full", "sslrootcert": file}

    def external(**query):
        admin = address(database.admin_dsn, port, **query)
        postgres = msgspec.structs.replace(database.settings.postgres, admin_dsn=admin)
        return msgspec.structs.replace(database.settings, postgres=postgres)

    await provision.provision_database(external(**demands))
    dsn = credentials.role_dsn(external(**demands), "mts_reader")
    async with ledger.connection(Postgres(dsn=dsn), "test") as connected:
        assert await connected.fetchval("SELECT 7") == 7
    _, _, stranger = authority(tmp_path, "stranger")
    for wrong in (stranger, "/nowhere/authority.pem"):
        with pytest.raises(Retryable, match="cannot connect to Postgres at "):
            await provision.provision_database(external(sslmode="verify-full", sslrootcert=wrong))
    with pytest.raises(Retryable, match=r"cannot connect to Postgres at .*sslmode"):
        await provision.provision_database(external(sslmode="always"))
