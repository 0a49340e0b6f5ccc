"""What may somebody outside of the agent say about its calls: yes, no, or another one instead?"""
