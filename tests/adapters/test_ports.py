"""Are ports free, neighbours, not given twice, and out of the way of connections?"""

import socket
from pathlib import Path

import pytest

from operations.adapters.ports import FIRST, LAST, free_port, free_ports

pytestmark = pytest.mark.unit
GIVEN_TO_CONNECTIONS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_no_port_is_given_twice():
    assert len({free_port() for _ in range(500)}) == 500


def test_a_port_in_use_is_passed_over():
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        # Once around, and the turn of the one that is taken has come again.
        assert taken not in {free_port() for _ in range(LAST - FIRST)}
        for first in (free_ports(100) for _ in range((LAST - FIRST) // 100)):
            assert taken not in range(first, first + 100)


def test_neighbours_do_not_go_round_the_end():
    for _ in range(2 * (LAST - FIRST) // 1000):
        assert FIRST <= free_ports(1000) <= LAST - 1000


@pytest.mark.skipif(not GIVEN_TO_CONNECTIONS.exists(), reason="only Linux says it there")
def test_no_connection_is_given_one_of_them():
    low, high = map(int, GIVEN_TO_CONNECTIONS.read_text().split())
    assert high < FIRST or low >= LAST
