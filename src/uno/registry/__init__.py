"""The owner's side: the definition, the keys, the history, and the packages made of them."""
