"""How does one ask the many providers that only LiteLLM knows?

It is the one way to a provider that does not go through `models/http.py`: LiteLLM brings its own clients, reads the
environment for itself, and nothing guards where it connects. It works where the extra `litellm` is installed alone.
"""
