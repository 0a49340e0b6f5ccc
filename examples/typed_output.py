"""An answer of a declared type: what does not fit is told to the model, which mends it at most twice.

Prints:

    disk /var is 97 % full
    repairs: 1
    told: The answer does not fit the schema: Expected `int` <= 100 - at `$.percent`
"""

from typing import Annotated

from msgspec import Meta, Struct

from quorate import Agent, ScriptedModel


class Disk(Struct, frozen=True):
    """How full a disk is."""

    mount: str
    percent: Annotated[int, Meta(ge=0, le=100)]


model = ScriptedModel(['{"mount": "/var", "percent": 970}', '{"mount": "/var", "percent": 97}'])
agent = Agent("disk", instructions="Say how full the fullest disk is.", model=model, output_type=Disk)

result = agent.run_sync("Which disk is nearly full?")
disk = result.output  # a `Disk`, to type checkers too
print(f"disk {disk.mount} is {disk.percent} % full")
print("repairs:", result.usage.requests - 1)
print("told:", result.messages[2].text.splitlines()[0])
