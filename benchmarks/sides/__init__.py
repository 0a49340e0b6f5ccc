"""How does each framework do the same scripted work? One file for each; all have the functions of `Side`."""
