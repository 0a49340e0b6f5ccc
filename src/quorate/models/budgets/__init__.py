"""How much money and how many tokens may be spent, and what is left of them?

`rules` says what is asked for, `account` counts, a store (`local`, `shared`) keeps the accounts, and `budgets` sets
aside before each call and settles after it.
"""
