"""How much does an agent's framework cost? Measured, beside a hand-written loop and beside others."""
