"""Which streams do processes of the tests share?"""

from quorate.ports.bus import StreamRule

TASKS = StreamRule(
    name="tasks", subjects=("ai.agent.tasks.>",), kind="work", ack_wait_s=1.5, max_deliver=3, backoff_s=(0.1,)
)
TASK = "ai.agent.tasks.acme"
DEAD = "ai.dead.tasks.acme"
