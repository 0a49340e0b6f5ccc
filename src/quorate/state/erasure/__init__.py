"""How is something deleted so that it can be shown, later too, that it is gone?"""

from quorate.state.erasure.certificate import ErasureCertificate, read_certificate
from quorate.state.erasure.erase import Eraser
from quorate.state.erasure.verify import ErasureReport, verify_erasure

__all__ = ["Eraser", "ErasureCertificate", "ErasureReport", "read_certificate", "verify_erasure"]
