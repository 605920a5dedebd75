"""Does the bucket take only what replaces what was read, and does nothing in it go unseen?"""

import json

import pytest
from halting import Firm
from hypothesis import given
from hypothesis import strategies as st
from setting_house import SettingHouse

from operations.adapters import accounts
from operations.adapters.settings_bucket import Bucket, key_of
from operations.settings.book import Place


@pytest.fixture
async def house(nats_server):
    return SettingHouse(Firm(nats_server))


@pytest.mark.integration
async def test_of_two_who_read_the_same_only_one_writes(house):
    async with house.firm.connected("settings") as one, house.firm.connected("settings") as two:
        here, there = Bucket(one.client), Bucket(two.client)
        assert await here.put("firm.vpin.threshold", b"1") == 1
        assert await there.put("firm.vpin.threshold", b"2") == 0
        await there.refresh()
        assert there.get("firm.vpin.threshold").value == b"1"
        assert await there.put("firm.vpin.threshold", b"2") == 2
        assert await here.put("firm.vpin.threshold", b"3") == 0
        await here.refresh()
        assert [held.value for _, held in here.written] == [b"1", b"2"]


@pytest.mark.integration
async def test_nobody_takes_a_message_out_of_the_bucket_and_old_values_stay(house):
    async with house.firm.connected("settings") as person:
        bucket = Bucket(person.client)
        for number in range(70):
            assert await bucket.put("firm.vpin.threshold", b"%d" % number)
    admin = await house.firm.nats.connect()
    name = accounts.SETTINGS_STREAM
    for verb, body in (("PURGE", b""), ("MSG.DELETE", b'{"seq": 70}')):
        answer = await admin.request(f"$JS.API.STREAM.{verb}.{name}", body)
        assert "error" in json.loads(answer.data)
    kept = await (await admin.jetstream().key_value("settings")).history("firm.vpin.threshold")
    await admin.close()
    assert [each.value for each in kept] == [b"%d" % number for number in range(6, 70)]


PLACES = st.builds(
    Place,
    st.just("kv"),
    st.sampled_from(["vpin", "theta_watchdog"]),
    st.sampled_from(["mode", "threshold"]),
    st.text(max_size=5),
)


@pytest.mark.unit
@given(PLACES, PLACES)
def test_every_place_has_a_key_of_its_own_that_nats_takes(one, other):
    key = key_of(one)
    assert set(key) <= set("-_=./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    assert ".." not in key
    assert (key == key_of(other)) is (one == other)
