"""How often something may be done: token buckets, one for each name, in a bounded table."""

from __future__ import annotations

from rung.access.recent import Recent


class Buckets:
    """A bucket for each name, full at first: `burst` at once, and `per_second` more as time goes on.

    A bucket is a single number, the time at which it will be full again (GCRA, the leaky bucket as a
    meter). One that is full is the same as none, so a name that has rested may be forgotten. Of more names
    than `names_max` at once the ones that have rested longest are forgotten early, and start full.
    """

    def __init__(self, per_second: float, burst: int, names_max: int) -> None:
        """Start with every bucket full; a burst is at least 1."""
        self._step = 1.0 / per_second
        self._burst_seconds = burst / per_second
        self._full_at: Recent[str, float] = Recent(names_max)

    def take(self, name: str, now: float, cost: int = 1) -> float:
        """Take from a name's bucket; return 0.0, or in how many seconds it may be asked again.

        What costs more than a burst is never had. `now` is in seconds, of a clock that never goes back.
        A bucket from which nothing could be taken stays as it is.
        """
        full_at = self._full_at.get(name)
        after = (now if full_at is None or full_at < now else full_at) + cost * self._step
        wait = after - now - self._burst_seconds
        # The sums are of binary fractions: a full bucket holds a whole burst.
        if wait > 1e-9 * self._burst_seconds + 1e-9:
            return wait
        self._full_at.put(name, after)
        return 0.0

    def peek(self, name: str, now: float) -> float:
        """Return what `take` would, and take nothing."""
        full_at = self._full_at.get(name)
        if full_at is None:
            return 0.0
        wait = full_at + self._step - now - self._burst_seconds
        return wait if wait > 1e-9 * self._burst_seconds + 1e-9 else 0.0

    def __len__(self) -> int:
        """The number of names that are kept."""
        return len(self._full_at)
