"""The watcher: one credential kept current for everyone in this process who uses it."""

from __future__ import annotations

import atexit
import logging
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from rotation import _clock, _redaction
from rotation._credential import Credential, Source
from rotation._health import Counters, Health
from rotation._subscription import Subscriber, Subscription
from rotation.errors import CredentialExpired, InvalidArgument, RotationError, SourceError, SourceUnavailable

logger = logging.getLogger("rotation")

_TICK = 1.0  # the longest sleep: after a suspend, timers of the operating system are late by the time slept
_REJECTED_FOR = 30.0  # how long a refused credential is passed over, if there is another
_REVOKE_AGAIN = 10.0
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 30.0
_FORCED_LONGEST_DELAY = 2.0  # between two fetches that refused logins ask for, or that a missing credential does


@dataclass(frozen=True)
class _Retired:
    credential: Credential
    process: int


class Credentials:
    """A source's credential, read once for all threads and kept current in the background.

    ``current()`` answers from memory. A thread refreshes leases at about two thirds of their life, polls sources that
    publish changes, retries what failed, and keeps the last good credential until its own end. However many threads ask,
    there is one fetch at a time and its result is everyone's.

    Args:
        source: where the credential comes from.
        jitter: how far refreshes of a fleet are spread, as a fraction of the credential's life (or of the poll interval);
            default 0.1, so a lease is refreshed between 61.7 and 71.7 percent of its life.

    Use it as a context manager, or call ``close()``: it ends the thread and revokes what is revocable.
    """

    def __init__(self, source: Source, *, jitter: float = 0.1) -> None:
        if not 0 <= jitter <= 0.5:
            raise InvalidArgument(f"jitter is {jitter}; expected a fraction between 0 and 0.5")
        self.source = source
        self.counters = Counters()
        self._jitter = jitter
        self._credential: Credential | None = None
        self._last_good: Credential | None = None
        self._rejected: dict[int, tuple[Credential, float]] = {}
        self._retired: list[_Retired] = []
        self._subscriptions: list[Subscription] = []
        self._state = threading.Condition()
        self._flight = threading.Lock()
        self._attempts = 0
        self._not_before = 0.0
        self._delay = 0.0
        self._due = 0.0
        self._ended = 0
        self._ends: float | None = None
        self._since = 0.0
        self._revoke_at = 0.0
        self._last_error: RotationError | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def generation(self) -> int:
        """How many different credentials there have been; 0 before the first fetch."""
        return self._credential.generation if self._credential is not None else 0

    @property
    def latest(self) -> Credential | None:
        """What was read last, from memory, ended or not; None before the first fetch."""
        return self._credential

    @property
    def ended(self) -> bool:
        """Whether the latest credential has ended. Cheap: pools ask at each check-out."""
        return self._ends is not None and _clock.now() >= self._ends

    @property
    def last_error(self) -> RotationError | None:
        """Why the last fetch failed; None when it did not."""
        return self._last_error

    @property
    def closed(self) -> bool:
        return self._closed

    def current(self) -> Credential:
        """The credential to log in with now. From memory but for the first time and after the end of the last one.

        Raises SourceError when there has never been one, CredentialExpired when the last one has ended.
        """
        credential = self._credential
        if credential is None or credential.expired:
            self.start()
            try:
                credential = self._refresh(seen=credential, forced=True)
            except RotationError:
                if credential is None:
                    raise
            if credential is None or credential.expired:
                message = f"the last credential of {self.source.name} has ended and there is no other"
                raise CredentialExpired(message) from self._last_error
        return credential

    def refresh(self) -> Credential:
        """Fetch now: read the current value, or take a new lease. Raises SourceError."""
        self.start()
        with self._flight:
            return self._fetch()

    def rejected(self, credential: Credential) -> Credential:
        """The server refused this credential: the one to try instead, or the same where there is no other.

        However many threads come with the same credential, the source is asked once.
        """
        self.counters.rejections += 1
        with self._state:
            self._rejected[credential.generation] = (credential, _clock.now() + _REJECTED_FOR)
            if self._last_good is not None and self._last_good.generation == credential.generation:
                self._last_good = None
        try:
            newest = self._refresh(seen=credential, forced=True)
        except RotationError as error:
            logger.warning("%s: a login was refused and no other credential is to be had: %s", self.source.name, error)
            newest = self._credential
        if newest is not None and not newest.same_secret(credential) and not newest.expired:
            return newest
        good = self._last_good
        return good if good is not None and not good.expired else credential

    def accepted(self, credential: Credential) -> None:
        """The server took this credential; it is what to fall back to while a newer one is refused."""
        if self._rejected or self._last_good is not credential:
            with self._state:
                self._rejected.pop(credential.generation, None)
                if self._last_good is None or credential.generation >= self._last_good.generation:
                    self._last_good = credential

    def wait_for_change(self, generation: int, timeout: float) -> bool:
        """Until there is a credential newer than ``generation``; False when ``timeout`` seconds have passed."""
        with self._state:
            return self._state.wait_for(lambda: self._closed or self.generation > generation, timeout)

    def health(self) -> Health:
        """Which credential is in use, its age and its end. Never its value."""
        return Health.of(self.source.name, self._credential, self._since, self.counters, self._last_error)

    # Life

    def start(self) -> None:
        """Start the background thread; again after a fork, which does not take threads along."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            return
        with self._state:
            if self._closed:
                raise RotationError(f"the credentials of {self.source.name} are closed")
            if self._thread is None or not self._thread.is_alive():
                if self._thread is None:
                    atexit.register(self.close)
                self._thread = threading.Thread(target=self._run, name=f"rotation-{self.source.name}", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread, revoke every lease that is left, give back what the source holds. Close the pools first."""
        with self._state:
            if self._closed:
                return
            self._closed = True
            self._state.notify_all()
        atexit.unregister(self.close)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)
        with self._flight:
            if self._credential is not None:
                self._retired.append(_Retired(self._credential, os.getpid()))
            self._revoke_retired(everything=True)
            self.source.close()

    def __enter__(self) -> Credentials:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def nudge(self) -> None:
        """Tell subscribers of a change again now, without waiting for the next try."""
        with self._state:
            for subscription in self._subscriptions:
                subscription.tell_at = 0.0
            self._state.notify_all()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell ``subscriber`` of every change from now on. Returns what ends that."""
        subscription = Subscription(subscriber, adopted=self.generation)
        with self._state:
            self._subscriptions.append(subscription)

        def unsubscribe() -> None:
            with self._state:
                if subscription in self._subscriptions:
                    self._subscriptions.remove(subscription)

        return unsubscribe

    # Fetching: one flight at a time

    def _refresh(self, *, seen: Credential | None, forced: bool) -> Credential | None:
        attempts = self._attempts
        with self._flight:
            current = self._credential
            if current is not None and (seen is None or current.generation > seen.generation) and not current.expired:
                return current
            if self._attempts != attempts or _clock.now() < self._not_before:  # another thread has just asked
                if current is None and self._last_error is not None:
                    raise self._last_error
                return current
            before = self.generation
            try:
                result = self._fetch() if forced or current is None else self._renew(current)
            except RotationError:
                self._back_off(_LONGEST_DELAY)
                raise
            if self.generation == before and forced:
                self._back_off(_FORCED_LONGEST_DELAY)
            return result

    def _back_off(self, longest: float) -> None:
        without = self._credential is None or self._credential.expired  # everyone waits for this
        self._delay = min(max(self._delay * 2, _FIRST_DELAY), _FORCED_LONGEST_DELAY if without else longest)
        left = self._credential.seconds_left() if self._credential else None
        if left and left > 0:
            self._delay = min(self._delay, max(left / 5, _FIRST_DELAY))
        self._not_before = _clock.now() + self._delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
        self._due = max(self._due, self._not_before) if self._last_error is None else self._not_before

    def _renew(self, current: Credential) -> Credential:
        try:
            renewed = self.source.renew(current)
        except SourceUnavailable as error:
            raise self._failed(error) from error.__cause__
        except SourceError as error:
            logger.warning("%s: cannot renew, taking a new credential: %s", self.source.name, error)
            renewed = None
        except Exception as error:
            raise self._failed(error) from error
        return self._adopt(renewed) if renewed is not None else self._fetch()

    def _fetch(self) -> Credential:
        moment = _clock.now()
        self._rejected = {key: (bad, until) for key, (bad, until) in self._rejected.items() if until > moment}
        try:
            fetched = self.source.fetch([bad for bad, _ in self._rejected.values()])
        except Exception as error:
            failure = self._failed(error)
            if failure is error:
                raise
            raise failure from error
        finally:
            self._attempts += 1
        return self._adopt(fetched)

    def _failed(self, error: Exception) -> RotationError:
        self.counters.failures += 1
        if not isinstance(error, RotationError):
            text = _redaction.redact(str(error))
            error = SourceUnavailable(f"{self.source.name}: {type(error).__name__}: {text}")
        self._last_error = error
        return error

    def _adopt(self, fetched: Credential) -> Credential:
        _redaction.register(fetched.password)
        current = self._credential
        self.counters.refreshes += 1
        with self._state:
            self._last_error = None
            if current is not None and fetched.same_secret(current) and (fetched.expired or not current.expired):
                fetched = replace(fetched, generation=current.generation)
                if self._last_good is not None and self._last_good.generation == current.generation:
                    self._last_good = fetched
            else:
                fetched = fetched.numbered(self.generation + 1)
                self._since = fetched.obtained_at
                if current is not None:
                    self._retired.append(_Retired(current, os.getpid()))
                    self.counters.rotations += 1
                self._delay = self._not_before = 0.0
                logger.info("%s: generation %d, user %s", self.source.name, fetched.generation, fetched.username)
            self._credential = fetched
            self._ends = fetched.expires_at
            self._due = self._next_due(fetched)
            self._state.notify_all()
        return fetched

    def _next_due(self, credential: Credential) -> float:
        """A lease at about two thirds of its life; an announced change soon after it; a poll after its interval."""
        spread = random.uniform(0, self._jitter)  # noqa: S311 - spreads load, hides nothing
        moment = _clock.now()
        times = []
        if credential.expires_at is not None:
            life = credential.expires_at - credential.obtained_at
            times.append(credential.obtained_at + life * (2 / 3 - self._jitter / 2 + spread))
        if credential.rotates_at is not None:
            wait = max(credential.rotates_at - moment, 0.0)
            times.append(moment + max(wait + min(wait * spread, 60.0), 0.25))
        if self.source.poll_interval is not None:
            times.append(moment + self.source.poll_interval * (1 - self._jitter / 2 + spread))
        return min(times, default=float("inf"))

    # The thread

    def _run(self) -> None:
        while True:
            with self._state:
                if self._closed:
                    return
                if not self._untold():
                    self._state.wait(min(_TICK, max(self._due - _clock.now(), 0.005)))
                    if self._closed:
                        return
            try:
                self._tick()
            except Exception:
                logger.exception("%s: unexpected error in the watcher", self.source.name)
                with self._state:
                    self._state.wait(_TICK)

    def _tick(self) -> None:
        if _clock.now() >= self._due:
            try:
                self._refresh(seen=self._credential, forced=False)
            except RotationError as error:
                logger.warning("%s: no new credential yet: %s", self.source.name, error)
        credential = self._credential
        if credential is None:
            return
        if credential.expired:
            if self._ended != credential.generation:
                self._ended = credential.generation
                logger.error("%s: the credential has ended and there is no other", self.source.name)
                for subscription in list(self._subscriptions):
                    subscription.subscriber.on_end(credential)
        else:
            self._tell(credential)
        if self._retired and _clock.now() >= self._revoke_at and self._flight.acquire(blocking=False):
            try:
                self._revoke_retired()
            finally:
                self._flight.release()

    def _untold(self) -> bool:
        moment = _clock.now()
        return any(each.adopted < self.generation and each.tell_at <= moment for each in self._subscriptions)

    def _tell(self, credential: Credential) -> None:
        moment = _clock.now()
        for subscription in list(self._subscriptions):
            if subscription.adopted >= credential.generation or subscription.tell_at > moment:
                continue
            if subscription.subscriber.on_change(credential):
                subscription.adopted, subscription.delay, subscription.tell_at = credential.generation, 0.0, 0.0
            else:
                subscription.delay = min(max(subscription.delay * 2, 0.25), _LONGEST_DELAY)
                subscription.tell_at = moment + subscription.delay

    def _revoke_retired(self, *, everything: bool = False) -> None:
        """Revoke what was replaced and is in nobody's hands any more; without subscribers that is unknown until close."""
        keep = []
        for each in self._retired:
            if each.credential.handle is None or each.credential.expired or each.process != os.getpid():
                continue
            if not everything and (not self._subscriptions or self._in_use(each.credential.generation)):
                keep.append(each)
                continue
            try:
                self.source.revoke(each.credential)
            except Exception as error:  # noqa: BLE001 - it ends by itself; closing must go on
                logger.warning("%s: cannot revoke yet: %s", self.source.name, _redaction.redact(str(error)))
                keep.append(each)
                self._revoke_at = _clock.now() + _REVOKE_AGAIN
        self._retired = [] if everything else keep

    def _in_use(self, generation: int) -> bool:
        return any(each.adopted <= generation or each.subscriber.in_use(generation) for each in self._subscriptions)
