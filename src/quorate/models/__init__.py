"""Which models are there, and how are they reached? Nothing here loads the HTTP client before it is used."""
