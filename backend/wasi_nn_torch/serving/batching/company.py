"""Which sessions are expected back soon, so that it is worth waiting for their requests.

A guest that asks again and again usually comes back soon after its answer, or it usually does not, because it has
other things to do. Those that come back within a few times the longest delay, at least half of the time, are expected
so long. A request waits for them, for the longest delay at most. So a lone session, or one whose neighbours are busy
with something else, waits for nobody.
"""

from __future__ import annotations

from collections.abc import Hashable

from wasi_nn_torch.serving.batching.queue import Member

#: How many times the longest delay a session may take to come back and still be company.
_SOON = 4
#: The weight of the last return among all, and how many returns must be in time for a member to be expected.
_WEIGHT, _OFTEN = 0.125, 0.5


class Company:
    """The members that are expected, by the kind of their last request; the caller has the lock of the batcher."""

    def __init__(self, max_delay: float) -> None:
        self._horizon = _SOON * max_delay
        #: Those that may be expected, and until when, by kind; nobody is if this is empty.
        self.kinds: dict[Hashable, dict[Member, float]] = {}

    def arrive(self, member: Member, now: float) -> None:
        """Note that a member asks for something."""
        if member.answered is None:
            return
        self.forget(member)
        is_prompt = now - member.answered <= self._horizon
        member.answered = None
        member.promptness += _WEIGHT * (is_prompt - member.promptness)

    def answer(self, member: Member, kind: Hashable, now: float) -> None:
        """Note that a member got an answer to a request of a kind."""
        member.answered, member.kind = now, kind
        if member.promptness >= _OFTEN and self._horizon:
            self.kinds.setdefault(kind, {})[member] = now + self._horizon

    def forget(self, member: Member) -> None:
        """Do not expect a member."""
        members = self.kinds.get(member.kind)
        if members is not None and members.pop(member, None) is not None and not members:
            del self.kinds[member.kind]

    def count(self, kind: Hashable) -> int:
        """The number of members that are expected with a kind, and perhaps of some that are late."""
        return len(self.kinds.get(kind, ()))

    def expected(self, kind: Hashable, now: float) -> tuple[int, float]:
        """The number of members that are expected with a kind, and the time until when."""
        members = self.kinds.get(kind)
        if members is None:
            return 0, now
        for member in [member for member, until in members.items() if until <= now]:
            del members[member]
        if not members:
            del self.kinds[kind]
            return 0, now
        return len(members), max(members.values())

    def others(self, member: Member, now: float) -> int:
        """The number of members but this one that are expected, with any kind."""
        coming = sum(self.expected(kind, now)[0] for kind in list(self.kinds))
        return coming - (member in self.kinds.get(member.kind, ()))

    def clear(self) -> None:
        """Expect nobody."""
        self.kinds.clear()
