"""Fixtures for every test: real servers below folders of their own, on free ports."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from support import (
    Database,
    Fleet,
    NatsHandle,
    Servers,
    make_home,
    remove_home,
    settings_for,
    sweep_homes,
)

from operations.config import Settings

# The same examples in every run, however slow the machine is: what fails here, fails everywhere.
# `pytest --hypothesis-profile=new` draws new ones.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("new", settings.get_profile("tests"), derandomize=False)
settings.load_profile("tests")

# A shell that runs the tests in the background lets all that they start ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _swept() -> None:
    sweep_homes()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """NATS (with users, stream, consumers) and Postgres (with roles) for the whole session."""
    home = make_home()
    running = Servers(settings_for(home))
    try:
        running.start()
        yield running
    finally:
        running.stop()
        remove_home(home)


@pytest.fixture
def database(servers: Servers) -> Iterator[Database]:
    """A fresh migrated database; drop whatever is in it afterwards."""
    fresh = servers.new_database()
    yield fresh
    servers.drop_database(fresh)


@pytest.fixture
def nats_server() -> Iterator[NatsHandle]:
    """A NATS server of this test alone, with users, stream and consumers: kill it, pause it."""
    home = make_home()
    server = NatsHandle(settings_for(home))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        remove_home(home)


@pytest.fixture
def fleet_settings() -> Iterator[Settings]:
    """Settings of a whole fleet below a folder of its own; start it and stop it in the test."""
    home = make_home()
    yield settings_for(home)
    remove_home(home)


@pytest.fixture
def fleet(fleet_settings: Settings) -> Iterator[Fleet]:
    """A fleet that is not started yet; whatever the test leaves running is stopped."""
    one = Fleet(fleet_settings)
    try:
        yield one
    finally:
        one.end()
