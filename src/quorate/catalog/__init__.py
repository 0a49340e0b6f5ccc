"""Which agents are there, and which one is a request for? Agents are files; no code names one."""
