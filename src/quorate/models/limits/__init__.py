"""How many calls and tokens may pass in a window of time, in one process or in all of them together?

`rules` says what is asked for, `window` counts, a store (`memory`, `values`, `redis`) keeps the counts, and `limiter`
lets calls wait in order.
"""
