"""One run of a recipe: generate, judge and select, until enough rows are kept."""
