"""How is what a runtime does reached over HTTP?"""
