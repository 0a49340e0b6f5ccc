"""How are ballots counted?"""
