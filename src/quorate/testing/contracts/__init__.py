"""What must every backend of a port do, whoever wrote it?

A contract is a class of test methods that take the backend as a fixture; a subclass in a test suite provides it:

```python
class TestMyLog(LogContract):
    @pytest.fixture
    async def log(self):
        async with open_my_log() as log:
            yield log
```

`LogContract` asks for `log`, the others for `store`, a `quorate.ports.Store` opened with an outbox, and where time
matters for `pass_time`, a coroutine function that lets seconds go by for the store (fewer than none: its clock was
put back); the contracts of a bus ask for `open_bus` instead, a function that opens one. A store that reads a clock is
given a `ManualClock`; one that has its own ages its rows.

What a model must do is in modules of its own, as they load an HTTP server: `model.ModelContract`,
`model_faults.ModelFaultsContract` and `model_offers.ModelOffersContract` ask for `case`, a `model_case.ModelCase`: a
provider, and what its format can carry.

The methods are plain `async def` tests and need nothing but a runner that awaits them, such as pytest-asyncio.
"""

from quorate.testing.contracts.blobs import BlobsContract
from quorate.testing.contracts.building import build_opening, build_step, build_steps, expect
from quorate.testing.contracts.bus import BusContract
from quorate.testing.contracts.bus_queue import BusQueueContract
from quorate.testing.contracts.leases import LeasesContract
from quorate.testing.contracts.log import LogContract
from quorate.testing.contracts.outbox import OutboxContract
from quorate.testing.contracts.values import KeyValueContract

__all__ = [
    "BlobsContract",
    "BusContract",
    "BusQueueContract",
    "KeyValueContract",
    "LeasesContract",
    "LogContract",
    "OutboxContract",
    "build_opening",
    "build_step",
    "build_steps",
    "expect",
]
