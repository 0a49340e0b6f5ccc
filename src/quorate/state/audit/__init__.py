"""Who did what, and is the record of it still what was written?"""

from quorate.state.audit.chain import AuditHead
from quorate.state.audit.row import AuditRow, Outcome
from quorate.state.audit.trail import AuditFilter, AuditTrail
from quorate.state.audit.verify import AuditFault, AuditReport

__all__ = ["AuditFault", "AuditFilter", "AuditHead", "AuditReport", "AuditRow", "AuditTrail", "Outcome"]
