"""How is what happens shown to those who operate it, in the words that their tools know?"""
