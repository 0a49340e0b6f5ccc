"""What was said in a run, and before it?

A run's log is the truth, so a conversation is a fold of logs. The fold itself is in `quorate.state.conversation`, below
this room, since a session is such a conversation; what drives runs finds it here.
"""

from __future__ import annotations

from quorate.state.conversation import MAX_RUNS, build_conversation, load_history

__all__ = ["MAX_RUNS", "build_conversation", "load_history"]
