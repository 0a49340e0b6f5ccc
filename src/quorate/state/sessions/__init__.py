"""What is a conversation over several runs, and what can be done with it?"""

from quorate.state.sessions.cleanup import CleanupHook
from quorate.state.sessions.retention import delete_sessions, find_ended
from quorate.state.sessions.session import (
    ENDED,
    NO_LIMITS,
    TRANSITIONS,
    Cleaned,
    DeletedSession,
    Origin,
    Session,
    SessionLimits,
    SessionOrder,
    SessionPage,
    SessionStatus,
    SessionUsage,
    TimelineEntry,
    Turn,
)
from quorate.state.sessions.store import SessionStore

__all__ = [
    "ENDED",
    "NO_LIMITS",
    "TRANSITIONS",
    "Cleaned",
    "CleanupHook",
    "DeletedSession",
    "Origin",
    "Session",
    "SessionLimits",
    "SessionOrder",
    "SessionPage",
    "SessionStatus",
    "SessionStore",
    "SessionUsage",
    "TimelineEntry",
    "Turn",
    "delete_sessions",
    "find_ended",
]
