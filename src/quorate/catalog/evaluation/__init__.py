"""How good is an agent, the routing or a decision, and is it better than it was? Cases, graders, figures, reports."""
