"""What do tests of budgets share: a price, a model that costs money, and requests of a caller?"""

from msgspec import structs

from quorate.messages import Message, Reply, Text, Usage, build_user_message
from quorate.models.budgeted import Budgeted
from quorate.models.budgets.budgets import Budgets
from quorate.models.cost import Price, cost_usd
from quorate.models.scripted import Script, ScriptedModel
from quorate.specs import Caller, ModelProfile, ModelSettings, Request

PRICE = Price(input=1000.0, output=2000.0)
"""A tenth of a cent for a token of input, a fifth for one of output: amounts that are easy to read."""
PROFILE = ModelProfile(name="openai:gpt-5.2", max_output_tokens=1000)
CALLER = Caller(tenant="acme", principal="ada", agent="net", session="s-1", run="run-1")


def build_reply(read: int = 100, written: int = 50, text: str = "ok") -> Reply:
    usage = Usage(input_tokens=read, output_tokens=written, requests=1)
    message = Message(role="assistant", parts=(Text(text=text),))
    return Reply(message=message, usage=usage, cost_usd=cost_usd(usage, PRICE), model="gpt-5.2")


def ask(caller: Caller = CALLER, *, max_tokens: int | None = 100, cost_usd: float | None = None) -> Request:
    """A request that is taken for 100 tokens long."""
    caller = structs.replace(caller, cost_usd=cost_usd)
    messages = (build_user_message("x"),)
    return Request(messages=messages, settings=ModelSettings(max_tokens=max_tokens), caller=caller)


def build(
    budgets: Budgets, script: Script | None = None, price: Price | None = PRICE
) -> tuple[Budgeted, ScriptedModel]:
    model = ScriptedModel(script or (lambda request: build_reply()), profile=PROFILE)
    return Budgeted(model, budgets=budgets, price=price, count=lambda request, name: 100), model
