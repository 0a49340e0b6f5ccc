"""Over what do messages travel?"""
