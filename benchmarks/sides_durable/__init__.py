"""What does each engine of durable steps do with the same work?"""
