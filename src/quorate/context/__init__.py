"""What may an agent know beside its instructions and its conversation?"""
