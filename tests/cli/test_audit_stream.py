"""Do `rebuild` and `adopt-stream` do as a person on duty expects, with real servers?"""

import asyncio
import json
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import MTS, Command
from pipeline import ORIGIN, Site, fill, orders, read_log, stream_state
from support import PATIENCE_SECONDS, NatsHandle, eventually

from operations.adapters import accounts, adoption_order, ledger, roster_files, wire
from operations.audit import chain
from operations.config import Nats, Settings, subprocess_environment

pytestmark = pytest.mark.integration
REASON = ("--reason", "the disk of the bus was lost")


@pytest.fixture
def site(nats_server, database, tmp_path) -> Site:
    made = Site(nats_server, database, tmp_path)
    roster_files.ensure_development(Settings(home=str(tmp_path)))
    return made


def mts(site: Site, user: str = "operator") -> Command:
    """`mts` with the keys of the site, as a user of its servers."""
    command = Command(
        site.folder,
        MTS_NATS_URL=site.nats.url,
        MTS_NATS_USER=user,
        MTS_NATS_PASSWORD=site.nats.password(user),
        MTS_NATS_INBOX=accounts.inbox(user),
        MTS_POSTGRES_DSN=site.database.dsn("mts_reader"),
    )
    command.settings["MTS_HOME"] = str(site.folder)
    return command


async def run(site: Site, *arguments: object, user: str = "operator"):
    return await asyncio.to_thread(mts(site, user), "audit", *arguments)


async def seal_and_sign(site: Site) -> int:
    async with site.working("audit", "checkpoint"):
        await site.sealed_to((await stream_state(site.nats))["last_seq"])
        size = await site.fetchval("SELECT size FROM audit.head")

        async def signed() -> bool:
            return await site.fetchval("SELECT max(size) FROM audit.checkpoint") == size

        await eventually(signed, "everything is signed")
    return size


def folder_of(nats: NatsHandle) -> Path:
    return nats.settings.path("nats", "jetstream")


def keep_copy(nats: NatsHandle) -> Path:
    """Copy what the server has on disk, as a backup would."""
    nats.stop()
    copy = folder_of(nats).with_name(f"copy {len(list(folder_of(nats).parent.iterdir()))}")
    shutil.copytree(folder_of(nats), copy)
    nats.start()
    return copy


def restore(nats: NatsHandle, copy: Path | None) -> None:
    """Put an older copy in place of the stream, or a new empty one."""
    nats.stop()
    shutil.rmtree(folder_of(nats))
    if copy:
        shutil.copytree(copy, folder_of(nats))
    nats.start()


async def plan(site: Site) -> adoption_order.Plan:
    password = site.nats.password("operator")
    inbox = accounts.inbox("operator")
    nats = Nats(url=site.nats.url, user="operator", password=password, inbox=inbox)
    settings = site.settings("audit").postgres
    async with ledger.connection(settings, "test") as db, wire.connection(nats, "test") as client:
        return await adoption_order.plan(db, client, "MTS", ORIGIN)


async def adopt(site: Site) -> None:
    """Adopt the stream that is there, with the workers running."""
    async with site.working("audit"):
        said = await run(site, "adopt-stream", *REASON, "--confirm", "ADOPT")
        assert said.code == 0, said.out + said.err
        await site.sealed_to((await stream_state(site.nats))["last_seq"])


async def test_rebuild_says_what_it_found_in_words_json_and_exit_codes(site):
    await fill(site.nats, orders(300))
    said = await run(site, "rebuild", user="auditor")
    assert (said.code, said.out[:18]) == (2, "? cannot be told: ")
    await seal_and_sign(site)
    said = await run(site, "rebuild", user="auditor")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("✓ 301 entries rebuilt from the stream, same log\n")
    assert "the root at size 301 agrees with the signature" in said.out
    db = await site.database.connect()
    for table in ("entry", "entry_000000"):
        await db.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER ALL")
    await db.execute("UPDATE audit.entry SET hash = sha256(hash) WHERE sequence = 99")
    await db.close()
    said = await run(site, "rebuild", user="auditor")
    assert (said.code, said.out.split(":")[0]) == (1, "✗ differs at sequence 99")
    assert "so the log in Postgres was changed" in said.out
    found = json.loads((await run(site, "rebuild", "--output", "json", user="auditor")).out)
    assert (found["exit_code"], found["differs_at"]) == (1, 99)


async def test_rebuild_without_a_stream_cannot_tell(site):
    await fill(site.nats, orders(30))
    await seal_and_sign(site)
    site.nats.kill()
    said = await run(site, "rebuild", user="auditor")
    assert (said.code, said.out) == (2, "")
    assert "cannot connect to NATS" in said.err


