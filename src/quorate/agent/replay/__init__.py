"""What would a recorded run do again, exactly as it was or with something changed?"""

from quorate.agent.replay.divergence import Divergence
from quorate.agent.replay.exact import Replay, replay, replay_exactly

__all__ = ["Divergence", "Replay", "replay", "replay_exactly"]
