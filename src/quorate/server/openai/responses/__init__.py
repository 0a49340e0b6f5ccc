"""How do programs that speak Open Responses use agents and models?"""
