"""How are secrets kept, and who may do what?"""
