"""Gates: rules that look at finished words and reject them with a reason."""
