"""How do our values become bytes, and bytes our values again?"""
