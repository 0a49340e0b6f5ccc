"""How does each framework run the same graph?"""