async def test_rebuild_of_a_user_without_the_right_cannot_tell(site):
    await fill(site.nats, orders(30))
    await seal_and_sign(site)
    assert (await run(site, "rebuild", user="publisher")).code == 2


async def test_there_is_nothing_to_adopt_where_the_log_goes_on(site):
    said = await run(site, "adopt-stream", *REASON)
    assert (said.code, "there is no log" in said.err) == (2, True)
    await fill(site.nats, orders(30))
    await site.seal_everything()
    await fill(site.nats, orders(30))
    said = await run(site, "adopt-stream", *REASON)
    assert (said.code, said.out) == (0, "✓ nothing to adopt: the log goes on with stream MTS\n")


async def test_nothing_is_adopted_without_a_person_who_confirms(site):
    await fill(site.nats, orders(30))
    await site.seal_everything()
    restore(site.nats, None)
    said = await run(site, "adopt-stream", *REASON)
    assert (said.code, "nobody can be asked here; nothing was done" in said.err) == (2, True)
    for arguments in (
        (*REASON, "--confirm", "yes"),
        ("--reason", " ", "--confirm", "ADOPT"),
        (*REASON, "--confirm", "ADOPT", "--key-file", "nowhere"),
        ("--confirm", "ADOPT"),
    ):
        assert (await run(site, "adopt-stream", *arguments)).code == 2
    assert (await stream_state(site.nats))["messages"] == 0


async def test_an_order_that_nobody_takes_is_said(site):
    await fill(site.nats, orders(30))
    await site.seal_everything()
    restore(site.nats, None)
    said = await run(site, "adopt-stream", *REASON, "--confirm", "ADOPT", "--seconds", "2")
    assert (said.code, "the audit worker did not take it within 2 s" in said.err) == (2, True)
    assert (await stream_state(site.nats))["messages"] == 1


async def test_a_stream_that_was_made_anew_is_adopted_from_its_beginning(site):
    await fill(site.nats, orders(30))
    await seal_and_sign(site)
    restore(site.nats, None)
    await fill(site.nats, orders(5, first=100))
    planned = await plan(site)
    assert (planned.is_needed, planned.from_sequence) == (True, 1)
    await adopt(site)
    log = await read_log(site.database)
    assert [each.subject for each in log[31:33]] == [chain.ADOPTED, orders(1)[0][0]]
    assert [each.stream_sequence for each in log[31:]] == [0, 1, 2, 3, 4, 5, 6]
    assert log[31].actor == b"operator"
    assert b"the disk of the bus was lost" in log[31].data
    assert not (await plan(site)).is_needed
    async with site.working("checkpoint"):
        size = len(log)

        async def signed() -> bool:
            return await site.fetchval("SELECT max(size) FROM audit.checkpoint") == size

        await eventually(signed, "the adopted part is signed")
    assert (await run(site, "verify")).code == 0


async def test_an_older_copy_goes_on_after_the_last_message_that_was_sealed(site):
    await fill(site.nats, orders(30))
    copy = keep_copy(site.nats)
    await fill(site.nats, orders(20, first=30))
    await site.seal_everything()
    restore(site.nats, copy)
    assert (await plan(site)).from_sequence == 31
    await fill(site.nats, orders(40, first=500))
    planned = await plan(site)
    assert (planned.is_needed, planned.from_sequence, planned.last_sequence) == (True, 31, 70)
    await adopt(site)
    messages = [each.message for each in await read_log(site.database)]
    assert messages[1:51] == orders(50)
    assert messages[52:92] == orders(40, first=500)
    again = keep_copy(site.nats)
    await fill(site.nats, orders(9, first=900))
    await site.seal_everything()
    restore(site.nats, again)
    planned = await plan(site)
    assert (planned.is_needed, planned.from_sequence) == (True, 72)


async def test_a_person_at_a_terminal_is_asked(site):
    await fill(site.nats, orders(3))
    await site.seal_everything()
    restore(site.nats, None)
    for answer, code in (("no", 2), ("ADOPT", 0)):
        async with site.working("audit"):
            assert await asyncio.to_thread(answer_at_a_terminal, mts(site), answer) == code
    assert (await read_log(site.database))[4].subject == chain.ADOPTED


def answer_at_a_terminal(command: Command, answer: str) -> int:
    here, there = pty.openpty()
    with subprocess.Popen(
        [MTS, "audit", "adopt-stream", *REASON],
        env=subprocess_environment(command.settings) | {"COLUMNS": "80", "TERM": "xterm"},
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
    ) as process:
        os.close(there)
        text = b""
        while b"Type ADOPT" not in text:
            text += os.read(here, 4096)
        os.write(here, f"{answer}\n".encode())
        while process.poll() is None:
            try:
                text += os.read(here, 4096)
            except OSError:  # the other end is closed
                break
        process.wait(PATIENCE_SECONDS)
    os.close(here)
    return process.returncode
