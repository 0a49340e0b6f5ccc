"""In which ways may several agents work on one task?"""
