"""How do programs that speak OpenAI's protocol use agents and models?"""
