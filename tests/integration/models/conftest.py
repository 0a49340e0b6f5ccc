"""What do tests begin with that look at what they leave behind?"""

import gc
import warnings

import pytest


@pytest.fixture
def swept() -> None:
    """What other tests left is gone before, so that it is not taken for what this one leaves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
