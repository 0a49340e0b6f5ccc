"""What may not go to a model or come from it, how is it found, and what is put in its place?"""
