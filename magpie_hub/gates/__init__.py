"""Gates: rules that look at a finished text and reject it with a reason."""
