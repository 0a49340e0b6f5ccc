"""How do several agents work together?"""
