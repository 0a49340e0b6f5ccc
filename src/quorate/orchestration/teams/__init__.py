"""How is a team said as a file?"""
