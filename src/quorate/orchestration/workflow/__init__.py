"""How are steps of a graph made, each once, in an order that follows from what they need?"""
