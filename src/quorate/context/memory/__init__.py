"""What does a hive of agents remember, for how long, and who finds it again?"""
