"""Durations and the lifetimes that must fit each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.durations import format_duration, go_duration, parse_duration
from components.errors import DurationError, LifetimeError
from components.lifetimes import check_default_and_max, check_rotation, check_token


@pytest.mark.parametrize(
    ("text", "seconds"), [("45m", 2700), ("1h30m", 5400), ("90s", 90), ("2d", 172800), ("1d2h3m4s", 93784)]
)
def test_durations_are_read_in_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text, "ttl") == seconds


@pytest.mark.parametrize("text", ["", "0s", "m", "1m1h", "1.5h", "-1m", "45", " 45m", "45m\n", None, 45])
def test_anything_else_is_refused_naming_the_argument(text: object) -> None:
    with pytest.raises(DurationError, match=r"^refresh_interval: "):
        parse_duration(text, "refresh_interval")  # type: ignore[arg-type]


@given(st.integers(min_value=1, max_value=10**8))
def test_a_written_duration_reads_back_as_itself(seconds: int) -> None:
    assert parse_duration(format_duration(seconds), "ttl") == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(10, "10s"), (60, "1m0s"), (2700, "45m0s"), (3600, "1h0m0s"), (90061, "25h1m1s")]
)
def test_a_duration_for_a_controller_is_written_as_go_writes_it(seconds: int, text: str) -> None:
    assert go_duration(seconds) == text
    assert parse_duration(text, "interval") == seconds


def test_a_default_above_its_maximum_is_refused_naming_both_and_the_fix() -> None:
    with pytest.raises(
        LifetimeError, match="default_ttl '2h' is longer than max_ttl '1h'; raise max_ttl to at least '2h'"
    ):
        check_default_and_max("2h", "1h", of="role app")
    assert check_default_and_max("1h", "1h", of="role app") == (3600, 3600)


def test_refresh_and_rollout_must_fit_into_the_lease() -> None:
    check_rotation(refresh_interval="45m", rollout_time="10m", lease_ttl="1h", of="db-creds")
    with pytest.raises(LifetimeError, match=r"refresh_interval '50m' and rollout_time '10m'.*default_ttl '1h'.*49m59s"):
        check_rotation(refresh_interval="50m", rollout_time="10m", lease_ttl="1h", of="db-creds")
    with pytest.raises(LifetimeError, match="raise default_ttl above '1h10m'"):
        check_rotation(refresh_interval="10m", rollout_time="1h", lease_ttl="1h", of="db-creds")


def test_a_token_must_live_as_long_as_the_lease_that_it_took() -> None:
    check_token(token_ttl="1h", lease_ttl="1h", of="payment-api")
    with pytest.raises(
        LifetimeError, match=r"token_ttl '30m' is shorter than the lease's default_ttl '1h'.*at least '1h'"
    ):
        check_token(token_ttl="30m", lease_ttl="1h", of="payment-api")
