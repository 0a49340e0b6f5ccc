"""How does an agent behave against a real provider? A server on loopback that speaks its format, by script.

```python
async with provider_server(["Hello.", Answer(status=429, headers={"Retry-After": "1"}), "Hello again."]) as server:
    model = build_model("openai:gpt-5.2", credentials={"OPENAI_API_KEY": "test"}.get, base_urls={"openai": server.url})
```

It speaks the formats of all providers, and tells them apart by the end of the path: `server.url` is the base URL of
OpenAI's, `server.origin` that of the others, with what their addresses begin with (`f"{server.origin}/anthropic/v1"`).
An `Answer` says what comes and what goes wrong on its way: refusals, delays, drips, cuts at any byte, frames that are
spoilt, lost or sent twice, errors in the middle, and what is of another type.
"""

from quorate.testing.provider_server.openai import build_completion, build_events
from quorate.testing.provider_server.script import Answer, Script, Scripted, Sent, build_answer, choose_vectors
from quorate.testing.provider_server.server import ProviderServer, provider_server
from quorate.testing.provider_server.wire import Wire

__all__ = [
    "Answer",
    "ProviderServer",
    "Script",
    "Scripted",
    "Sent",
    "Wire",
    "build_answer",
    "build_completion",
    "build_events",
    "choose_vectors",
    "provider_server",
]
