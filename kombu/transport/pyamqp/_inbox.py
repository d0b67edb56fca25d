"""Events that wait for the thread whose business they are.

The thread that reads the socket runs no callbacks.  It puts deliveries, returned messages,
cancelled consumers and the like into the *inbox* of the thread that uses the channel, whose next
`drain_events` runs them.

A channel belongs to the thread that last called something on it, or, once it has consumers, to the
one that starts consuming on it.  Its inbox moves to another thread only when its own does not come
for its messages (see `Inboxes.adopt`): a consumer may be set up in one thread and drained in
another, or in one after the other, but no two threads are at work on it at the same time.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any, NamedTuple

from ._frames import Method
from ._reader import wake

__all__ = ('Event', 'Inbox', 'Inboxes')

#: Seconds a thread may stay away from its messages before another one that drains may have them:
#: one without consumers of its own is there for that, one with consumers only comes to the rescue.
PATIENCE_WITH_NOBODY_ELSE = 0.05
PATIENCE = 5.0


class Event(NamedTuple):
    """Something that happened on a channel, to be handled by its thread.

    `life` counts how often the channel had been opened by then: what belongs to an earlier life is
    void.
    """

    channel: Any
    life: int
    method: Method


class Inbox:
    """What waits for one thread."""

    __slots__ = (
        'channels',
        'draining',
        'event',
        'events',
        'ident',
        'notices',
        'seen',
        'thread',
    )

    def __init__(self) -> None:
        #: In the order they arrived.
        self.events: deque[Event] = deque()
        #: Channels that have something to tell which does not belong to that order: errors and
        #: messages that came back.
        self.notices: set[Any] = set()
        self.event: threading.Event | None = None
        #: The channels whose events come here.
        self.channels: set[Any] = set()
        #: Number of `drain_events` calls under way, one in the callback of another.
        self.draining = 0
        #: When (`monotonic`) the thread last cared.
        self.seen = monotonic()
        self.thread = threading.current_thread()
        self.ident = threading.get_ident()

    @property
    def ready(self) -> bool:
        """Whether there is anything."""
        return bool(self.events or self.notices)

    @property
    def consuming(self) -> bool:
        """Whether a channel with consumers belongs here."""
        return any(channel.callbacks for channel in list(self.channels))

    def put(self, event: Event) -> None:
        """Add an event, and wake the thread where it waits for one."""
        self.events.append(event)
        wake(self)

    def notify(self, channel: Any) -> None:
        """Note that a channel has something to tell, and wake the thread."""
        self.notices.add(channel)
        wake(self)

    def handle_one(self) -> bool:
        """Run what comes next; False where nothing needed to be run."""
        try:
            if self.notices:
                told: bool = self.notices.pop().tell()
                return told
            event = self.events.popleft()
        except (IndexError, KeyError):  # another thread has taken the channel over
            return False
        handled: bool = event.channel.handle(event)
        return handled

    def idle(self, now: float) -> float:
        """Return for how many seconds the thread has left its events alone."""
        return now - self.seen if self.thread.is_alive() else float('inf')

    def withdraw(self, channel: Any) -> list[Event]:
        """Take out the events of a channel, while the reading thread puts in none."""
        found: list[Event] = []
        kept: list[Event] = []
        # One by one: the thread itself may come for some of them right now.
        while True:
            try:
                event = self.events.popleft()
            except IndexError:
                break
            (found if event.channel is channel else kept).append(event)
        self.events.extend(kept)
        return found


class Inboxes:
    """The inboxes of one connection, by thread.

    Args:
        filing: held by the reading thread while it puts events into inboxes.
    """

    def __init__(self, filing: AbstractContextManager[Any]) -> None:
        self._filing = filing
        self._by_thread: dict[int, Inbox] = {}
        #: True while an event loop drains on behalf of all threads.
        self.looped = False

    def __len__(self) -> int:
        return len(self._by_thread)

    def pending(self) -> bool:
        """Tell whether something waits for any thread."""
        return any(inbox.ready for inbox in list(self._by_thread.values()))

    def mine(self) -> Inbox:
        """Return the inbox of the calling thread."""
        me = threading.get_ident()
        inbox = self._by_thread.get(me)
        if inbox is None:
            inbox = self._by_thread[me] = Inbox()
        return inbox

    def opened(self, channel: Any) -> Inbox:
        """Return the inbox for a new channel: that of the calling thread."""
        inbox = self.mine()
        inbox.channels.add(channel)
        return inbox

    def closed(self, channel: Any) -> None:
        """Forget a channel."""
        with self._filing:
            inbox: Inbox = channel.inbox
            inbox.channels.discard(channel)
            inbox.notices.discard(channel)
            inbox.withdraw(channel)
        self.tidy(inbox)

    def tidy(self, inbox: Inbox) -> None:
        """Drop an inbox that nothing will be put into any more."""
        if not inbox.channels and not inbox.draining and self._by_thread.get(inbox.ident) is inbox:
            self._by_thread.pop(inbox.ident, None)

    def claim(self, channel: Any) -> None:
        """Give a channel to the calling thread."""
        mine = self.mine()
        mine.seen = monotonic()
        if channel.inbox is not mine:
            self._move([channel], mine)

    def adopt(self, mine: Inbox) -> bool:
        """Take over channels whose threads do not come for their messages; True if there are."""
        now = monotonic()
        mine.thread = threading.current_thread()
        if self.looped:
            patience = 0.0
        else:
            patience = PATIENCE if mine.consuming else PATIENCE_WITH_NOBODY_ELSE
        found = False
        for inbox in list(self._by_thread.values()):
            if inbox is mine or not inbox.events or inbox.draining or inbox.idle(now) < patience:
                continue
            channels = [channel for channel in inbox.channels if channel.callbacks]
            self._move(channels, mine)
            found = found or bool(channels)
        return found

    def patience(self, mine: Inbox) -> float:
        """Return after how many seconds of waiting `adopt` should be asked again."""
        return PATIENCE if mine.consuming else PATIENCE_WITH_NOBODY_ELSE

    def _move(self, channels: list[Any], to: Inbox) -> None:
        with self._filing:
            for channel in channels:
                inbox: Inbox = channel.inbox
                inbox.channels.discard(channel)
                to.channels.add(channel)
                to.events.extend(inbox.withdraw(channel))
                if channel in inbox.notices:
                    inbox.notices.discard(channel)
                    to.notices.add(channel)
                channel.inbox = to
                self.tidy(inbox)
