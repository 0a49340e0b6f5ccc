"""How do many agents come to one decision that anybody can audit?"""
