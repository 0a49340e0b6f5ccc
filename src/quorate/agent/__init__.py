"""What is an agent, and how is one driven?"""
