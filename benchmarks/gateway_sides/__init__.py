"""How does each client call a model? One file each, with `open_side(base_url)`."""
