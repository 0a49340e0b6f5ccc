"""How do programs that speak Anthropic's protocol use agents and models?"""
