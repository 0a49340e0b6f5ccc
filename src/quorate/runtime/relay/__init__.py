"""How do others hear of what was recorded, whoever dies between the record and the telling?"""

from quorate.runtime.relay.relay import Relay, RelayRule
from quorate.runtime.relay.sink import Sink

__all__ = ["Relay", "RelayRule", "Sink"]
