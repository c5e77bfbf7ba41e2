"""From one package to the next: staged, pending commit, confirmed or rolled back."""
