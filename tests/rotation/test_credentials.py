"""The watcher: one flight, early refresh, the last good value until its end, no trust in the wall clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from rotation import (
    Credential,
    CredentialExpired,
    Credentials,
    InvalidArgument,
    SourceDenied,
    SourceUnavailable,
    _clock,
)
from tests.rotation.fakes import Scripted

Eventually = Callable[..., None]


def leased(seconds: float, name: str = "u", word: str = "p-secret") -> Credential:
    moment = _clock.now()
    return Credential(username=name, password=word, obtained_at=moment, expires_at=moment + seconds, handle="lease")


def test_fifty_threads_cause_one_fetch() -> None:
    source = Scripted(Credential(username="u", password="p"), delay=0.2)
    with Credentials(source) as credentials, ThreadPoolExecutor(50) as threads:
        found = list(threads.map(lambda _: credentials.current(), range(50)))
    assert {each.username for each in found} == {"u"}
    assert (source.fetches, source.most_at_once) == (1, 1)


def test_a_refused_login_of_fifty_threads_asks_the_source_once() -> None:
    source = Scripted(Credential(username="u", password="old"), delay=0.05)
    with Credentials(source) as credentials, ThreadPoolExecutor(50) as threads:
        old = credentials.current()
        source.set("u", "new")
        found = list(threads.map(lambda _: credentials.rejected(old), range(50)))
        assert {each.password for each in found} == {"new"}
        assert source.fetches == 2
        assert source.most_at_once == 1


def test_refused_logins_without_another_credential_do_not_hammer_the_source() -> None:
    source = Scripted(Credential(username="u", password="wrong"))
    with Credentials(source) as credentials:
        only = credentials.current()
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            assert credentials.rejected(only) is only
        assert source.fetches < 10


def test_a_lease_is_refreshed_at_about_two_thirds_of_its_life(eventually: Eventually) -> None:
    life = 9
    source = Scripted(leased(life))
    with Credentials(source) as credentials:
        credentials.current()
        source.value = leased(60, "second")
        eventually(lambda: credentials.generation == 2)
        first, second = source.fetched_at
        assert 0.6 * life < second - first < life  # the next test has the spread


def test_a_fleet_refreshes_over_a_tenth_of_the_life() -> None:
    moments = []
    for _ in range(100):
        credentials = Credentials(Scripted(leased(1000)))
        credential = credentials.current()
        moments.append(credentials._due - credential.obtained_at)
        credentials.close()
    assert min(moments) >= 1000 * (2 / 3 - 0.05)
    assert max(moments) <= 1000 * (2 / 3 + 0.05) + 1
    assert max(moments) - min(moments) > 70


def test_the_last_good_credential_is_kept_until_its_own_end_and_no_longer(eventually: Eventually) -> None:
    source = Scripted(leased(9))
    with Credentials(source) as credentials:
        first = credentials.current()
        source.error = SourceUnavailable("sealed")
        eventually(lambda: source.fetches > 1)
        assert credentials.current().username == first.username
        eventually(lambda: not credentials.health().healthy)
        assert credentials.health().usable
        eventually(lambda: first.expired)
        with pytest.raises(CredentialExpired) as caught:
            credentials.current()
        assert isinstance(caught.value.__cause__, SourceUnavailable)
        source.error = None
        source.value = leased(60, "after")
        assert credentials.wait_for_change(1, 60)
        assert credentials.current().username == "after"


def test_the_same_credential_after_its_end_counts_as_a_new_one(eventually: Eventually) -> None:
    """Pools have closed every connection of the old generation for good."""
    source = Scripted(leased(2))
    with Credentials(source) as credentials:
        first = credentials.current()
        eventually(lambda: first.expired)
        with pytest.raises(CredentialExpired):
            credentials.current()
        source.value = leased(60)
        assert credentials.wait_for_change(1, 60)
        assert credentials.current().generation == 2


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_a_jump_of_the_wall_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    source = Scripted(leased(30))  # due after 18 s at the earliest
    real = time.time
    with Credentials(source) as credentials:
        credentials.current()
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        time.sleep(0.3)
        assert credentials.current().generation == 1
        assert 20 < (credentials.current().seconds_left() or 0) < 30
        assert source.fetches == 1


def test_after_a_suspend_an_ended_credential_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Scripted(leased(600))
    real = _clock.now
    with Credentials(source) as credentials:
        credentials.current()
        source.error = SourceUnavailable("the network is not up yet")
        monkeypatch.setattr(_clock, "now", lambda: real() + 3600)
        with pytest.raises(CredentialExpired):
            credentials.current()
        source.error = None
        source.value = Credential(username="fresh", password="p", expires_at=real() + 7200)
        assert credentials.wait_for_change(1, 60)  # the watcher noticed, though its timer slept through
        assert credentials.current().username == "fresh"


def test_the_clock_counts_suspend_where_the_system_can() -> None:
    assert time.clock_gettime(time.CLOCK_BOOTTIME) <= _clock.now() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_what_any_source_raises_becomes_an_error_of_the_tree() -> None:
    source = Scripted()
    source.error = RuntimeError("boom password=hunter22")
    with Credentials(source) as credentials, pytest.raises(SourceUnavailable, match="RuntimeError: boom") as caught:
        credentials.current()
    assert "hunter22" not in str(caught.value)


def test_a_denial_reaches_the_caller_who_has_no_credential_yet() -> None:
    source = Scripted()
    source.error = SourceDenied("no grant")
    with Credentials(source) as credentials, pytest.raises(SourceDenied, match="no grant"):
        credentials.current()


def test_close_revokes_the_current_and_the_replaced_credentials() -> None:
    source = Scripted(leased(60, "one"))
    credentials = Credentials(source)
    credentials.current()
    source.value = leased(60, "two")
    credentials.refresh()
    credentials.close()
    credentials.close()
    assert sorted(each.username for each in source.revoked) == ["one", "two"]
    assert not any(thread.name == "rotation-scripted" and thread.is_alive() for thread in threading.enumerate())


def test_health_and_repr_never_show_the_value() -> None:
    word = "very-" + "secret-value"
    with Credentials(Scripted(Credential(username="app", password=word, parameters={"host": "h"}))) as credentials:
        credential = credentials.current()
        health = credentials.health()
        assert word not in repr(credential) + repr(health) + str(health.as_dict()) + repr(credentials)
        assert (health.username, health.generation, health.healthy) == ("app", 1, True)
        assert health.age_seconds is not None
        assert health.ends_in_seconds is None


def test_age_counts_from_the_first_read_of_a_value_not_from_a_renewal() -> None:
    source = Scripted(leased(60))
    with Credentials(source) as credentials:
        credentials.current()
        time.sleep(0.2)
        source.value = leased(60)
        credentials.refresh()
        assert (credentials.health().age_seconds or 0) >= 0.2
        assert credentials.generation == 1


def test_closed_credentials_say_so() -> None:
    credentials = Credentials(Scripted())
    credentials.close()
    with pytest.raises(Exception, match="closed"):
        credentials.current()


def test_a_jitter_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="jitter is 2"):
        Credentials(Scripted(), jitter=2)
